"""Which torch weights does each Keras layer of iris take?"""

from gateway.tensors import Array
from model_store.layouts import Weights, dense


def to_keras(weights: Weights) -> dict[str, list[Array]]:
    """Keras' weights by layer, from torch's by parameter."""
    return {name: dense(weights, name) for name in ("dense1", "dense2", "logits")}
