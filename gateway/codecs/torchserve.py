"""What do TorchServe's prediction bodies say, in the client's role?

TorchServe gives the body of `POST /predictions/M` to the model's own code as it is, and answers with what
that code returns. So there is no one form; these two are common, and the operator says which:

    instances   `{"instances": [row, …]}`, a row being a plain value or, with several inputs, an object;
                `{"inputs": {name: value}}` for a signature without rows
    oip         the Open Inference Protocol's JSON

Read is whatever such code answers with: a list of rows, `{"predictions": [row, …]}`, `{"outputs": …}` in
the protocol's form or by name, or an object with a value for every output.

A value is read by the datatype that the signature promises, so FP16 and BF16 are plain numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from gateway.codecs.json_text import dump, load, seen
from gateway.codecs.oip_json import decode_response as decode_oip
from gateway.codecs.oip_json import encode_request as encode_oip
from gateway.codecs.tfs_json_read import is_base64, read_columns, read_rows
from gateway.codecs.torchserve_values import nested, row_objects
from gateway.errors import InvalidRequest
from gateway.messages import InferRequest, InferResponse
from gateway.tensors import Signature, Tensor, TensorSpec

__all__ = ["BodyForm", "decode_response", "encode_request"]

BodyForm: TypeAlias = Literal["instances", "oip"]


def encode_request(request: InferRequest, signature: Signature, form: BodyForm) -> bytes:
    """The JSON body of a prediction, for a model's own code; model and version go into the URL."""
    if form == "oip":
        return encode_oip(request, binary=False)[0]
    if not signature.is_batchable:
        return dump({"inputs": {tensor.name: nested(tensor) for tensor in request.inputs}})
    if len(request.inputs) == 1:
        return dump({"instances": nested(request.inputs[0])})
    return dump({"instances": row_objects(request.inputs)})


def decode_response(
    body: bytes, signature: Signature, *, model: str, version: str
) -> InferResponse:
    """What a model's own code answered; `model` and `version` are those that were asked.

    Raises:
        InvalidRequest: it is in none of the forms above, or does not fit the signature.
    """
    document = load(body)
    if isinstance(document, dict) and _is_oip(document):
        outputs = decode_oip(body, None).outputs
    else:
        outputs = _read(document, signature)
    return InferResponse(model=model, version=version, outputs=outputs)


def _is_oip(document: Mapping[str, object]) -> bool:
    outputs = document.get("outputs")
    if not isinstance(outputs, list) or not outputs:
        return False
    return all(isinstance(member, dict) and "datatype" in member for member in outputs)


def _read(document: object, signature: Signature) -> tuple[Tensor, ...]:
    specs = signature.outputs
    value = document
    if isinstance(document, dict):
        # Their own names first: an output may well be called "predictions".
        if specs.keys() <= document.keys():
            return _columns({name: document[name] for name in specs}, specs)
        for key in ("predictions", "outputs"):
            if key in document:
                value = document[key]
                break
        else:
            raise InvalidRequest(
                f"got an object with {sorted(document)[:10]}, wanted predictions, outputs,"
                f" or {sorted(specs)}"
            )
    if isinstance(value, dict) and specs.keys() <= value.keys():
        return _columns(value, specs)
    return _rows(value, specs)


def _rows(value: object, specs: Mapping[str, TensorSpec]) -> tuple[Tensor, ...]:
    if not isinstance(value, list):
        raise InvalidRequest(f"got {seen(value)}, wanted a list of rows")
    named = bool(value) and isinstance(value[0], dict) and not is_base64(value[0])
    if not named and len(specs) != 1:
        raise InvalidRequest(f"got plain rows, wanted objects with {sorted(specs)}")
    tensors = read_rows(value, specs, named=named, only_numbers=False)
    return _fitting(tensors, specs)


def _columns(columns: Mapping[str, object], specs: Mapping[str, TensorSpec]) -> tuple[Tensor, ...]:
    return _fitting(read_columns(columns, specs, only_numbers=False), specs)


def _fitting(
    tensors: tuple[Tensor, ...] | None, specs: Mapping[str, TensorSpec]
) -> tuple[Tensor, ...]:
    if tensors is None:
        wanted = ", ".join(
            f"{spec.name}: {spec.datatype} {spec.describe_shape()}" for spec in specs.values()
        )
        raise InvalidRequest(f"the values are ragged or of another type, wanted {wanted}")
    return tensors
