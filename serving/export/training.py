"""How is a classifier trained? Once, in torch, the same on every machine: one thread, one seed."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from gateway.tensors import Array
from model_store.definition import Recipe, Rows

__all__ = ["train"]


def train(model: nn.Module, rows: Rows, recipe: Recipe) -> None:
    """Train `model` in place by `recipe`, and leave it in evaluation mode.

    Args:
        model: Takes one float32 input, `[rows, …]`, and gives logits, `[rows, classes]`.
        rows: The training rows.
        recipe: Everything that decides the result.
    """
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    model.apply(_initialise)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=recipe.lr, eps=recipe.epsilon, weight_decay=recipe.weight_decay
    )
    order = np.random.default_rng(recipe.seed)
    model.train()
    for _ in range(recipe.epochs):
        _one_epoch(
            model,
            optimizer,
            rows,
            order.permutation(len(rows.labels)),
            batch_size=recipe.batch_size,
        )
    model.eval()


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)


def _one_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rows: Rows,
    order: Array,
    *,
    batch_size: int,
) -> None:
    (inputs,) = rows.inputs.values()
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        logits = model(torch.from_numpy(inputs[batch]))
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(rows.labels[batch]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
