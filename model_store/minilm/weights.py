"""Which torch weights does each Keras layer of minilm take?

A layer of Keras here is a whole block of BERT, and takes its weights in the order in which it makes its
parts: embeddings are word, position, type, normalisation; an encoder block is query, key, value, output
and its normalisation, then the two dense layers and theirs.
"""

from gateway.tensors import Array
from model_store.layouts import Weights, dense, layer_norm

LAYERS = 6


def to_keras(weights: Weights) -> dict[str, list[Array]]:
    """Keras' weights by layer, from torch's by parameter."""
    blocks = [f"bert.encoder.layer.{index}" for index in range(LAYERS)]
    return {
        "bert.embeddings": _embeddings(weights, "bert.embeddings"),
        **{block: _encoder_block(weights, block) for block in blocks},
    }


def _embeddings(weights: Weights, name: str) -> list[Array]:
    tables = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    return [
        *(weights[f"{name}.{table}.weight"] for table in tables),
        *layer_norm(weights, f"{name}.LayerNorm"),
    ]


def _encoder_block(weights: Weights, name: str) -> list[Array]:
    return [
        *dense(weights, f"{name}.attention.self.query"),
        *dense(weights, f"{name}.attention.self.key"),
        *dense(weights, f"{name}.attention.self.value"),
        *dense(weights, f"{name}.attention.output.dense"),
        *layer_norm(weights, f"{name}.attention.output.LayerNorm"),
        *dense(weights, f"{name}.intermediate.dense"),
        *dense(weights, f"{name}.output.dense"),
        *layer_norm(weights, f"{name}.output.LayerNorm"),
    ]
