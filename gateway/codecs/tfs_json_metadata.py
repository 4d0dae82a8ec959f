"""How does a TF Serving write its signatures as JSON?

As protobuf's JSON form with every field written out, under the field's own name. What the backend told of
its signatures is told on as it came, with the names of tensors and what cannot be called through Tandem.
"""

from __future__ import annotations

import binascii
from typing import cast

import numpy as np

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs.protobuf import parse
from gateway.codecs.tfs_signature import describe_signatures
from gateway.codecs.tfs_tensor import dtype_name
from gateway.messages import ModelDescription
from gateway.tensors import Array

__all__ = ["signatures_document"]

_REFERENCE = 100  # DT_FLOAT_REF is 101
_NEVER_USED = ("scomplex_val", "dcomplex_val", "resource_handle_val", "variant_val")


def signatures_document(description: ModelDescription) -> dict[str, object]:
    """What stands under metadata.signature_def.signature_def, by the signatures' names."""
    if not description.told:
        return describe_signatures(description.signatures)
    told = parse(wire.SignatureDefMap, description.told).signature_def
    return {name: _signature(told[name]) for name in sorted(told)}


def _signature(definition: wire.SignatureDef) -> dict[str, object]:
    return {
        "inputs": {name: _info(definition.inputs[name]) for name in sorted(definition.inputs)},
        "outputs": {name: _info(definition.outputs[name]) for name in sorted(definition.outputs)},
        "method_name": definition.method_name,
        "defaults": {name: _tensor(proto) for name, proto in sorted(definition.defaults.items())},
    }


def _info(info: wire.TensorInfo) -> dict[str, object]:
    encoding: dict[str, object] = {"name": info.name}
    if info.HasField("coo_sparse"):
        sparse = info.coo_sparse
        encoding = {
            "coo_sparse": {
                "values_tensor_name": sparse.values_tensor_name,
                "indices_tensor_name": sparse.indices_tensor_name,
                "dense_shape_tensor_name": sparse.dense_shape_tensor_name,
            }
        }
    return {**encoding, "dtype": _dtype(info.dtype), "tensor_shape": _shape(info.tensor_shape)}


def _dtype(number: int) -> str:
    if number > _REFERENCE:
        return f"{dtype_name(number - _REFERENCE)}_REF"
    return dtype_name(number)


def _shape(shape: wire.TensorShapeProto) -> dict[str, object]:
    dims = [{"size": str(dim.size), "name": dim.name} for dim in shape.dim]
    return {"dim": dims, "unknown_rank": shape.unknown_rank}


def _tensor(proto: wire.TensorProto) -> dict[str, object]:
    """A default value; 64-bit integers are strings, bytes base64."""
    return {
        "dtype": _dtype(proto.dtype),
        "tensor_shape": _shape(proto.tensor_shape),
        "version_number": proto.version_number,
        "tensor_content": _base64(proto.tensor_content),
        "float_val": _unpacked(list(proto.float_val), "<f4"),
        "double_val": _unpacked(list(proto.double_val), "<f8"),
        "bool_val": _unpacked(list(proto.bool_val), "?"),
        "int_val": list(proto.int_val),
        "half_val": list(proto.half_val),
        "uint32_val": list(proto.uint32_val),
        "int64_val": [str(value) for value in proto.int64_val],
        "uint64_val": [str(value) for value in proto.uint64_val],
        "string_val": [_base64(value) for value in proto.string_val],
        "float8_val": "",
        **{name: [] for name in _NEVER_USED},
    }


def _unpacked(runs: list[bytes], dtype: str) -> list[object]:
    found: Array = np.frombuffer(b"".join(runs), dtype)
    return cast("list[object]", found.tolist())


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")
