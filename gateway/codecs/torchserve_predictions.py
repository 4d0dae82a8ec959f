"""What does a TorchServe client ask, and in which form does it expect the answer?

TorchServe hands a prediction's bytes to code of the model's own, so there is no one form. Here the model's
signature takes that code's place, and the answer has the form of the question:

    {"instances": [row, …]}                {"predictions": [row, …]}
    {"inputs": value or {name: value}}     {"outputs": value or {name: value}}
    {"inputs": [{name, datatype, …}, …]}   the Open Inference Protocol's JSON
    a value, {"data": value},              a value; with several outputs {name: value}
    {name: value}, fields by name

A value is JSON, a .npy file, or raw: the elements' bytes, little-endian, or one string for BYTES.

Rules:
- A model with one input takes any of these; with several, an object or fields by name.
- For the last form: values that lack the dimension of rows, all of them, are one row, and so is the answer.
- How text becomes numbers is TF Serving's (`tfs_json_read`), with FP16, BF16 and UINT16 as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, cast

import numpy as np

from gateway.codecs import oip_json
from gateway.codecs.json_text import dump, seen
from gateway.codecs.npy import is_npy
from gateway.codecs.tfs_json_read import is_base64, read_columns, read_rows
from gateway.codecs.torchserve_bytes import array_of, document_of, may_be_json
from gateway.codecs.torchserve_fields import BODY, DATA, Field, fields_of
from gateway.codecs.torchserve_values import Writable, nested, row_objects, row_of
from gateway.errors import InvalidRequest
from gateway.messages import InferRequest, InferResponse
from gateway.tensors import Signature, Tensor, TensorSpec
from gateway.values import value_class

__all__ = [
    "AnswerForm",
    "Prediction",
    "decode_body",
    "decode_fields",
    "encode_answer",
    "slow_bytes",
    "slow_field_bytes",
]

AnswerForm: TypeAlias = Literal["predictions", "outputs", "oip", "rows", "one_row"]

_Found: TypeAlias = "tuple[tuple[Tensor, ...], AnswerForm]"


@value_class(kw_only=True)
class Prediction:
    """What was asked, and the form in which to answer. The request's model and version are those given."""

    request: InferRequest
    form: AnswerForm


def decode_body(
    body: bytes, content_type: str | None, signature: Signature, *, model: str
) -> Prediction:
    """Read an HTTP body.

    Raises:
        InvalidRequest: it is in none of the forms, or its values are not what the signature promises.
    """
    return decode_fields(fields_of(body, content_type), signature, model=model)


def decode_fields(fields: Sequence[Field], signature: Signature, *, model: str) -> Prediction:
    """Read the fields of a body, or of a gRPC request.

    Raises:
        InvalidRequest: as `decode_body`.
    """
    if not fields:
        raise InvalidRequest(f"got no fields, model {model} wants {_wanted(signature.inputs)}")
    if len(fields) == 1 and (len(signature.inputs) == 1 or fields[0].name in (BODY, DATA)):
        return _decode_whole(fields[0], signature, model)
    for field in fields:
        if field.name not in signature.inputs:
            raise InvalidRequest(
                f"got field {field.name[:64]!r}, model {model} wants {_wanted(signature.inputs)}"
            )
    columns = tuple(_read_field(field, signature) for field in fields)
    return _prediction(model, _with_rows(columns, signature))


def slow_bytes(body: bytes, content_type: str | None, signature: Signature) -> int:
    """Of a body: the bytes that take time to read. The others are numbers or one string, taken as they are."""
    if _is_form(content_type):
        return len(body)
    return slow_field_bytes(fields_of(body, content_type), signature)


def slow_field_bytes(fields: Sequence[Field], signature: Signature) -> int:
    """As `slow_bytes`, of fields."""
    only = _only_spec(signature)
    return sum(
        len(field.value)
        for field in fields
        if _is_slow(field, only or signature.inputs.get(field.name))
    )


def encode_answer(response: InferResponse, form: AnswerForm) -> bytes:
    """Write the answer in the form of the question.

    Raises:
        InvalidRequest: an output has no JSON form in the Open Inference Protocol.
    """
    if form == "oip":
        return oip_json.encode_response(response, oip_json.OutputForm())[0]
    outputs = response.outputs
    if form == "predictions":
        return dump({"predictions": _rows(outputs)})
    if form == "outputs":
        return dump({"outputs": _value(outputs)})
    if form == "one_row":
        outputs = tuple(row_of(tensor, 0) for tensor in outputs)
    return dump(_value(outputs))


# Reading ------------------------------------------------------------------------------------------


def _decode_whole(field: Field, signature: Signature, model: str) -> Prediction:
    """A whole body, or a form's only field, named as TorchServe's custom is or as the only input."""
    if field.name not in (BODY, DATA, *signature.inputs):
        raise InvalidRequest(
            f"got field {field.name[:64]!r}, wanted {DATA!r}, {BODY!r} or {_wanted(signature.inputs)}"
        )
    spec = _only_spec(signature)
    document = document_of(field, spec)
    if document is not None:
        return _read_document(document[0], field.value, signature, model)
    if spec is None:
        raise InvalidRequest(
            f"got {len(field.value)} bytes that are no JSON object; model {model} has several inputs,"
            f" send an object or fields with {_wanted(signature.inputs)}"
        )
    tensor = Tensor(spec.name, spec.datatype, array_of(field, spec))
    return _prediction(model, _with_rows((tensor,), signature))


def _read_document(document: object, text: bytes, signature: Signature, model: str) -> Prediction:
    specs, numbers = signature.inputs, _has_only_numbers(document, text)
    if isinstance(document, dict) and not is_base64(document):
        if _is_oip(document):
            request, _ = oip_json.decode_request(text, None, model=model, version=None)
            return Prediction(request=request, form="oip")
        if document.keys() != specs.keys():  # an input may well be called "inputs"
            return _read_envelope(document, signature, model, only_numbers=numbers)
    found = _read_value(document, specs, only_numbers=numbers)
    return _prediction(model, _with_rows(found, signature))


def _read_envelope(
    document: Mapping[str, object], signature: Signature, model: str, *, only_numbers: bool
) -> Prediction:
    specs = signature.inputs
    if "instances" in document:
        found = _read_instances(document["instances"], specs, only_numbers=only_numbers)
        return _prediction(model, (found, "predictions"))
    if "inputs" in document:
        found = _read_value(document["inputs"], specs, only_numbers=only_numbers)
        return _prediction(model, (found, "outputs"))
    if len(document) != 1 or not document.keys() <= {DATA, BODY}:
        raise InvalidRequest(
            f"got an object with {sorted(document)[:8]}, wanted 'instances', 'inputs', 'data' or"
            f" {_wanted(specs)}"
        )
    (value,) = document.values()
    found = _read_value(value, specs, only_numbers=only_numbers)
    return _prediction(model, _with_rows(found, signature))


def _read_instances(
    rows: object, specs: Mapping[str, TensorSpec], *, only_numbers: bool
) -> tuple[Tensor, ...]:
    if not isinstance(rows, list):
        raise InvalidRequest(f"got {seen(rows)}, wanted a list of rows", path="instances")
    if len(specs) == 1 and not specs.keys() & {DATA, BODY}:
        for name in (DATA, BODY):  # as KServe's clients of TorchServe write a row
            if all(isinstance(row, dict) and row.keys() == {name} for row in rows):
                rows = [row[name] for row in rows]
    named = bool(rows) and isinstance(rows[0], dict) and not is_base64(rows[0])
    if not named and len(specs) != 1:
        raise InvalidRequest(f"got plain rows, wanted objects with {_wanted(specs)}")
    return _fitting(read_rows(rows, specs, named=named, only_numbers=only_numbers), specs)


def _read_value(
    value: object, specs: Mapping[str, TensorSpec], *, only_numbers: bool
) -> tuple[Tensor, ...]:
    if isinstance(value, dict) and not is_base64(value):
        if value.keys() != specs.keys():
            raise InvalidRequest(f"got an object with {sorted(value)[:8]}, wanted {_wanted(specs)}")
        return _fitting(read_columns(value, specs, only_numbers=only_numbers), specs)
    if len(specs) != 1:
        rows = value if isinstance(value, list) else []
        if rows and isinstance(rows[0], dict):
            return _read_instances(rows, specs, only_numbers=only_numbers)
        raise InvalidRequest(f"got {seen(value)}, wanted an object with {_wanted(specs)}")
    columns = dict.fromkeys(specs, value)
    return _fitting(read_columns(columns, specs, only_numbers=only_numbers), specs)


def _read_field(field: Field, signature: Signature) -> Tensor:
    """The input that a form's field is named for."""
    spec = signature.inputs[field.name]
    document = document_of(field, spec)
    if document is None:
        return Tensor(spec.name, spec.datatype, array_of(field, spec))
    columns, specs = {spec.name: document[0]}, {spec.name: spec}
    return _fitting(read_columns(columns, specs, only_numbers=False), specs)[0]


def _is_slow(field: Field, spec: TensorSpec | None) -> bool:
    if spec is not None and spec.datatype == "BYTES" and is_npy(field.value):
        return True  # an object for every string
    return may_be_json(field, spec)


def _is_form(content_type: str | None) -> bool:
    kind = (content_type or "").lstrip().lower()
    return kind.startswith(("multipart/", "application/x-www-form-urlencoded"))


def _with_rows(tensors: tuple[Tensor, ...], signature: Signature) -> _Found:
    """The tensors with a dimension of rows, added where all of them lack it."""
    if not signature.is_batchable or any(
        tensor.array.ndim != len(cast("tuple[int, ...]", signature.inputs[tensor.name].shape)) - 1
        for tensor in tensors
    ):
        return tensors, "rows"
    added = [Tensor(t.name, t.datatype, np.expand_dims(t.array, 0)) for t in tensors]
    return tuple(added), "one_row"


def _prediction(model: str, found: _Found) -> Prediction:
    return Prediction(request=InferRequest(model=model, inputs=found[0]), form=found[1])


def _fitting(
    tensors: tuple[Tensor, ...] | None, specs: Mapping[str, TensorSpec]
) -> tuple[Tensor, ...]:
    if tensors is None:
        raise InvalidRequest(
            f"the values are ragged, of another type or out of its range, wanted {_wanted(specs)}"
        )
    return tensors


def _is_oip(document: Mapping[str, object]) -> bool:
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        return False
    return all(isinstance(member, dict) and "datatype" in member for member in inputs)


def _has_only_numbers(document: object, text: bytes) -> bool:
    """Whether every leaf is certainly a number; then reading is faster. Keys one level deep are counted."""
    keys = len(document) if isinstance(document, dict) else 0
    return text.count(b'"') == 2 * keys and not (
        b"true" in text or b"false" in text or b"null" in text
    )


def _only_spec(signature: Signature) -> TensorSpec | None:
    return next(iter(signature.inputs.values())) if len(signature.inputs) == 1 else None


def _wanted(specs: Mapping[str, TensorSpec]) -> str:
    return ", ".join(
        f"{spec.name}: {spec.datatype} {spec.describe_shape()}" for spec in specs.values()
    )


# Writing ------------------------------------------------------------------------------------------


def _rows(outputs: tuple[Tensor, ...]) -> Writable:
    """A list of rows, if the outputs have any: a model without rows may be asked by `instances` as well."""
    if len(outputs) > 1 and len({tensor.shape[:1] for tensor in outputs}) == 1 and outputs[0].shape:
        return row_objects(outputs)
    return _value(outputs)


def _value(outputs: tuple[Tensor, ...]) -> Writable:
    if len(outputs) == 1:
        return nested(outputs[0])
    return {tensor.name: nested(tensor) for tensor in outputs}
