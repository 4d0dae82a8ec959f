"""What is digits in torch?"""

import torch
from torch import nn


class Digits(nn.Module):  # type: ignore[misc]  # torch has no types where this is checked
    """Two convolutions, each with batch normalisation, and two dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(32)
        self.relu2 = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.dense1 = nn.Linear(32 * 4 * 4, 64)
        self.relu3 = nn.ReLU()
        self.logits = nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """float32 `[rows, 8, 8, 1]`, as TensorFlow's clients send it, to logits, float32 `[rows, 10]`."""
        x = image.permute(0, 3, 1, 2)
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.pool(self.relu2(self.bn2(self.conv2(x))))
        x = self.relu3(self.dense1(x.flatten(1)))
        logits: torch.Tensor = self.logits(x)
        return logits


def build() -> nn.Module:
    """The untrained network."""
    return Digits()
