"""Which torch weights does each Keras layer of digits take?"""

from gateway.tensors import Array
from model_store.layouts import Weights, batch_norm, conv2d, dense, dense_after_flatten


def to_keras(weights: Weights) -> dict[str, list[Array]]:
    """Keras' weights by layer, from torch's by parameter."""
    return {
        "conv1": conv2d(weights, "conv1"),
        "bn1": batch_norm(weights, "bn1"),
        "conv2": conv2d(weights, "conv2"),
        "bn2": batch_norm(weights, "bn2"),
        "dense1": dense_after_flatten(weights, "dense1", (32, 4, 4)),
        "logits": dense(weights, "logits"),
    }
