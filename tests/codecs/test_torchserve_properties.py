"""What holds for any TorchServe prediction: nothing breaks its reader, and our own client agrees with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs import torchserve, torchserve_proto
from gateway.codecs.torchserve_fields import Field, fields_of
from gateway.codecs.torchserve_predictions import (
    AnswerForm,
    decode_body,
    decode_fields,
    encode_answer,
    slow_bytes,
)
from gateway.errors import InvalidRequest
from gateway.messages import InferRequest, InferResponse
from gateway.tensors import DTYPES, Datatype, Signature, Tensor, TensorSpec
from tests.codecs.torchserve_bodies import SIGNATURES, form, signature

FORMS: tuple[AnswerForm, ...] = ("predictions", "outputs", "rows")
TYPES = st.sampled_from(
    (
        None,
        "application/json",
        "application/octet-stream",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
    )
)
PIECES = st.sampled_from(
    b'--b|--|\r\n|\r\n\r\n|Content-Disposition: form-data; name="x"|{|}|[|]|"instances":|"inputs":'
    b'|"data":|1|,|NaN|=|&|x'.split(b"|")
)


@given(
    body=st.one_of(st.binary(), st.lists(PIECES).map(b"".join)),
    content_type=st.one_of(TYPES, st.text(max_size=20)),
    of=st.sampled_from(SIGNATURES),
)
def test_any_body_is_read_or_refused(body: bytes, content_type: str | None, of: Signature) -> None:
    try:
        prediction = decode_body(body, content_type, of, model="m")
    except InvalidRequest:
        return
    names = {tensor.name for tensor in prediction.request.inputs}
    assert names <= set(of.inputs) or prediction.form == "oip"
    assert slow_bytes(body, content_type, of) in (0, len(body))


@given(
    fields=st.dictionaries(
        st.sampled_from(("data", "body", "x", "a", "b")), st.binary(max_size=40)
    ),
    of=st.sampled_from(SIGNATURES),
)
def test_any_fields_are_read_or_refused(fields: Mapping[str, bytes], of: Signature) -> None:
    listed = [Field(name, "", value) for name, value in fields.items()]
    try:
        decode_fields(listed, of, model="m")
    except InvalidRequest:
        return


@given(data=st.data(), kind=st.sampled_from(("multipart", "urlencoded")))
def test_a_forms_bytes_come_out_as_they_went_in(data: st.DataObject, kind: str) -> None:
    values = data.draw(st.dictionaries(st.text("abc", min_size=1), st.binary(), max_size=4))
    if kind == "multipart":
        body = form("a-b_c", **{name: ("x/y", value) for name, value in values.items()})
        if b"\r\n--a-b_c" in b"".join(values.values()):
            return
        got = fields_of(body, "multipart/form-data; charset=utf-8; boundary=a-b_c")
    else:
        text = "&".join(
            f"{name}={''.join(f'%{byte:02x}' for byte in value)}" for name, value in values.items()
        )
        got = fields_of(text.encode(), "application/x-www-form-urlencoded")
    assert {field.name: field.value for field in got} == values


@given(data=st.data())
def test_what_our_own_client_writes_is_read_and_what_is_answered_our_client_reads(
    data: st.DataObject,
) -> None:
    datatypes: list[Datatype] = data.draw(
        st.lists(st.sampled_from(sorted(DTYPES)), min_size=1, max_size=3)
    )
    batchable = data.draw(st.booleans())
    specs = [
        TensorSpec(f"t{i}", datatype, (-1, 2) if batchable else (2, 2))
        for i, datatype in enumerate(datatypes)
    ]
    of = signature(*specs)
    rows = data.draw(st.integers(1, 3)) if batchable else 2
    tensors = tuple(Tensor(spec.name, spec.datatype, _array(data, spec, rows)) for spec in specs)
    sent = torchserve.encode_request(InferRequest(model="m", inputs=tensors), of, "instances")
    asked = decode_body(sent, None, of, model="m")
    assert asked.form == ("predictions" if batchable else "outputs")
    _same(asked.request.inputs, tensors)
    for form_ in FORMS:
        answer = encode_answer(InferResponse(model="m", version="1", outputs=tensors), form_)
        response = torchserve.decode_response(answer, of, model="m", version="1")
        _same(response.outputs, tensors)


def _array(data: st.DataObject, spec: TensorSpec, rows: int) -> Any:
    count = rows * 2
    if spec.datatype == "BYTES":
        found = np.empty(count, np.object_)
        found[:] = data.draw(st.lists(st.binary(max_size=4), min_size=count, max_size=count))
        return found.reshape(rows, 2)
    if spec.datatype == "BOOL":
        return np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count))).reshape(
            rows, 2
        )
    size = count * DTYPES[spec.datatype].itemsize
    raw = data.draw(st.binary(min_size=size, max_size=size))
    return np.frombuffer(raw, DTYPES[spec.datatype]).reshape(rows, 2)


def _same(left: tuple[Tensor, ...], right: tuple[Tensor, ...]) -> None:
    for one, other in zip(left, right, strict=True):
        assert (one.name, one.datatype, one.shape) == (other.name, other.datatype, other.shape)
        if one.datatype == "BYTES":
            assert one.array.tolist() == other.array.tolist()
            continue
        wide = np.float64 if one.datatype == "BF16" else np.longdouble  # holds every 64-bit integer
        with np.errstate(invalid="ignore"):  # signalling NaNs
            numbers = [t.array.astype(wide) for t in (one, other)]
        np.testing.assert_array_equal(numbers[0], numbers[1])
        signs = [np.signbit(found[~np.isnan(found)]) for found in numbers]
        np.testing.assert_array_equal(signs[0], signs[1])


@given(st.binary())
def test_any_grpc_message_is_read_or_refused(data: bytes) -> None:
    try:
        torchserve_proto.decode_request(data)
    except InvalidRequest:
        return
