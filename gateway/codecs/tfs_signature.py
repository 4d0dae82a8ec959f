"""How does a TF Serving SignatureDef become a Signature, and back?

A SignatureDef may declare what Tandem cannot carry: complex or resource tensors, sparse inputs, the
initialisation operation of a SavedModel. Such a signature is left out, so that asking for it is answered
with "no such signature" and never with a wrong tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs.tfs_tensor import DATATYPES, DT_NUMBERS
from gateway.tensors import Signature, TensorSpec

__all__ = ["PREDICT_METHOD", "read_signatures", "tensor_alias", "write_signatures"]

PREDICT_METHOD = "tensorflow/serving/predict"


def read_signatures(message: wire.SignatureDefMap) -> dict[str, Signature]:
    """The signatures that can be called here, by name; inputs and outputs in the order of their names."""
    signatures = {}
    for name in sorted(message.signature_def):
        definition = message.signature_def[name]
        inputs = _read_specs(definition.inputs)
        outputs = _read_specs(definition.outputs)
        if inputs is not None and outputs is not None:
            signatures[name] = Signature(name, inputs, outputs, definition.method_name)
    return signatures


def write_signatures(signatures: Mapping[str, Signature]) -> wire.SignatureDefMap:
    """The SignatureDefMap of these signatures."""
    message = wire.SignatureDefMap()
    for name, signature in signatures.items():
        definition = message.signature_def[name]
        definition.method_name = signature.method or PREDICT_METHOD
        for spec in signature.inputs.values():
            _write_spec(spec, definition.inputs[spec.name])
        for spec in signature.outputs.values():
            _write_spec(spec, definition.outputs[spec.name])
    return message


def tensor_alias(name: str) -> str:
    """The graph's name of a tensor. Tandem does not keep it; clients of Predict do not need it."""
    return f"{name}:0"


def _read_specs(infos: Mapping[str, wire.TensorInfo]) -> dict[str, TensorSpec] | None:
    specs = {}
    for name in sorted(infos):
        info = infos[name]
        datatype = DATATYPES.get(info.dtype)
        if datatype is None or not info.name:
            return None
        shape = info.tensor_shape
        dims = None if shape.unknown_rank else tuple([dim.size for dim in shape.dim])
        specs[name] = TensorSpec(name, datatype, dims)
    return specs


def _write_spec(spec: TensorSpec, info: wire.TensorInfo) -> None:
    info.name = tensor_alias(spec.name)
    info.dtype = cast("wire.DataType", DT_NUMBERS[spec.datatype])
    if spec.shape is None:
        info.tensor_shape.unknown_rank = True
        return
    info.tensor_shape.SetInParent()
    for size in spec.shape:
        info.tensor_shape.dim.add(size=size)
