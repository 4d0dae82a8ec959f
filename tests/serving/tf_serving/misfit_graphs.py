"""Which operations usually meet an input first? One signature for each, its inputs scalars, lists or matrices.

The weights do not matter; they are ones. What an operation says of good inputs does not either.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from tests.serving.tf_serving.misfit_matrices import (
    FLOATS,
    WIDTH,
    Function,
    Graph,
    matrices,
    reshaped,
    shaping,
)

__all__ = ["write"]


def write(folder: Path) -> None:
    """Write the SavedModel with all of them into `folder`."""
    module = tf.Module()
    graphs = {
        **matrices(),
        **reshaped(),
        **shaping(),
        **_lists(),
        **_indices(),
        **_strings(module),
    }
    layers = _layers()
    module.layers = [layer for layer, _ in layers.values()]
    graphs |= {f"keras_{name}": (layer, (spec,)) for name, (layer, spec) in layers.items()}
    module.functions = {name: _function(*graph) for name, graph in graphs.items()}
    tf.saved_model.save(module, str(folder), signatures=dict(module.functions))


def _function(compute: Function, specs: tuple[tf.TensorSpec, ...]) -> Any:
    named = [tf.TensorSpec(spec.shape, spec.dtype, name=f"x{i}") for i, spec in enumerate(specs)]

    def call(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        found = compute(*inputs)
        found = found if isinstance(found, (tuple, list)) else [found]
        return {f"y{i}": output for i, output in enumerate(found)}

    return tf.function(call, input_signature=named)


def _spec(shape: list[int | None] | None, dtype: tf.DType = tf.float32) -> tf.TensorSpec:
    return tf.TensorSpec(shape, dtype)


_LIST = _spec([None])
_SCALAR = _spec([])
_INTS = _spec([None, WIDTH], tf.int32)
_INT_LIST = _spec([None], tf.int32)
_INT = _spec([], tf.int32)
_TEXTS = _spec([None], tf.string)
_TEXT_ROWS = _spec([None, 1], tf.string)


def _lists() -> dict[str, Graph]:
    two = (FLOATS, FLOATS)
    return {
        "list_square": (lambda x: x * x, (_LIST,)),
        "list_dot": (lambda x: tf.tensordot(x, x, 1), (_LIST,)),
        "list_split": (lambda x: tf.split(x, 2), (_LIST,)),
        "list_unique": (lambda x: list(tf.unique(x)), (_LIST,)),
        "list_histogram": (lambda x: tf.histogram_fixed_width(x, [0.0, 1.0]), (_LIST,)),
        "list_diag": (tf.linalg.diag, (_LIST,)),
        "list_meshgrid": (lambda x: tf.meshgrid(x, x), (_LIST,)),
        "list_to_matrix": (lambda x: tf.matmul(x[:, tf.newaxis], tf.ones([1, 3])), (_LIST,)),
        "list_searchsorted": (lambda x: tf.searchsorted(tf.constant([0.0, 1.0]), x), (_LIST,)),
        "scalar_fill": (lambda x: tf.fill([2], x), (_SCALAR,)),
        "scalar_range": (lambda x: tf.range(0.0, x, 1.0), (_SCALAR,)),
        "scalar_cond": (lambda x: tf.cond(x > 0, lambda: x, lambda: -x), (_SCALAR,)),
        "scalar_linspace": (lambda x: tf.linspace(0.0, x, 3), (_SCALAR,)),
        "two_add": (tf.add, two),
        "two_matmul": (lambda a, b: tf.matmul(a, b, transpose_b=True), two),
        "two_concat": (lambda a, b: tf.concat([a, b], 1), two),
        "two_stack": (lambda a, b: tf.stack([a, b]), two),
        "two_where": (lambda a, b: tf.where(a > b, a, b), two),
        "two_squared_difference": (tf.math.squared_difference, two),
        "two_add_n": (lambda a, b: tf.add_n([a, b]), two),
        "two_bias": (tf.nn.bias_add, (FLOATS, _LIST)),
        "two_mask": (lambda a, b: tf.boolean_mask(a, b > 0), (FLOATS, _LIST)),
    }


def _indices() -> dict[str, Graph]:
    table, rows = tf.ones([10, 3]), (_INTS,)
    return {
        "embedding": (lambda x: tf.nn.embedding_lookup(table, x), rows),
        "embedding_mean": (lambda x: tf.reduce_mean(tf.gather(table, x), 1), rows),
        "embedding_dense": (
            lambda x: tf.matmul(tf.reshape(tf.gather(table, x), [-1, 3 * WIDTH]), tf.ones([12, 2])),
            rows,
        ),
        "embedding_conv": (
            lambda x: tf.nn.conv1d(tf.gather(table, x), tf.ones([2, 3, 3]), 1, "SAME"),
            rows,
        ),
        "embedding_pool": (lambda x: tf.nn.max_pool1d(tf.gather(table, x), 2, 2, "SAME"), rows),
        "one_hot": (lambda x: tf.one_hot(x, 5), rows),
        "one_hot_bag": (lambda x: tf.reduce_max(tf.one_hot(x, 5), 1), rows),
        "bincount": (
            lambda x: tf.math.bincount(x, minlength=5, maxlength=5, axis=-1),
            rows,
        ),
        "dense_bincount": (
            lambda x: tf.raw_ops.DenseBincount(
                input=x, size=5, weights=tf.constant([], tf.float32), binary_output=True
            ),
            rows,
        ),
        "list_gather": (lambda x: tf.gather(table, x), (_INT_LIST,)),
        "list_segment": (lambda x: tf.math.segment_sum(tf.ones([3, 2]), x), (_INT_LIST,)),
        "list_unsorted_segment": (
            lambda x: tf.math.unsorted_segment_sum(tf.ones([3, 2]), x, 4),
            (_INT_LIST,),
        ),
        "list_scatter": (
            lambda x: tf.scatter_nd(x[:, tf.newaxis], tf.ones(tf.shape(x)), [10]),
            (_INT_LIST,),
        ),
        "list_as_shape": (tf.zeros, (_INT_LIST,)),
        "list_reshape_to": (lambda x: tf.reshape(tf.ones([12]), x), (_INT_LIST,)),
        "list_as_axes": (lambda x: tf.reduce_sum(table, x), (_INT_LIST,)),
        "list_as_permutation": (lambda x: tf.transpose(table, x), (_INT_LIST,)),
        "list_as_lengths": (
            lambda x: tf.reverse_sequence(tf.ones([3, WIDTH]), x, 1, 0),
            (_INT_LIST,),
        ),
        "list_ragged": (
            lambda x: tf.RaggedTensor.from_row_splits(tf.ones([3]), x, validate=False).to_tensor(),
            (_INT_LIST,),
        ),
        "scalar_slice": (lambda x: table[x], (_INT,)),
        "scalar_slice_to": (lambda x: table[:x], (_INT,)),
        "scalar_repeat": (lambda x: tf.tile(tf.ones([2]), [x]), (_INT,)),
        "scalar_top_k": (lambda x: list(tf.nn.top_k(table, x)), (_INT,)),
        "scalar_concat_axis": (lambda x: tf.concat([table, table], x), (_INT,)),
        "scalar_split_axis": (lambda x: tf.split(table, 1, x), (_INT,)),
        "scalar_one_hot_depth": (lambda x: tf.one_hot([0, 1], x), (_INT,)),
        "scalar_cumsum_axis": (lambda x: tf.cumsum(table, x), (_INT,)),
        "scalar_range_to": (lambda x: tf.range(tf.minimum(x, 5)), (_INT,)),
    }


def _strings(module: tf.Module) -> dict[str, Graph]:
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant(["a"]), tf.constant([1], tf.int64)), -1
    )
    vocabulary = tf.keras.layers.StringLookup(vocabulary=["a", "b"])
    module.tables = [table, vocabulary]  # what is not tracked is not exported
    numbers = {"n": tf.io.FixedLenFeature([1], tf.float32, 0.0)}
    return {
        "string_length": (tf.strings.length, (_TEXTS,)),
        "string_lower": (tf.strings.lower, (_TEXTS,)),
        "string_split": (lambda x: tf.strings.split(x).flat_values, (_TEXTS,)),
        "string_split_dense": (lambda x: tf.strings.split(x).to_tensor(""), (_TEXTS,)),
        "string_join": (lambda x: tf.strings.join([x, "b"]), (_TEXTS,)),
        "string_reduce": (lambda x: tf.strings.reduce_join(x, 0), (_TEXTS,)),
        "string_substr": (lambda x: tf.strings.substr(x, 0, 1), (_TEXTS,)),
        "string_regex": (lambda x: tf.strings.regex_replace(x, "a", "b"), (_TEXTS,)),
        "string_hash": (lambda x: tf.strings.to_hash_bucket_fast(x, 5), (_TEXTS,)),
        "string_number": (tf.strings.to_number, (_TEXTS,)),
        "string_base64": (tf.io.decode_base64, (_TEXTS,)),
        "string_raw": (lambda x: tf.io.decode_raw(x, tf.uint8), (_TEXTS,)),
        "string_csv": (lambda x: tf.io.decode_csv(x, [["a"]]), (_TEXTS,)),
        "string_ngrams": (lambda x: tf.strings.ngrams(x, 2), (_TEXTS,)),
        "string_unicode": (lambda x: tf.strings.unicode_decode(x, "UTF-8").flat_values, (_TEXTS,)),
        "string_parse_example": (lambda x: tf.io.parse_example(x, numbers)["n"], (_TEXTS,)),
        "string_parse_tensor": (
            lambda x: tf.io.parse_tensor(x, tf.float32),
            (_spec([], tf.string),),
        ),
        "string_decode_image": (
            lambda x: tf.io.decode_image(x, expand_animations=False),
            (_spec([], tf.string),),
        ),
        "string_decode_images": (
            lambda x: tf.map_fn(
                lambda text: tf.io.decode_jpeg(text, 3), x, fn_output_signature=tf.uint8
            ),
            (_TEXTS,),
        ),
        "string_table": (table.lookup, (_TEXTS,)),
        "string_lookup": (vocabulary, (_TEXT_ROWS,)),
        "string_equal": (lambda x: x == "a", (_TEXTS,)),
        "string_unique": (lambda x: list(tf.unique(x)), (_TEXTS,)),
        "string_concat": (lambda x: tf.concat([x, ["a"]], 0), (_TEXTS,)),
        "string_first": (lambda x: x[0], (_TEXTS,)),
    }


def _layers() -> dict[str, tuple[Any, tf.TensorSpec]]:
    """Keras models whose input is a matrix."""
    keras = tf.keras
    of_floats = {
        "dense": [keras.layers.Dense(3, activation="relu")],
        "normalized": [keras.layers.BatchNormalization(), keras.layers.Dense(2)],
        "layer_normalized": [keras.layers.LayerNormalization(), keras.layers.Dense(2)],
        "conv1d": [keras.layers.Reshape((WIDTH, 1)), keras.layers.Conv1D(2, 2)],
        "conv2d": [keras.layers.Reshape((2, 2, 1)), keras.layers.Conv2D(2, 2)],
        "lstm": [keras.layers.Reshape((WIDTH, 1)), keras.layers.LSTM(2)],
        "gru": [keras.layers.Reshape((WIDTH, 1)), keras.layers.GRU(2)],
        "repeat": [keras.layers.RepeatVector(2), keras.layers.SimpleRNN(2)],
        "flatten": [keras.layers.Flatten(), keras.layers.Dense(2)],
    }
    of_ints = {
        "embedding_lstm": [keras.layers.Embedding(10, 3), keras.layers.LSTM(2)],
        "embedding_masked_gru": [
            keras.layers.Embedding(10, 3, mask_zero=True), keras.layers.GRU(2),
        ],
        "embedding_bidirectional": [
            keras.layers.Embedding(10, 3), keras.layers.Bidirectional(keras.layers.LSTM(2)),
        ],
        "embedding_conv": [
            keras.layers.Embedding(10, 3), keras.layers.Conv1D(2, 2),
            keras.layers.GlobalMaxPooling1D(),
        ],
        "embedding_average": [keras.layers.Embedding(10, 3), keras.layers.GlobalAveragePooling1D()],
        "category": [keras.layers.CategoryEncoding(10, output_mode="multi_hot")],
    }  # fmt: skip
    made: dict[str, tuple[Any, tf.TensorSpec]] = {}
    for kind, spec in ((of_floats, FLOATS), (of_ints, _INTS)):
        for name, layers in kind.items():
            inputs = keras.Input((WIDTH,), dtype=spec.dtype)
            made[name] = (keras.Sequential([inputs, *layers]), spec)
    return made
