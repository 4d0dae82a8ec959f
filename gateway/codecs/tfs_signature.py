"""How does a TF Serving SignatureDef become a Signature, and back?

A SignatureDef may declare what Tandem cannot carry: complex or resource tensors, sparse inputs, the
initialisation operation of a SavedModel. Such a signature is left out, so that asking for it is answered
with "no such signature" and never with a wrong tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs.protobuf import parse
from gateway.codecs.tfs_tensor import DATATYPES, DT_NUMBERS, dtype_name
from gateway.tensors import Datatype, Signature, TensorSpec

__all__ = [
    "PREDICT_METHOD",
    "describe_signatures",
    "read_signatures",
    "uncarried_signature",
    "write_signatures",
]

PREDICT_METHOD = "tensorflow/serving/predict"
_REFERENCE = 100  # DT_FLOAT_REF is 101: a variable of a TF1 graph, whose value is sent as DT_FLOAT


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


def uncarried_signature(told: bytes, name: str) -> Signature | None:
    """A signature that was left out, for saying why; its datatypes may be none of Tandem's."""
    definition = parse(wire.SignatureDefMap, told).signature_def.get(name)
    if definition is None:
        return None
    specs = {}
    for alias in sorted(definition.inputs):
        number = definition.inputs[alias].dtype % _REFERENCE
        datatype = DATATYPES.get(number) or dtype_name(number).removeprefix("DT_")
        specs[alias] = TensorSpec(alias, cast("Datatype", datatype), None)
    return Signature(name, specs, {})


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


def describe_signatures(signatures: Mapping[str, Signature]) -> dict[str, object]:
    """The SignatureDefMap of these signatures in protobuf's JSON form, with every default written out."""
    return {
        name: {
            "inputs": {spec.name: _describe_spec(spec) for spec in signature.inputs.values()},
            "outputs": {spec.name: _describe_spec(spec) for spec in signature.outputs.values()},
            "method_name": signature.method or PREDICT_METHOD,
            "defaults": {},
        }
        for name, signature in signatures.items()
    }


def _read_specs(infos: Mapping[str, wire.TensorInfo]) -> dict[str, TensorSpec] | None:
    specs = {}
    for name in sorted(infos):
        info = infos[name]
        datatype = DATATYPES.get(info.dtype % _REFERENCE)
        if datatype is None or not info.name:
            return None
        shape = info.tensor_shape
        dims = None if shape.unknown_rank else tuple([dim.size for dim in shape.dim])
        specs[name] = TensorSpec(name, datatype, dims)
    return specs


def _describe_spec(spec: TensorSpec) -> dict[str, object]:
    dims = spec.shape or ()
    return {
        "name": _alias(spec.name),
        "dtype": dtype_name(DT_NUMBERS[spec.datatype]),
        "tensor_shape": {
            "dim": [{"size": str(size), "name": ""} for size in dims],
            "unknown_rank": spec.shape is None,
        },
    }


def _alias(name: str) -> str:
    # The tensor's name in the graph, which Tandem does not keep, and a caller of Predict never needs.
    return f"{name}:0"


def _write_spec(spec: TensorSpec, info: wire.TensorInfo) -> None:
    info.name = _alias(spec.name)
    info.dtype = cast("wire.DataType", DT_NUMBERS[spec.datatype])
    if spec.shape is None:
        info.tensor_shape.unknown_rank = True
        return
    info.tensor_shape.SetInParent()
    for size in spec.shape:
        info.tensor_shape.dim.add(size=size)
