"""The first layer that parts is found, and its arithmetic done again names the fault."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tensors import Array
from serving.export.layers import Layers, explain_layer, first_difference, is_close, softmax

Numbers: TypeAlias = npt.NDArray[np.float64]

SEEDS = st.integers(0, 2**32 - 1)
CHANNELS, SIZE = 3, 6


def numbers(array: Array) -> Numbers:
    """The same, as a type that has arithmetic."""
    return array.astype(np.float64)


def convolution(image: Numbers, weight: Numbers, before: int, after: int) -> Numbers:
    """A convolution with torch's weights, `[rows, y, x, in]` to `[rows, y, x, out]`."""
    padded = np.pad(image, ((0, 0), (before, after), (before, after), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(1, 2))
    return np.asarray(np.einsum("nyxihw,oihw->nyxo", windows, weight))


def network(seed: int) -> Layers:
    """conv (3×3, padded by 1) → bn → dense, the same in both; Keras' weights in Keras' layout."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(4, SIZE, SIZE, CHANNELS))
    conv, bias = rng.normal(size=(CHANNELS, CHANNELS, 3, 3)), rng.normal(size=CHANNELS)
    gamma, beta, mean = (rng.normal(size=CHANNELS) for _ in range(3))
    variance = rng.uniform(0.1, 2, size=CHANNELS)
    weight = rng.normal(size=(5, CHANNELS * SIZE * SIZE))
    first = convolution(image, conv, 1, 1) + bias
    second = normalise(first, (gamma, beta, mean, variance), 1e-5)
    third = second.transpose(0, 3, 1, 2).reshape(4, -1) @ weight.T
    outputs: dict[str, Array] = {"conv": first, "bn": second, "dense": third}
    by_pixel = weight.reshape(5, CHANNELS, SIZE, SIZE).transpose(2, 3, 1, 0).reshape(-1, 5)
    return Layers(
        torch=outputs,
        keras=dict(outputs),
        torch_weights={
            "conv.weight": conv,
            "conv.bias": bias,
            "bn.weight": gamma,
            "bn.bias": beta,
            "bn.running_mean": mean,
            "bn.running_var": variance,
            "dense.weight": weight,
        },
        keras_weights={
            "conv.0": conv.transpose(2, 3, 1, 0),
            "conv.1": bias,
            **{f"bn.{i}": part for i, part in enumerate((gamma, beta, mean, variance))},
            "dense.0": by_pixel,
        },
        inputs={"image": image},
    )


def normalise(x: Numbers, parts: tuple[Numbers, ...], epsilon: float) -> Numbers:
    """Batch normalisation with its stored statistics."""
    gamma, beta, mean, variance = parts
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def with_keras(layers: Layers, weights: Mapping[str, Array], **outputs: Numbers) -> Layers:
    """The same layers with other outputs and weights in Keras."""
    return dataclasses.replace(
        layers,
        keras={**layers.keras, **outputs},
        keras_weights={**layers.keras_weights, **weights},
    )


def cause_at(layers: Layers, name: str) -> tuple[str, str]:
    """The first layer that parts must be `name`; its first cause and the evidence."""
    assert first_difference(layers) == name
    cause, *_ = explain_layer(layers, name)
    return cause.name, cause.evidence


@given(SEEDS)
def test_layers_that_agree_but_for_rounding_agree(seed: int) -> None:
    layers = network(seed)
    rounded = {name: array.astype(np.float32) for name, array in layers.keras.items()}
    assert first_difference(dataclasses.replace(layers, keras=rounded)) is None


@given(SEEDS, st.permutations(range(4)))
def test_a_kernel_with_its_axes_exchanged(seed: int, axes: list[int]) -> None:
    layers = network(seed)
    kernel = layers.torch_weights["conv.weight"].transpose(axes)
    spoiled = with_keras(layers, {"conv.0": kernel}, conv=np.ones((4, SIZE, SIZE, CHANNELS)))
    if axes == [2, 3, 1, 0]:
        assert not explain_layer(spoiled, "conv")
    else:
        name, evidence = cause_at(spoiled, "conv")
        assert name == "weight layout"
        assert str(tuple(axes)) in evidence


@given(SEEDS)
def test_a_kernel_upside_down(seed: int) -> None:
    layers = network(seed)
    kernel = layers.keras_weights["conv.0"][::-1]
    spoiled = with_keras(layers, {"conv.0": kernel}, conv=np.ones((4, SIZE, SIZE, CHANNELS)))
    assert cause_at(spoiled, "conv") == (
        "weight layout",
        "conv: the kernel in Keras has torch's numbers in another order",
    )


@given(SEEDS)
def test_weights_that_stayed_behind(seed: int) -> None:
    layers = network(seed)
    kernel = np.zeros((3, 3, CHANNELS, CHANNELS))
    spoiled = with_keras(layers, {"conv.0": kernel}, conv=np.ones((4, SIZE, SIZE, CHANNELS)))
    assert cause_at(spoiled, "conv")[0] == "weights not carried over"
    output = numbers(layers.torch["conv"]) - numbers(layers.torch_weights["conv.bias"])
    spoiled = with_keras(layers, {"conv.1": np.zeros(CHANNELS)}, conv=output)
    assert cause_at(spoiled, "conv") == ("weights not carried over", "conv: the biases differ")


@given(SEEDS, st.sampled_from([(2, 0), (0, 2)]))
def test_padding_on_the_other_side(seed: int, padding: tuple[int, int]) -> None:
    layers = network(seed)
    image, weight = numbers(layers.inputs["image"]), numbers(layers.torch_weights["conv.weight"])
    output = convolution(image, weight, *padding) + numbers(layers.torch_weights["conv.bias"])
    name, evidence = cause_at(with_keras(layers, {}, conv=output), "conv")
    before, after = padding
    assert name == "padding"
    assert "torch pads 1 before and 1 after" in evidence
    assert f"Keras pads {before} before and {after} after" in evidence


@given(SEEDS, st.sampled_from([1e-3, 1e-2, 1e-7]))
def test_another_epsilon(seed: int, epsilon: float) -> None:
    layers = network(seed)
    parts = tuple(numbers(layers.keras_weights[f"bn.{i}"]) for i in range(4))
    output = normalise(numbers(layers.torch["conv"]), parts, epsilon)
    spoiled = with_keras(layers, {}, bn=output)
    if first_difference(spoiled) is None:  # 1e-5 and 1e-7 may give the same numbers
        return
    name, evidence = cause_at(spoiled, "bn")
    more = "Keras" if epsilon > 1e-5 else "torch"
    assert name == "BatchNorm epsilon"
    assert f"{abs(epsilon - 1e-5):.2g} larger in {more}" in evidence


@given(SEEDS)
def test_statistics_exchanged_or_left_at_their_start(seed: int) -> None:
    layers = network(seed)
    mean, variance = layers.keras_weights["bn.2"], layers.keras_weights["bn.3"]
    off = np.zeros((4, SIZE, SIZE, CHANNELS))
    exchanged = with_keras(layers, {"bn.2": variance, "bn.3": mean}, bn=off)
    name, evidence = cause_at(exchanged, "bn")
    assert name == "weight layout"
    assert "running_mean, running_var differ (they are there, in another order)" in evidence
    start = {"bn.2": np.zeros(CHANNELS), "bn.3": np.ones(CHANNELS)}
    name, _ = cause_at(with_keras(layers, start, bn=off), "bn")
    assert name == "BatchNorm momentum or moving statistics"


@given(SEEDS)
def test_a_flatten_in_the_other_order(seed: int) -> None:
    layers = network(seed)
    kernel = layers.torch_weights["dense.weight"].T
    flat = numbers(layers.keras["bn"]).reshape(4, -1)
    spoiled = with_keras(layers, {"dense.0": kernel}, dense=flat @ numbers(kernel))
    name, evidence = cause_at(spoiled, "dense")
    assert name == "weight layout"
    assert "it follows a flatten" in evidence


def test_a_softmax_inside_the_last_layer() -> None:
    a = np.random.default_rng(1).normal(size=(6, 4))
    layers = Layers(
        torch={"logits": a},
        keras={"logits": softmax(a)},
        torch_weights={"logits.weight": np.eye(4)},
        keras_weights={"logits.0": np.eye(4)},
        inputs={"x": a},
    )
    assert cause_at(layers, "logits") == (
        "softmax vs logits",
        "logits: Keras applies softmax there, the other not",
    )


@pytest.mark.parametrize("function", [np.tanh, lambda x: np.maximum(x, 0)])
def test_an_activation_on_one_side(function: object) -> None:
    a = np.random.default_rng(1).normal(size=(6, 4))
    assert callable(function)
    layers = relation(function(a), a)
    assert cause_at(layers, "layer")[0] == "activation"


def relation(a: Numbers, b: Numbers, lengths: Array | None = None) -> Layers:
    """A layer without weights."""
    return Layers(
        torch={"layer": a},
        keras={"layer": b},
        torch_weights={},
        keras_weights={},
        inputs={},
        real_lengths=lengths,
    )


def test_relations_of_images() -> None:
    image = np.random.default_rng(1).normal(size=(2, 5, 5, 3))
    assert cause_at(relation(image, image.transpose(0, 2, 1, 3)), "layer")[0] == "weight layout"
    assert cause_at(relation(image, image[:, 1:, 1:]), "layer")[0] == "padding"
    border = image.copy()
    border[:, 0] += 1
    assert cause_at(relation(image, border), "layer")[0] == "padding"


def test_a_mask_that_one_side_ignores() -> None:
    tokens = np.random.default_rng(1).normal(size=(3, 8, 4))
    lengths = np.array([8, 5, 8])
    other = tokens.copy()
    other[1] += 1
    name, evidence = cause_at(relation(tokens, other, lengths), "layer")
    assert name == "padding"
    assert "ignores the mask" in evidence
    other[0] += 1
    assert not explain_layer(relation(tokens, other, lengths), "layer")


def test_other_shapes_are_not_close() -> None:
    assert not is_close(np.zeros(2), np.zeros(3))
    assert is_close(np.zeros(0), np.zeros(0))
