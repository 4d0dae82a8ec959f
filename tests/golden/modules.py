"""The recorded models that the second TensorFlow exports: modules, and functions as their signatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import tensorflow as tf

__all__ = ["half_plus_two_tf2", "named", "types"]

Signatures: TypeAlias = Mapping[str, Any]

_DTYPES: Mapping[str, tf.DType] = {
    "b": tf.bool,
    "bf16": tf.bfloat16,
    "c64": tf.complex64,
    "f16": tf.float16,
    "f32": tf.float32,
    "f64": tf.float64,
    "i8": tf.int8,
    "i16": tf.int16,
    "i32": tf.int32,
    "i64": tf.int64,
    "s": tf.string,
    "u8": tf.uint8,
    "u16": tf.uint16,
    "u32": tf.uint32,
    "u64": tf.uint64,
}


def half_plus_two_tf2(model: Path) -> None:
    """The same arithmetic as half_plus_two, as the second TensorFlow exports it."""
    module = tf.Module()
    module.a, module.b, module.c = (tf.Variable(value) for value in (0.5, 2.0, 3.0))

    def of_examples(add: tf.Variable, output: str) -> Any:
        def compute(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            feature = {"x": tf.io.FixedLenFeature([1], tf.float32)}
            return {output: module.a * tf.io.parse_example(inputs, feature)["x"] + add}

        return _function(compute, inputs=tf.TensorSpec([None], tf.string))

    def of_floats(name: str, add: tf.Variable, output: str) -> Any:
        if name == "x":
            zero = tf.constant([0.0])  # for a request that leaves it out
            return _function(
                lambda x=zero: {output: module.a * x + add}, x=tf.TensorSpec([1], tf.float32)
            )
        return _function(
            lambda inputs: {output: module.a * inputs + add},
            inputs=tf.TensorSpec([1], tf.float32),
        )

    _write_module(
        model / "00000123",
        module,
        {
            "serving_default": of_floats("x", module.b, "y"),
            "classify_x_to_y": of_examples(module.b, "scores"),
            "classify_x2_to_y3": of_floats("inputs", module.c, "scores"),
            "regress_x_to_y": of_examples(module.b, "outputs"),
            "regress_x_to_y2": of_examples(module.c, "outputs"),
            "regress_x2_to_y3": of_floats("inputs", module.c, "outputs"),
        },
    )


def named(model: Path) -> None:
    """Its only input is called like TF Serving's own key."""
    floats = tf.TensorSpec([None], tf.float32)
    add_one = _function(lambda inputs: {"outputs": inputs + 1.0}, inputs=floats)
    _write_module(model / "7", tf.Module(), {"serving_default": add_one})


def types(model: Path) -> None:
    """An identity of each datatype, and every way for inputs and outputs to be odd."""
    floats, ints = tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.int64)
    signatures = {
        f"id_{name}": _function(lambda x: {"y": tf.identity(x)}, x=tf.TensorSpec(None, dtype))
        for name, dtype in _DTYPES.items()
    }
    signatures |= {
        "serving_default": _function(
            lambda x: {"y": x * 2.0}, x=tf.TensorSpec([None, 2], tf.float32)
        ),
        "two": _function(lambda a, b: {"sum": a + b, "diff": a - b}, a=floats, b=floats),
        "two_one": _function(lambda a, b: {"sum": a + tf.cast(b, tf.float32)}, a=floats, b=ints),
        "scalar": _function(lambda x: {"y": x + 1.0}, x=tf.TensorSpec([], tf.float32)),
        "strings": _function(_measure, s=tf.TensorSpec([None], tf.string)),
        "nobatch": _function(lambda x: {"a": x, "b": tf.constant([1.0, 2.0, 3.0])}, x=floats),
        "reduce": _function(lambda x: {"a": tf.reduce_sum(x)}, x=floats),
        "reduce_mixed": _function(lambda x: {"a": x, "n": tf.reduce_sum(x)}, x=floats),
        "div": _function(lambda x: {"y": 1.0 / x, "l": tf.math.log(x)}, x=floats),
        "assertpos": _function(_positive, x=floats),
        "noinput": _function(lambda: {"c": tf.constant([[1, 2], [3, 4]])}),
    }
    _write_module(model / "1", tf.Module(), signatures)


def _measure(s: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"len": tf.strings.length(s), "echo_bytes": tf.identity(s), "echo": tf.identity(s)}


def _positive(x: tf.Tensor) -> dict[str, tf.Tensor]:
    check = tf.debugging.assert_positive(x, message="must be positive")
    with tf.control_dependencies([check]):
        return {"y": tf.identity(x)}


def _function(compute: Callable[..., Any], **specs: tf.TensorSpec) -> Any:
    signature = [tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in specs.items()]
    return tf.function(compute, input_signature=signature)


def _write_module(version: Path, module: tf.Module, functions: Signatures) -> None:
    module.functions = list(functions.values())  # what is not tracked is not exported
    tf.saved_model.save(module, str(version), signatures=dict(functions))
