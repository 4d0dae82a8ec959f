"""What is iris in torch?"""

from collections import OrderedDict

from torch import nn


def build() -> nn.Module:
    """float32 `[rows, 4]` to logits, float32 `[rows, 3]`; untrained."""
    return nn.Sequential(
        OrderedDict(
            dense1=nn.Linear(4, 64),
            relu1=nn.ReLU(),
            dense2=nn.Linear(64, 32),
            relu2=nn.ReLU(),
            logits=nn.Linear(32, 3),
        )
    )
