"""A SavedModel that takes as long as it is told: `steps` int64 [] in, the same number out.

Runs in the TensorFlow environment: `python -m tests.serving.tf_serving.spin DIRECTORY`.
"""

from __future__ import annotations

import sys

import tensorflow as tf


class Spin(tf.Module):  # type: ignore[misc]  # TensorFlow has no types here
    """Counts to `steps`, one small matrix product a step: about 20 µs each."""

    @tf.function(input_signature=[tf.TensorSpec((), tf.int64, name="steps")])  # type: ignore[untyped-decorator]
    def spin(self, steps: tf.Tensor) -> dict[str, tf.Tensor]:
        matrix = tf.eye(32)
        for _ in tf.range(steps):
            matrix = tf.linalg.matmul(matrix, tf.eye(32))
        return {"steps": tf.cast(matrix[0, 0], tf.int64) * steps}


if __name__ == "__main__":
    model = Spin()
    tf.saved_model.save(model, sys.argv[1], signatures={"serving_default": model.spin})
