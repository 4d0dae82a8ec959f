"""At which layer do two definitions part, and what sets that layer apart?

Pure functions on what both definitions gave for the same rows, layer by layer, images as
`[rows, y, x, channels]`. Where both have the weights of a layer, a guess is tested by doing the layer's
arithmetic again in numpy: a cause is named when it explains the numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from gateway.tensors import Array

__all__ = ["Cause", "Layers", "Numbers", "explain_layer", "first_difference", "is_close"]

Numbers: TypeAlias = npt.NDArray[np.float64]
Activation: TypeAlias = Callable[[Numbers], Numbers]

# Rounding in another order stays under this share of the largest number of a layer; a fault does not.
_NOISE_RATIO = 2e-5

_OIHW_TO_HWIO = (2, 3, 1, 0)
_IMAGE_RANK, _SEQUENCE_RANK = 4, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A likely cause, and what in the numbers speaks for it."""

    name: str
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layers:
    """What both definitions gave, and what their layers hold.

    Attributes:
        torch, keras: The outputs by layer, torch's in the order of its run.
        torch_weights: By parameter, `conv1.weight`.
        keras_weights: By layer and position, `conv1.0`.
        inputs: The model's inputs.
        real_lengths: int64 `[rows]`, how much of each row is not padding; None without ragged inputs.
    """

    torch: Mapping[str, Array]
    keras: Mapping[str, Array]
    torch_weights: Mapping[str, Array]
    keras_weights: Mapping[str, Array]
    inputs: Mapping[str, Array]
    real_lengths: Array | None = None


def is_close(a: Array, b: Array) -> bool:
    """Whether two arrays are the same but for rounding."""
    if a.shape != b.shape:
        return False
    left, right = a.astype(np.float64), b.astype(np.float64)
    scale = max(np.abs(left).max(initial=0.0), np.abs(right).max(initial=0.0))
    return bool(np.abs(left - right).max(initial=0.0) <= _NOISE_RATIO * scale)


def first_difference(layers: Layers) -> str | None:
    """The first layer, in the order of torch's run, whose outputs differ; None if all agree."""
    common = [name for name in layers.torch if name in layers.keras]
    return next((n for n in common if not is_close(layers.torch[n], layers.keras[n])), None)


def explain_layer(layers: Layers, name: str) -> tuple[Cause, ...]:
    """Why the outputs of this layer differ although those before it agree; () if nothing explains it."""
    a, b = layers.torch[name].astype(np.float64), layers.keras[name].astype(np.float64)
    weight = layers.torch_weights.get(f"{name}.weight")
    if weight is not None and weight.ndim == _IMAGE_RANK:
        found = _explain_convolution(layers, name)
    elif f"{name}.running_var" in layers.torch_weights:
        found = _explain_batch_norm(layers, name)
    elif weight is not None and weight.ndim == 2:  # noqa: PLR2004  # a matrix
        found = _explain_dense(layers, name)
    else:
        found = ()
    return found or tuple(_relations(name, a, b, layers.real_lengths))


def _input_of(layers: Layers, name: str) -> Array | None:
    """What goes into the layer: the last output before it that both have and agree on."""
    before = list(itertools.takewhile(lambda other: other != name, layers.torch))
    common = [other for other in before if other in layers.keras]
    if common:
        return layers.torch[common[-1]]
    return next(iter(layers.inputs.values())) if len(layers.inputs) == 1 else None


def _explain_convolution(layers: Layers, name: str) -> tuple[Cause, ...]:
    weight, kernel = layers.torch_weights[f"{name}.weight"], layers.keras_weights.get(f"{name}.0")
    if kernel is None:
        return ()
    if not is_close(np.transpose(weight, _OIHW_TO_HWIO), kernel):
        return (_layout(name, weight, kernel, _OIHW_TO_HWIO),)
    bias = _differing_bias(layers, name)
    return (bias,) if bias else _explain_padding(layers, name, kernel)


def _layout(name: str, weight: Array, kernel: Array, wanted: tuple[int, ...]) -> Cause:
    for axes in itertools.permutations(range(weight.ndim)):
        if axes != wanted and is_close(np.transpose(weight, axes), kernel):
            got = f"torch's with axes {axes}, wanted {wanted}"
            return Cause(name="weight layout", evidence=f"{name}: the kernel in Keras is {got}")
    if is_close(np.sort(weight, axis=None), np.sort(kernel, axis=None)):
        text = f"{name}: the kernel in Keras has torch's numbers in another order"
        return Cause(name="weight layout", evidence=text)
    text = f"{name}: the kernel in Keras has other numbers than torch's"
    return Cause(name="weights not carried over", evidence=text)


def _differing_bias(layers: Layers, name: str) -> Cause | None:
    a, b = layers.torch_weights.get(f"{name}.bias"), layers.keras_weights.get(f"{name}.1")
    if a is None or b is None or is_close(a, b):
        return None
    return Cause(name="weights not carried over", evidence=f"{name}: the biases differ")


def _explain_padding(layers: Layers, name: str, kernel: Array) -> tuple[Cause, ...]:
    """Do the convolution again with every padding, and see which gives either side's numbers."""
    image = _input_of(layers, name)
    bias = layers.torch_weights.get(f"{name}.bias")
    if image is None or image.ndim != _IMAGE_RANK or image.shape[-1] != kernel.shape[2]:
        return ()
    by_torch, by_keras = "", ""
    for before, after, stride in itertools.product(range(3), range(3), (1, 2, 3)):
        again = _convolve(image, kernel, (before, after), stride)
        again = again if bias is None else again + bias.astype(np.float64)
        text = f"{before} before and {after} after, stride {stride}"
        by_torch = by_torch or (text if is_close(again, layers.torch[name]) else "")
        by_keras = by_keras or (text if is_close(again, layers.keras[name]) else "")
    if not by_torch or not by_keras or by_torch == by_keras:
        return ()
    return (
        Cause(name="padding", evidence=f"{name}: torch pads {by_torch}; Keras pads {by_keras}"),
    )


def _convolve(image: Array, kernel: Array, padding: tuple[int, int], stride: int) -> Numbers:
    """`[rows, y, x, in]` and `[height, width, in, out]` to `[rows, y, x, out]`; () where it has no room."""
    padded = np.pad(image.astype(np.float64), ((0, 0), padding, padding, (0, 0)))
    height, width = kernel.shape[:2]
    if padded.shape[1] < height or padded.shape[2] < width:
        return np.zeros(())
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    taken = windows[:, ::stride, ::stride]
    return cast("Numbers", np.einsum("nyxihw,hwio->nyxo", taken, kernel.astype(np.float64)))


def _explain_dense(layers: Layers, name: str) -> tuple[Cause, ...]:
    weight, kernel = layers.torch_weights[f"{name}.weight"], layers.keras_weights.get(f"{name}.0")
    if kernel is None:
        return ()
    bias = _differing_bias(layers, name)
    if bias:
        return (bias,)
    into = _input_of(layers, name)
    if into is not None and into.ndim == _IMAGE_RANK:
        return _explain_flatten(name, weight, kernel, into)
    if not is_close(weight.T, kernel):
        return (_layout(name, weight, kernel, (1, 0)),)
    return tuple(_activation(name, layers.torch[name], layers.keras[name]))


def _explain_flatten(name: str, weight: Array, kernel: Array, image: Array) -> tuple[Cause, ...]:
    _, height, width, channels = image.shape
    if weight.shape[1] != height * width * channels:
        return ()
    by_pixel = weight.reshape(-1, channels, height, width).transpose(2, 3, 1, 0)
    if is_close(by_pixel.reshape(kernel.shape), kernel):
        return ()
    if not is_close(weight.T, kernel):
        return (_layout(name, weight, kernel, (1, 0)),)
    text = (
        f"{name}: it follows a flatten, and its kernel in Keras is torch's simply transposed; torch flattens"
        f" ({channels} channels, {height}, {width}), Keras ({height}, {width}, {channels} channels):"
        " its rows must be put in that order"
    )
    return (Cause(name="weight layout", evidence=text),)


def _explain_batch_norm(layers: Layers, name: str) -> tuple[Cause, ...]:
    parts = ("weight", "bias", "running_mean", "running_var")
    ours = [layers.torch_weights[f"{name}.{part}"] for part in parts]
    theirs = [layers.keras_weights.get(f"{name}.{index}") for index in range(len(parts))]
    wrong = [
        part
        for part, a, b in zip(parts, ours, theirs, strict=True)
        if b is None or not is_close(a, b)
    ]
    if wrong:
        swapped = sum(any(b is not None and is_close(a, b) for b in theirs) for a in ours)
        order = " (they are there, in another order)" if swapped == len(parts) else ""
        text = f"{name}: {', '.join(wrong)} differ{order}"
        moving = all(part.startswith("running") for part in wrong)
        kind = "BatchNorm momentum or moving statistics" if moving else "weights not carried over"
        return (Cause(name="weight layout" if order else kind, evidence=text),)
    return tuple(_epsilon(name, layers.torch[name], layers.keras[name], ours))


def _epsilon(name: str, a: Array, b: Array, weights: list[Array]) -> Iterator[Cause]:
    """With equal weights, b - beta = (a - beta) * sqrt((variance + e_torch) / (variance + e_keras))."""
    _, beta, _, variance = (part.astype(np.float64) for part in weights)
    left, right = a.astype(np.float64) - beta, b.astype(np.float64) - beta
    axes = tuple(range(a.ndim - 1))
    power = np.sum(left * left, axis=axes)
    slopes = np.sum(left * right, axis=axes) / np.where(power == 0, 1.0, power)
    used = (power > 0) & (slopes > 0)
    if not used.any() or not is_close((left * slopes)[..., used], right[..., used]):
        return
    extra = np.median((variance / slopes**2 - variance)[used])
    more, less = ("Keras", "torch") if extra > 0 else ("torch", "Keras")
    yield Cause(
        name="BatchNorm epsilon",
        evidence=f"{name}: same weights, but Keras' output is {slopes[used].min():.6f} to"
        f" {slopes[used].max():.6f} of torch's by channel, which an epsilon about {abs(extra):.2g}"
        f" larger in {more} than in {less} explains",
    )


def _activation(name: str, a: Array, b: Array) -> Iterator[Cause]:
    """Activations that one side applies inside the layer, and the other does not."""
    functions: dict[str, Activation] = {
        "softmax": softmax,
        "ReLU": lambda x: np.maximum(x, 0),
        "sigmoid": _sigmoid,
        "tanh": np.tanh,
    }
    left, right = a.astype(np.float64), b.astype(np.float64)
    for label, function in functions.items():
        for who, plain, other in (("Keras", left, right), ("torch", right, left)):
            if is_close(function(plain), other):
                kind = "softmax vs logits" if label == "softmax" else "activation"
                yield Cause(
                    name=kind, evidence=f"{name}: {who} applies {label} there, the other not"
                )


def softmax(x: Numbers) -> Numbers:
    """Softmax over the last axis."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return cast("Numbers", powers / powers.sum(axis=-1, keepdims=True))


def _sigmoid(x: Numbers) -> Numbers:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -700, 700))))


def _relations(name: str, a: Numbers, b: Numbers, real_lengths: Array | None) -> Iterator[Cause]:
    """Relations between the outputs alone, for layers whose weights say nothing."""
    if a.shape != b.shape:
        text = f"{name}: {list(a.shape)} in torch, {list(b.shape)} in Keras"
        yield Cause(name="padding" if a.ndim == _IMAGE_RANK else "shape", evidence=text)
        return
    yield from _activation(name, a, b)
    if a.ndim == _IMAGE_RANK and is_close(a.transpose(0, 2, 1, 3), b):
        yield Cause(name="weight layout", evidence=f"{name}: y and x are exchanged")
    if a.ndim == _IMAGE_RANK and _only_border_differs(a, b):
        yield Cause(name="padding", evidence=f"{name}: only pixels at the border differ")
    if a.ndim == _SEQUENCE_RANK and real_lengths is not None:
        yield from _padded_rows(name, a, b, real_lengths)


def _only_border_differs(a: Numbers, b: Numbers) -> bool:
    inner = (slice(None), slice(1, -1), slice(1, -1))
    return min(a.shape[1:3]) > 2 and is_close(a[inner], b[inner])  # noqa: PLR2004  # it has an inside


def _padded_rows(name: str, a: Numbers, b: Numbers, real_lengths: Array) -> Iterator[Cause]:
    padded = real_lengths < a.shape[1]
    if padded.any() and not padded.all() and is_close(a[~padded], b[~padded]):
        text = f"{name}: rows without padding agree, rows with padding do not: one ignores the mask"
        yield Cause(name="padding", evidence=text)
