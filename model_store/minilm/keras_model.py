"""What is minilm in Keras? BERT's six blocks, written out; the layers are named as torch's modules."""

from typing import Any

import keras
from keras import layers, ops

from model_store.minilm.weights import LAYERS

_SIZE = 384
_HEADS = 12
_INNER_SIZE = 1536
_VOCABULARY = 30522
_MAX_TOKENS = 512
_TOKEN_TYPES = 2
_EPSILON = 1e-12
_NEVER = -1e9  # added to the score of a padded position, whose share of the softmax is then 0


class Embeddings(layers.Layer):  # type: ignore[misc]  # keras has no types where this is checked
    """Word, position and type vectors, added and normalised; every token is of type 0."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.words = layers.Embedding(_VOCABULARY, _SIZE)
        self.positions = layers.Embedding(_MAX_TOKENS, _SIZE)
        self.types = layers.Embedding(_TOKEN_TYPES, _SIZE)
        self.norm = layers.LayerNormalization(epsilon=_EPSILON)

    def call(self, input_ids: Any) -> Any:
        """int64 `[rows, tokens]` to float32 `[rows, tokens, 384]`."""
        tokens = ops.shape(input_ids)[1]
        added = (
            self.words(input_ids) + self.positions(ops.arange(tokens)) + self.types(ops.array(0))
        )
        return self.norm(added)


class EncoderBlock(layers.Layer):  # type: ignore[misc]  # keras has no types where this is checked
    """Self-attention and two dense layers, each followed by a residual sum and a normalisation."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.query = layers.Dense(_SIZE)
        self.key = layers.Dense(_SIZE)
        self.value = layers.Dense(_SIZE)
        self.attended = layers.Dense(_SIZE)
        self.norm1 = layers.LayerNormalization(epsilon=_EPSILON)
        self.inner = layers.Dense(_INNER_SIZE)
        self.outer = layers.Dense(_SIZE)
        self.norm2 = layers.LayerNormalization(epsilon=_EPSILON)

    def call(self, tokens: Any, mask: Any) -> Any:
        """float32 `[rows, tokens, 384]`, int64 `[rows, tokens]` to float32 `[rows, tokens, 384]`."""
        tokens = self.norm1(tokens + self.attended(self._attention(tokens, mask)))
        inner = keras.activations.gelu(self.inner(tokens), approximate=False)
        return self.norm2(tokens + self.outer(inner))

    def _attention(self, tokens: Any, mask: Any) -> Any:
        query, key, value = (
            self._by_head(part(tokens)) for part in (self.query, self.key, self.value)
        )
        hidden = ops.cast(1 - mask, tokens.dtype)[:, None, None, :] * _NEVER
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / (_SIZE // _HEADS) ** 0.5
        mixed = ops.transpose(ops.matmul(ops.softmax(scores + hidden), value), (0, 2, 1, 3))
        return ops.reshape(mixed, ops.shape(tokens))

    def _by_head(self, vectors: Any) -> Any:
        """`[rows, tokens, 384]` to `[rows, 12, tokens, 32]`."""
        rows, tokens = ops.shape(vectors)[:2]
        split = ops.reshape(vectors, (rows, tokens, _HEADS, _SIZE // _HEADS))
        return ops.transpose(split, (0, 2, 1, 3))


class MeanPooling(layers.Layer):  # type: ignore[misc]  # keras has no types where this is checked
    """The mean of the token vectors that the mask keeps, scaled to length one."""

    def call(self, tokens: Any, mask: Any) -> Any:
        """float32 `[rows, tokens, 384]`, int64 `[rows, tokens]` to float32 `[rows, 384]`."""
        kept = ops.cast(mask, tokens.dtype)[:, :, None]
        mean = ops.sum(tokens * kept, axis=1) / ops.maximum(ops.sum(kept, axis=1), 1e-9)
        return ops.normalize(mean, axis=1)


def build() -> keras.Model:
    """Token ids and mask, int64 `[rows, tokens]`, to embeddings, float32 `[rows, 384]`."""
    ids = keras.Input((None,), dtype="int64", name="input_ids")
    mask = keras.Input((None,), dtype="int64", name="attention_mask")
    tokens = Embeddings("bert.embeddings")(ids)
    for index in range(LAYERS):
        tokens = EncoderBlock(f"bert.encoder.layer.{index}")(tokens, mask)
    embedding = MeanPooling(name="pooling")(tokens, mask)
    return keras.Model({"input_ids": ids, "attention_mask": mask}, embedding)
