"""Is a TensorProto, however odd, read as TensorFlow's own C++ reads it? The half that needs TensorFlow.

    .venv-tf/bin/python -m tests.serving.tf_serving.tensor_protos SEED COUNT

Draws messages with too few values or too many, of another field's type, with content that is too long or
too short, dimensions that are negative, unknown or missing; reads each with `ParseTensor` and with the
gateway's codec, and prints those that are read differently, then how many were taken and refused by both.
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2

from gateway.codecs import tfs_proto
from gateway.errors import GatewayError

_FIELDS: Mapping[tf.DType, str] = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int32: "int_val",
    tf.int16: "int_val",
    tf.int8: "int_val",
    tf.uint8: "int_val",
    tf.uint16: "int_val",
    tf.int64: "int64_val",
    tf.uint32: "uint32_val",
    tf.uint64: "uint64_val",
    tf.bool: "bool_val",
    tf.float16: "half_val",
    tf.bfloat16: "half_val",
    tf.string: "string_val",
}
_VALUES: Mapping[str, Sequence[object]] = {
    "float_val": (0.0, -0.0, 1.5, float("nan"), float("inf"), 3e38, 1e-45),
    "double_val": (0.0, -0.0, 1.5, float("nan"), -float("inf"), 1e300, 5e-324),
    "int_val": (0, 1, -1, 127, 128, 255, 256, 300, -129, 32768, 65536, 2**31 - 1, -(2**31)),
    "int64_val": (0, 1, -1, 2**63 - 1, -(2**63)),
    "uint32_val": (0, 1, 2**32 - 1),
    "uint64_val": (0, 1, 2**64 - 1),
    "bool_val": (False, True),
    "half_val": (0, 1, 0x3C00, 0x7E00, 65535, 65536, 70000, -1),
    "string_val": (b"", b"a", b"\0", b"\xff\xfe"),
}
_BYTES = (0, 1, 2, 63, 255)
_SHOWN = 300


def main() -> None:
    """Draw COUNT messages from SEED, and print what is read differently."""
    seed, count = map(int, sys.argv[1:])
    draw = random.Random(seed)
    seen = Counter[str]()
    for _ in range(count):
        dtype = draw.choice(list(_FIELDS))
        message = _message(draw, dtype)
        theirs, ours = _parsed(message, dtype), _decoded(message)
        same = theirs is ours is None or _same(theirs, ours)
        seen[("refused" if ours is None else "taken") if same else "different"] += 1
        if not same:
            text = " ".join(str(message).split())[:_SHOWN]
            print(f"{text}\n  TensorFlow: {theirs!r}\n  here: {ours!r}")  # noqa: T201
    print(dict(sorted(seen.items())))  # noqa: T201


def _message(draw: random.Random, dtype: tf.DType) -> Any:
    message = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    sizes = (0, 1, 2, 3) if draw.random() < 0.9 else (-2, -1, 0, 2)
    dims = [draw.choice(sizes) for _ in range(draw.choice((0, 1, 1, 2, 3)))]
    for size in dims:
        message.tensor_shape.dim.add(size=size)
    if not dims:
        message.tensor_shape.unknown_rank = draw.random() < 0.3
    count = max(int(np.prod(dims)), 0)
    others = draw.random() < 0.1
    for field in (draw.choice(list(_VALUES)), _FIELDS[dtype])[not others :]:
        length = draw.choice((count, count, max(count - 1, 0), count + 1, 0, 1))
        getattr(message, field).extend(draw.choices(_VALUES[field], k=length))
    if draw.random() < 0.3:
        whole = count * (1 if dtype == tf.string else dtype.size)
        length = max(whole + draw.choice((0, 0, 0, 1, -1, 8)), 0)
        message.tensor_content = bytes(draw.choices(_BYTES, k=length))
    return message


def _parsed(message: Any, dtype: tf.DType) -> Any:
    try:
        found = tf.io.parse_tensor(message.SerializeToString(), dtype).numpy()
    except tf.errors.OpError:
        return None
    return np.array(found, np.object_) if isinstance(found, bytes) else found


def _decoded(message: Any) -> Any:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].CopyFrom(message)
    try:
        return tfs_proto.decode_request(request.SerializeToString()).inputs[0].array
    except GatewayError:
        return None


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None or one.shape != other.shape:
        return False
    if one.dtype == np.object_:
        return bool(one.tolist() == other.tolist())
    return bool(one.tobytes() == other.tobytes())


if __name__ == "__main__":
    main()
