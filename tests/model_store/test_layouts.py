"""A layer with the moved weights computes in Keras' layout what torch computes in its own.

Both layouts' arithmetic is written out here in numpy, from the frameworks' definitions.
"""

from __future__ import annotations

from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tensors import Array
from model_store.layouts import batch_norm, conv2d, dense, dense_after_flatten, layer_norm

SIZES = st.integers(1, 4)
SEEDS = st.integers(0, 2**32 - 1)

Numbers: TypeAlias = npt.NDArray[np.float64]


def made_up(seed: int, **shapes: tuple[int, ...]) -> dict[str, Numbers]:
    """Weights named `layer.<part>`."""
    rng = np.random.default_rng(seed)
    return {f"layer.{part}": rng.normal(size=shape) for part, shape in shapes.items()}


def numbers(array: Array) -> Numbers:
    """The same, as a type that has arithmetic."""
    return array.astype(np.float64)


def torch_convolution(image: Numbers, weight: Numbers) -> Numbers:
    """`[rows, in, y, x]` and `[out, in, height, width]` to `[rows, out, y, x]`, no padding."""
    windows = np.lib.stride_tricks.sliding_window_view(image, weight.shape[2:], axis=(2, 3))
    return cast("Numbers", np.einsum("niyxhw,oihw->noyx", windows, weight))


def keras_convolution(image: Numbers, kernel: Numbers) -> Numbers:
    """`[rows, y, x, in]` and `[height, width, in, out]` to `[rows, y, x, out]`, no padding."""
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape[:2], axis=(1, 2))
    return cast("Numbers", np.einsum("nyxihw,hwio->nyxo", windows, kernel))


@given(SEEDS, SIZES, SIZES)
def test_dense(seed: int, inputs: int, outputs: int) -> None:
    weights = made_up(seed, weight=(outputs, inputs), bias=(outputs,), x=(3, inputs))
    kernel, bias = dense(weights, "layer")
    x = weights["layer.x"]
    np.testing.assert_allclose(
        x @ numbers(kernel), x @ weights["layer.weight"].T, rtol=1e-5, atol=1e-5
    )
    np.testing.assert_array_equal(bias, weights["layer.bias"])
    assert kernel.flags.c_contiguous


@given(SEEDS, SIZES, SIZES, st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_convolution(seed: int, inputs: int, outputs: int, size: tuple[int, int]) -> None:
    weights = made_up(seed, weight=(outputs, inputs, *size), bias=(outputs,), x=(2, inputs, 4, 5))
    kernel, _ = conv2d(weights, "layer")
    image = weights["layer.x"]
    ours = torch_convolution(image, weights["layer.weight"])
    theirs = keras_convolution(image.transpose(0, 2, 3, 1), numbers(kernel))
    np.testing.assert_allclose(theirs, ours.transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-4)


@given(SEEDS, SIZES, SIZES, SIZES, SIZES)
def test_dense_after_flatten(
    seed: int, channels: int, height: int, width: int, outputs: int
) -> None:
    size = channels * height * width
    weights = made_up(seed, weight=(outputs, size), bias=(outputs,), x=(2, channels, height, width))
    kernel, _ = dense_after_flatten(weights, "layer", (channels, height, width))
    image = weights["layer.x"]
    ours = image.reshape(2, -1) @ weights["layer.weight"].T
    theirs = image.transpose(0, 2, 3, 1).reshape(2, -1) @ numbers(kernel)
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4)


def test_normalisations_are_in_keras_order() -> None:
    weights = made_up(1, weight=(3,), bias=(3,), running_mean=(3,), running_var=(3,))
    gamma, beta, mean, variance = batch_norm(weights, "layer")
    assert gamma is weights["layer.weight"]
    assert beta is weights["layer.bias"]
    assert mean is weights["layer.running_mean"]
    assert variance is weights["layer.running_var"]
    np.testing.assert_array_equal(np.stack(layer_norm(weights, "layer")), np.stack([gamma, beta]))


def test_a_missing_weight_is_named() -> None:
    with pytest.raises(KeyError, match=r"layer\.weight"):
        dense({}, "layer")
