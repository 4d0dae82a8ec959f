"""SavedModels like some that the real TensorFlow Serving was asked about and whose files are not here.

`est` version 3 parses examples (`x` float, `name` and `n` with defaults) and classifies, regresses or
predicts from them; `half_plus_two_tf2` and `half_plus_three` version 123 are what they are called. Errors
name nodes of the graph, so est's are called as they were.

Runs in the TensorFlow environment: `python -m tests.serving.tf_serving.estimator DIRECTORY`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

v1 = tf.compat.v1
CLASSIFY, REGRESS, PREDICT = (
    f"tensorflow/serving/{method}" for method in ("classify", "regress", "predict")
)


def signature(inputs: Mapping[str, Any], outputs: Mapping[str, Any], method: str) -> Any:
    infos = [
        {alias: v1.saved_model.build_tensor_info(tensor) for alias, tensor in tensors.items()}
        for tensors in (inputs, outputs)
    ]
    return v1.saved_model.build_signature_def(*infos, method)


def signatures() -> dict[str, Any]:
    """Build the graph of `est`, and what it can be asked."""
    examples = v1.placeholder(tf.string, [None], name="tf_example")
    features = {
        "x": v1.io.FixedLenFeature([1], tf.float32),
        "name": v1.io.FixedLenFeature([1], tf.string, default_value="dflt"),
        "n": v1.io.FixedLenFeature([1], tf.int64, default_value=7),
    }
    parsed = v1.io.parse_example(examples, features)
    x = parsed["x"]
    scores = tf.concat([x, x * 2, x * 3], axis=1, name="scores")
    classes = tf.tile(tf.constant([[b"a", b"b", b"c"]]), [tf.shape(x)[0], 1])
    flat = tf.reshape(x + tf.cast(parsed["n"], tf.float32), [-1])
    column = x * 10.0
    sent = {"inputs": examples}
    both = {"classes": classes, "scores": scores}
    return {
        "serving_default": signature(sent, both, CLASSIFY),
        "cls_scores_only": signature(sent, {"scores": scores}, CLASSIFY),
        "cls_classes_only": signature(sent, {"classes": classes}, CLASSIFY),
        "reg": signature(sent, {"outputs": flat}, REGRESS),
        "reg2d": signature(sent, {"outputs": column}, REGRESS),
        "reg_bad": signature(sent, {"outputs": scores}, REGRESS),
        "predict": signature({"examples": examples}, {"scores": scores}, PREDICT),
        "parsed": signature(sent, {name: parsed[name] for name in features}, PREDICT),
    }


def write_estimator(directory: Path) -> None:
    graph = tf.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        builder = v1.saved_model.Builder(str(directory))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures())
        builder.save()


def write_half_plus(directory: Path, what: float) -> None:
    module = tf.Module()
    module.predict = tf.function(
        lambda x: {"y": x * 0.5 + what}, [tf.TensorSpec([None], tf.float32, name="x")]
    )
    tf.saved_model.save(module, str(directory), {"serving_default": module.predict})


def main() -> None:
    store = Path(sys.argv[1])
    write_estimator(store / "est" / "3")
    write_half_plus(store / "saved_model_half_plus_two_tf2_cpu" / "123", 2.0)
    write_half_plus(store / "saved_model_half_plus_three" / "123", 3.0)


if __name__ == "__main__":
    main()
