"""The recorded models that the first TensorFlow would have exported: graphs, fed and fetched by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import tensorflow as tf

__all__ = ["counter", "examples", "half_plus_three", "half_plus_two", "half_plus_two_2_versions"]

Signatures: TypeAlias = Mapping[str, Any]

_CLASSIFY = "tensorflow/serving/classify"
_PREDICT = "tensorflow/serving/predict"
_REGRESS = "tensorflow/serving/regress"


def half_plus_two(model: Path) -> None:
    _write_half_plus_two(model / "00000123", {"classify_x_to_y", *_REGRESSIONS})


def half_plus_two_2_versions(model: Path) -> None:
    for version in ("00000123", "00000124"):
        _write_half_plus_two(
            model / version, {"classify_x_to_y", "classify_x2_to_y3", *_REGRESSIONS}
        )


_REGRESSIONS = ("regress_x_to_y", "regress_x_to_y2", "regress_x2_to_y3")


def _write_half_plus_two(version: Path, wanted: set[str]) -> None:
    """A graph of the first TensorFlow: y = x/2 + 2, y2 = x/2 + 3, of floats or of examples."""
    with tf.Graph().as_default():
        example = tf.compat.v1.placeholder(tf.string, name="tf_example")
        x_parsed, x2_parsed = _parse_x_and_x2(example)
        x, x2 = tf.identity(x_parsed, name="x"), tf.identity(x2_parsed, name="x2")
        y, y2 = tf.add(0.5 * x, 2.0, name="y"), tf.add(0.5 * x, 3.0, name="y2")
        y3 = tf.add(0.5 * x2, 3.0, name="y3")
        signatures = {
            "classify_x_to_y": _signature({"inputs": example}, {"scores": y}, _CLASSIFY),
            "classify_x2_to_y3": _signature({"inputs": x2}, {"scores": y3}, _CLASSIFY),
            "regress_x_to_y": _signature({"inputs": example}, {"outputs": y}, _REGRESS),
            "regress_x_to_y2": _signature({"inputs": example}, {"outputs": y2}, _REGRESS),
            "regress_x2_to_y3": _signature({"inputs": x2}, {"outputs": y3}, _REGRESS),
        }
        chosen = {name: found for name, found in signatures.items() if name in wanted}
        chosen["serving_default"] = _signature({"x": x}, {"y": y}, _PREDICT)
        _write_graph(version, chosen)


def _parse_x_and_x2(example: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    # The first version of the operation, which is the one in TensorFlow Serving's own models.
    with tf.name_scope("ParseExample"):
        parsed = tf.raw_ops.ParseExample(
            serialized=example,
            names=tf.constant([], tf.string),
            sparse_keys=[],
            dense_keys=[tf.constant("x"), tf.constant("x2")],
            dense_defaults=[tf.constant([], tf.float32), tf.constant([0.0])],
            sparse_types=[],
            dense_shapes=[[1], [1]],
            name="ParseExample",
        )
    x, x2 = parsed.dense_values
    return x, x2


def half_plus_three(model: Path) -> None:
    with tf.Graph().as_default():
        x = tf.compat.v1.placeholder(tf.float32, name="x")
        y = tf.add(0.5 * x, 3.0, name="y")
        x_info, y_info = _info(x), _info(y)
        for info in (x_info, y_info):  # declared as scalars, wrongly: the record has it so
            info.tensor_shape.Clear()
        definition = tf.compat.v1.saved_model.signature_def_utils.build_signature_def(
            {"x": x_info}, {"y": y_info}, _PREDICT
        )
        _write_graph(model / "00000123", {"serving_default": definition})


def counter(model: Path) -> None:
    """State: what it answers depends on what it was asked before."""
    with tf.Graph().as_default():
        counter = tf.compat.v1.Variable(0.0, name="counter", use_resource=False)
        delta = tf.compat.v1.placeholder(tf.float32, name="delta")
        with tf.name_scope("incr_counter_op"):
            up = tf.compat.v1.assign_add(counter, 1.0, name="AssignAdd")
        with tf.name_scope("incr_counter_by_op"):
            by = tf.compat.v1.assign_add(counter, delta, name="AssignAdd")
        with tf.name_scope("reset_counter_op"):
            reset = tf.compat.v1.assign(counter, 0.0, name="Assign")
        signatures = {
            "get_counter": _signature({}, {"output": counter._ref()}, _PREDICT),
            "incr_counter": _signature({}, {"output": up}, _PREDICT),
            "incr_counter_by": _signature({"delta": delta}, {"output": by}, _PREDICT),
            "reset_counter": _signature({}, {"output": reset}, _PREDICT),
        }
        for name, definition in signatures.items():
            definition.outputs["output"].dtype = tf.float32.as_datatype_enum + 100
            assert definition.outputs["output"].name, name
        _write_graph(model / "00000123", signatures)


def examples(model: Path) -> None:
    """`est`: classify and regress, with several outputs, one, or ones that do not fit."""
    with tf.Graph().as_default():
        text = tf.compat.v1.placeholder(tf.string, [None], name="tf_example")
        feature = tf.io.FixedLenFeature
        parsed = tf.io.parse_example(
            text,
            {
                "x": feature([1], tf.float32),
                "name": feature([1], tf.string, "dflt"),
                "n": feature([1], tf.int64, 7),
            },
        )
        x, number = parsed["x"], parsed["n"]
        scores = tf.concat([x, 2.0 * x, 3.0 * x], 1, name="scores")
        rows = tf.shape(x)[0]
        classes = tf.tile(tf.constant([["a", "b", "c"]]), [rows, 1], name="Tile")
        sums = tf.reshape(x + tf.cast(number, tf.float32), [-1], name="Reshape")
        column = tf.multiply(x, 10.0, name="mul_2")
        both = {"classes": classes, "scores": scores}
        _write_graph(
            model / "3",
            {
                "serving_default": _signature({"inputs": text}, both, _CLASSIFY),
                "cls_scores_only": _signature({"inputs": text}, {"scores": scores}, _CLASSIFY),
                "cls_classes_only": _signature({"inputs": text}, {"classes": classes}, _CLASSIFY),
                "reg": _signature({"inputs": text}, {"outputs": sums}, _REGRESS),
                "reg2d": _signature({"inputs": text}, {"outputs": column}, _REGRESS),
                "reg_bad": _signature({"inputs": text}, {"outputs": scores}, _REGRESS),
                "predict": _signature({"examples": text}, {"scores": scores}, _PREDICT),
                "parsed": _signature({"inputs": text}, parsed, _PREDICT),
            },
        )


def _signature(inputs: Signatures, outputs: Signatures, method: str) -> Any:
    return tf.compat.v1.saved_model.signature_def_utils.build_signature_def(
        {name: _info(tensor) for name, tensor in inputs.items()},
        {name: _info(tensor) for name, tensor in outputs.items()},
        method,
    )


def _info(tensor: Any) -> Any:
    return tf.compat.v1.saved_model.utils.build_tensor_info(tensor)


def _write_graph(version: Path, signatures: Signatures) -> None:
    with tf.compat.v1.Session() as session:
        session.run(tf.compat.v1.global_variables_initializer())
        builder = tf.compat.v1.saved_model.builder.SavedModelBuilder(str(version))
        builder.add_meta_graph_and_variables(session, ["serve"], dict(signatures))
        builder.save()
