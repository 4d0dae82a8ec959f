"""How does a weight of torch lie in memory in Keras?

| layer                    | torch                          | Keras                              |
|--------------------------|--------------------------------|------------------------------------|
| dense                    | `[out, in]`                    | `[in, out]`                        |
| convolution              | `[out, in, height, width]`     | `[height, width, in, out]`         |
| dense after a flatten    | columns in (channel, y, x)     | rows in (y, x, channel)            |
| batch normalisation      | weight, bias, mean, variance   | gamma, beta, mean, variance        |

All functions take and return numpy arrays, C-contiguous, dtype unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from gateway.tensors import Array

__all__ = ["Weights", "batch_norm", "conv2d", "dense", "dense_after_flatten", "layer_norm"]

Weights: TypeAlias = Mapping[str, Array]


def dense(weights: Weights, name: str) -> list[Array]:
    """Kernel `[in, out]` and bias `[out]` of the linear layer `name`."""
    return [_moved(weights[f"{name}.weight"], (1, 0)), weights[f"{name}.bias"]]


def conv2d(weights: Weights, name: str) -> list[Array]:
    """Kernel `[height, width, in, out]` and bias `[out]` of the convolution `name`."""
    return [_moved(weights[f"{name}.weight"], (2, 3, 1, 0)), weights[f"{name}.bias"]]


def dense_after_flatten(weights: Weights, name: str, image: tuple[int, int, int]) -> list[Array]:
    """Kernel `[height * width * channels, out]` and bias of a linear layer that follows a flatten.

    Args:
        weights: Torch's.
        name: The linear layer's.
        image: What is flattened, as (channels, height, width): torch flattens it in this order, Keras
            with the channels last.
    """
    kernel = weights[f"{name}.weight"]
    size = kernel.shape[0]
    moved = np.transpose(kernel.reshape(size, *image), (2, 3, 1, 0))
    return [np.ascontiguousarray(moved.reshape(-1, size)), weights[f"{name}.bias"]]


def batch_norm(weights: Weights, name: str) -> list[Array]:
    """Gamma, beta, moving mean and moving variance, each `[channels]`."""
    parts = ("weight", "bias", "running_mean", "running_var")
    return [weights[f"{name}.{part}"] for part in parts]


def layer_norm(weights: Weights, name: str) -> list[Array]:
    """Gamma and beta, each `[size]`."""
    return [weights[f"{name}.weight"], weights[f"{name}.bias"]]


def _moved(array: Array, axes: tuple[int, ...]) -> Array:
    return np.ascontiguousarray(np.transpose(array, axes))
