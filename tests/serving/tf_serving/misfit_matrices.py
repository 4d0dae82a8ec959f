"""What usually meets an input that is a matrix first? One signature for each; the weights, ones, do not matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import tensorflow as tf

__all__ = ["FLOATS", "WIDTH", "Function", "Graph", "matrices", "reshaped", "shaping"]

WIDTH = 4
Function: TypeAlias = Callable[..., Any]
Graph: TypeAlias = tuple[Function, tuple[tf.TensorSpec, ...]]

FLOATS = tf.TensorSpec([None, WIDTH], tf.float32)
_WEIGHTS = tf.ones([WIDTH, 3])
_SQUARE = tf.ones([WIDTH, WIDTH])


def matrices() -> dict[str, Graph]:
    """Arithmetic, reductions, cells and control flow."""
    functions: Mapping[str, Function] = {
        "matmul": lambda x: tf.matmul(x, _WEIGHTS),
        "matmul_transposed": lambda x: tf.matmul(_SQUARE, x, transpose_b=True),
        "dense_relu": lambda x: tf.nn.relu(tf.nn.bias_add(tf.matmul(x, _WEIGHTS), tf.ones([3]))),
        "dense_gelu": lambda x: tf.nn.gelu(tf.nn.bias_add(tf.matmul(x, _WEIGHTS), tf.ones([3]))),
        "batch_matmul": lambda x: tf.linalg.matmul(x[tf.newaxis], _WEIGHTS[tf.newaxis]),
        "einsum": lambda x: tf.einsum("ij,jk->ik", x, _WEIGHTS),
        "tensordot": lambda x: tf.tensordot(x, _WEIGHTS, 1),
        "sparse_matmul": lambda x: tf.sparse.sparse_dense_matmul(tf.sparse.eye(WIDTH), x),
        "bias_add": lambda x: tf.nn.bias_add(x, tf.ones([WIDTH])),
        "add_vector": lambda x: x + tf.ones([WIDTH]),
        "softmax": tf.nn.softmax,
        "log_softmax": tf.nn.log_softmax,
        "sigmoid": tf.nn.sigmoid,
        "l2_normalize": lambda x: tf.nn.l2_normalize(x, 1),
        "cross_entropy": lambda x: tf.nn.softmax_cross_entropy_with_logits(x, x),
        "top_k": lambda x: list(tf.nn.top_k(x, 2)),
        "in_top_k": lambda x: tf.math.in_top_k(tf.constant([0, 1]), x, 2),
        "sort": lambda x: tf.sort(x, axis=1),
        "argmax": lambda x: tf.argmax(x, 1),
        "cumsum": lambda x: tf.cumsum(x, 1),
        "reduce_mean": lambda x: tf.reduce_mean(x, 1),
        "reduce_sum_0": lambda x: tf.reduce_sum(x, 0),
        "reduce_max_all": tf.reduce_max,
        "moments": lambda x: list(tf.nn.moments(x, [0])),
        "cholesky": lambda x: tf.linalg.cholesky(tf.matmul(x, x, transpose_a=True) + _SQUARE),
        "inverse": tf.linalg.inv,
        "diag_part": tf.linalg.diag_part,
        "lstm_cell": lambda x: list(
            tf.raw_ops.LSTMBlockCell(
                x=x, cs_prev=tf.ones([1, 2]), h_prev=tf.ones([1, 2]), w=tf.ones([6, 8]),
                wci=tf.ones([2]), wcf=tf.ones([2]), wco=tf.ones([2]), b=tf.ones([8]),
            )
        ),
        "gru_cell": lambda x: list(
            tf.raw_ops.GRUBlockCell(
                x=x, h_prev=tf.ones([1, 2]), w_ru=tf.ones([6, 4]), w_c=tf.ones([6, 2]),
                b_ru=tf.ones([4]), b_c=tf.ones([2]),
            )
        ),
        "where": lambda x: tf.where(x > 0, x, tf.zeros_like(x)),
        "nonzero": lambda x: tf.where(x > 0),
        "boolean_mask": lambda x: tf.boolean_mask(x, x[:, 0] > 0),
        "fake_quant": tf.quantization.fake_quant_with_min_max_args,
        "quantize": lambda x: list(tf.quantization.quantize(x, -1.0, 1.0, tf.quint8)),
        "bucketize": lambda x: tf.raw_ops.Bucketize(input=x, boundaries=[0.0, 1.0]),
        "clip_by_norm": lambda x: tf.clip_by_norm(x, 1.0),
        "segment_sum": lambda x: tf.math.segment_sum(x, tf.constant([0, 1])),
        "map_fn": lambda x: tf.map_fn(tf.reduce_sum, x),
        "while_rows": lambda x: tf.while_loop(
            lambda i, _: i < tf.shape(x)[0],
            lambda i, s: (i + 1, s + x[i, 0]),
            (tf.constant(0), tf.constant(0.0)),
        )[1],
    }  # fmt: skip
    return {name: (function, (FLOATS,)) for name, function in functions.items()}


def reshaped() -> dict[str, Graph]:
    """What wants more dimensions, after a reshape of what is declared a matrix."""
    kernel_1d, kernel_2d, kernel_3d = tf.ones([2, 1, 3]), tf.ones([1, 2, 1, 3]), tf.ones([1] * 5)
    functions: Mapping[str, Function] = {
        "conv1d": lambda x: tf.nn.conv1d(tf.reshape(x, [-1, WIDTH, 1]), kernel_1d, 1, "SAME"),
        "conv1d_expanded": lambda x: tf.nn.conv1d(x[:, :, tf.newaxis], kernel_1d, 1, "SAME"),
        "conv1d_expand_dims": lambda x: tf.nn.conv1d(tf.expand_dims(x, -1), kernel_1d, 1, "SAME"),
        "conv2d": lambda x: tf.nn.conv2d(tf.reshape(x, [-1, 2, 2, 1]), kernel_2d, 1, "SAME"),
        "conv2d_kept_rows": lambda x: tf.nn.conv2d(
            tf.reshape(x, [tf.shape(x)[0], 2, 2, 1]), kernel_2d, 1, "SAME"
        ),
        "conv2d_expanded": lambda x: tf.nn.conv2d(
            tf.expand_dims(tf.expand_dims(x, 1), -1), kernel_2d, 1, "SAME"
        ),
        "depthwise_expanded": lambda x: tf.nn.depthwise_conv2d(
            tf.expand_dims(tf.expand_dims(x, 1), -1), kernel_2d, [1] * 4, "SAME"
        ),
        "conv3d_expanded": lambda x: tf.nn.conv3d(
            tf.reshape(x, tf.concat([tf.shape(x), [1, 1, 1]], 0)), kernel_3d, [1] * 5, "SAME"
        ),
        "max_pool_expanded": lambda x: tf.nn.max_pool2d(
            tf.expand_dims(tf.expand_dims(x, 1), -1), 1, 1, "SAME"
        ),
        "avg_pool_expanded": lambda x: tf.nn.avg_pool2d(
            tf.expand_dims(tf.expand_dims(x, 1), -1), 1, 1, "SAME"
        ),
        "batch_norm_expanded": lambda x: tf.compat.v1.nn.fused_batch_norm(
            tf.expand_dims(tf.expand_dims(x, 1), 1), tf.ones([WIDTH]), tf.ones([WIDTH]),
            tf.ones([WIDTH]), tf.ones([WIDTH]), is_training=False,
        )[0],
        "lrn_expanded": lambda x: tf.nn.local_response_normalization(
            tf.expand_dims(tf.expand_dims(x, 1), 1)
        ),
        "resize_expanded": lambda x: tf.image.resize(tf.expand_dims(tf.expand_dims(x, 0), -1), [3, 3]),
        "space_to_depth": lambda x: tf.nn.space_to_depth(
            tf.expand_dims(tf.tile(tf.expand_dims(x, -1), [1, 1, 2]), -1), 2
        ),
        "frame_and_fft": lambda x: tf.abs(tf.signal.stft(x, 2, 1)),
        "fft": lambda x: tf.abs(tf.signal.rfft(x)),
        "attention": lambda x: tf.matmul(
            tf.nn.softmax(tf.matmul(x[:, :, tf.newaxis], x[:, tf.newaxis, :])), x[:, :, tf.newaxis]
        ),
    }  # fmt: skip
    return {name: (function, (FLOATS,)) for name, function in functions.items()}


def shaping() -> dict[str, Graph]:
    """What cuts, joins and turns."""
    functions: Mapping[str, Function] = {
        "reshape": lambda x: tf.reshape(x, [-1, 2, 2]),
        "reshape_fixed": lambda x: tf.reshape(x, [1, WIDTH]),
        "flatten": lambda x: tf.reshape(x, [tf.shape(x)[0], -1]),
        "transpose": lambda x: tf.transpose(x, [1, 0]),
        "squeeze": lambda x: tf.squeeze(x[:, :1], 1),
        "expand": lambda x: tf.expand_dims(x, 2),
        "concat": lambda x: tf.concat([x, tf.ones([1, WIDTH])], 0),
        "concat_columns": lambda x: tf.concat([x, x], 1),
        "stack": lambda x: tf.stack([x, x], 1),
        "unstack": lambda x: tf.unstack(x, WIDTH, axis=1),
        "split": lambda x: tf.split(x, 2, 1),
        "slice": lambda x: tf.slice(x, [0, 1], [-1, 2]),
        "strided_slice": lambda x: x[:, 1:3],
        "strided_column": lambda x: x[:, 2],
        "strided_reversed": lambda x: x[::-1, ::-2],
        "strided_new_axis": lambda x: x[:, tf.newaxis, 1:],
        "strided_ellipsis": lambda x: x[..., 1],
        "tile": lambda x: tf.tile(x, [1, 2]),
        "pad": lambda x: tf.pad(x, [[0, 0], [1, 1]]),
        "mirror_pad": lambda x: tf.pad(x, [[0, 0], [1, 1]], "REFLECT"),
        "reverse": lambda x: tf.reverse(x, [1]),
        "reverse_sequence": lambda x: tf.reverse_sequence(x, tf.constant([1]), 1, 0),
        "roll": lambda x: tf.roll(x, 1, 1),
        "broadcast_to": lambda x: tf.broadcast_to(x, [2, WIDTH]),
        "gather_columns": lambda x: tf.gather(x, [0, 2], axis=1),
        "gather_nd": lambda x: tf.gather_nd(x, [[0, 1]]),
        "gather_batched": lambda x: tf.gather(x, tf.zeros([1, 2], tf.int32), batch_dims=1),
        "dynamic_partition": lambda x: tf.dynamic_partition(x, tf.constant([0, 1]), 2),
        "scatter_update": lambda x: tf.tensor_scatter_nd_update(tf.ones([3, WIDTH]), [[0]], x),
        "sequence_mask": lambda x: tf.sequence_mask(tf.cast(x, tf.int32), 3),
        "matrix_band_part": lambda x: tf.linalg.band_part(x, 1, 1),
        "set_diag": lambda x: tf.linalg.set_diag(x, tf.ones([1])),
        "cast_concat": lambda x: tf.concat(
            [tf.cast(x, tf.float64), tf.ones([1, WIDTH], tf.float64)], 0
        ),
        "ragged_from_tensor": lambda x: tf.RaggedTensor.from_tensor(x).flat_values,
        "sparse_from_dense": lambda x: tf.sparse.from_dense(x).values,
    }
    return {name: (function, (FLOATS,)) for name, function in functions.items()}
