"""A SavedModel that takes as long as it is told: `steps` int64 [] in, 3 if left out; the same number out.

Runs in the TensorFlow environment: `python -m tests.serving.tf_serving.spin DIRECTORY`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2


class Spin(tf.Module):  # type: ignore[misc]  # TensorFlow has no types here
    """Counts to `steps`, one small matrix product a step: about 20 µs each."""

    @tf.function(input_signature=[tf.TensorSpec((), tf.int64, name="steps")])  # type: ignore[untyped-decorator]
    def spin(self, steps: tf.Tensor) -> dict[str, tf.Tensor]:
        matrix = tf.eye(32)
        for _ in tf.range(steps):
            matrix = tf.linalg.matmul(matrix, tf.eye(32))
        return {"steps": tf.cast(matrix[0, 0], tf.int64) * steps}


def write(directory: Path) -> None:
    model = Spin()
    tf.saved_model.save(model, str(directory), signatures={"serving_default": model.spin})
    # TensorFlow reads defaults of inputs, but has no way to write them.
    message = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    signature = message.meta_graphs[0].signature_def["serving_default"]
    signature.defaults["steps"].CopyFrom(tf.make_tensor_proto(3, tf.int64))
    (directory / "saved_model.pb").write_bytes(message.SerializeToString())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
