"""A TorchServe client's predictions, by the model's signature, and the answers in the form of the question."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest

from gateway.codecs.torchserve_predictions import (
    Prediction,
    decode_body,
    encode_answer,
)
from gateway.errors import InvalidRequest
from gateway.messages import InferResponse
from gateway.tensors import DTYPES, Signature, Tensor, TensorSpec, check_inputs
from tests.codecs.torchserve_bodies import (
    DATA,
    FLOATS,
    GRID,
    OPEN,
    PAIR,
    ROW,
    TEXT,
    WHOLE,
    form,
    signature,
)


def read(
    body: Any, of: Signature = FLOATS, content_type: str | None = "application/json"
) -> tuple[str, dict[str, Any]]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    prediction = decode_body(text, content_type, of, model="m")
    tensors = prediction.request.inputs
    for tensor in tensors:
        assert tensor.array.dtype == DTYPES[tensor.datatype]
    return prediction.form, {tensor.name: tensor.array.tolist() for tensor in tensors}


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


@pytest.mark.parametrize(
    ("body", "of", "wanted"),
    [
        ({"instances": [ROW]}, FLOATS, ("predictions", {"x": [ROW]})),
        ({"instances": [{"x": ROW}]}, FLOATS, ("predictions", {"x": [ROW]})),
        ({"instances": [{"data": ROW}, {"data": ROW}]}, FLOATS, ("predictions", {"x": [ROW, ROW]})),
        ({"inputs": [ROW]}, FLOATS, ("outputs", {"x": [ROW]})),
        ({"inputs": {"x": [ROW]}}, FLOATS, ("outputs", {"x": [ROW]})),
        ({"data": [ROW]}, FLOATS, ("rows", {"x": [ROW]})),
        ({"body": ROW}, FLOATS, ("one_row", {"x": [ROW]})),
        ([ROW, ROW], FLOATS, ("rows", {"x": [ROW, ROW]})),
        (ROW, FLOATS, ("one_row", {"x": [ROW]})),
        ({"x": ROW}, FLOATS, ("one_row", {"x": [ROW]})),
        (b'{"data": [[NaN, 1, 2, 3]]}', FLOATS, ("rows", None)),
        ("hello", TEXT, ("one_row", {"text": [b"hello"]})),
        ({"b64": "/wA="}, TEXT, ("one_row", {"text": [b"\xff\x00"]})),
        (["a", "b"], TEXT, ("rows", {"text": [b"a", b"b"]})),
        ({"a": [1, 2], "b": 3}, PAIR, ("one_row", {"a": [[1, 2]], "b": [3]})),
        ({"data": {"a": [[1, 2]], "b": [3]}}, PAIR, ("rows", {"a": [[1, 2]], "b": [3]})),
        ([{"a": [1, 2], "b": 3}], PAIR, ("rows", {"a": [[1, 2]], "b": [3]})),
        ({"instances": [{"b": 3, "a": [1, 2]}]}, PAIR, ("predictions", {"a": [[1, 2]], "b": [3]})),
        ([1, 2], WHOLE, ("rows", {"x": [1, 2]})),
        ({"data": [1, 2]}, DATA, ("one_row", {"data": [[1, 2]]})),
        ({"instances": [{"data": [1, 2]}]}, DATA, ("predictions", {"data": [[1, 2]]})),
        (
            {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}]},
            FLOATS,
            ("oip", {"x": [ROW]}),
        ),
    ],
)
def test_json_in_every_form_that_is_sent(body: Any, of: Signature, wanted: Any) -> None:
    kind, values = read(body, of)
    assert kind == wanted[0]
    assert wanted[1] is None or values == wanted[1]
    # A whole JSON list or object needs no type to be one.
    untyped = body if isinstance(body, bytes) else json.dumps(body).encode()
    if untyped[:1] in b"[{":
        assert read(untyped, of, None)[0] == wanted[0]


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "application/x-npy"])
def test_a_npy_file_is_known_by_its_first_bytes(content_type: str | None) -> None:
    assert read(npy(np.array([ROW])), FLOATS, content_type) == ("rows", {"x": [ROW]})
    assert read(npy(np.array(ROW)), FLOATS, content_type) == ("one_row", {"x": [ROW]})
    assert read(npy(np.array(["é"])), TEXT, content_type) == ("rows", {"text": ["é".encode()]})


def test_raw_bytes_are_what_the_model_declares() -> None:
    kind = "application/octet-stream"
    two = np.array([ROW, ROW], "<f4").tobytes()
    assert read(two, FLOATS, kind) == ("rows", {"x": [ROW, ROW]})
    assert read(two, FLOATS, None) == ("rows", {"x": [ROW, ROW]})
    assert read(b"\x01\x00\x00\x00\x02\x00\x00\x00", WHOLE, kind) == ("rows", {"x": [1, 2]})
    assert read(b"abcdef", GRID, kind) == ("rows", {"x": [[[97, 98, 99], [100, 101, 102]]]})
    assert read(b"\xff\xd8 a picture", TEXT, "image/jpeg") == (
        "one_row",
        {"text": [b"\xff\xd8 a picture"]},
    )
    assert read(b'["a"]', TEXT, kind) == ("one_row", {"text": [b'["a"]']})
    assert read(b"[not json", TEXT, None) == ("one_row", {"text": [b"[not json"]})
    one = signature(TensorSpec("x", "FP32", (-1,)))
    assert read(b"1.25", one, "text/plain") == (
        "one_row",
        {"x": [1.25]},
    )  # not a float's four bytes
    assert read(b"[\xc0b{" * 4, FLOATS, None)[0] == "rows"  # no text, but one row's 16 bytes


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize(
    "text", [b"hello hello hell", b"1234567812345678", b'"abcdefghijklmn"', "é".encode() * 8]
)
def test_text_is_never_raw_numbers_whatever_its_type(text: bytes, content_type: str | None) -> None:
    """Each has the 16 bytes of a row; curl -T sends no type at all."""
    assert len(text) == 16
    with pytest.raises(InvalidRequest):
        check_inputs("m", FLOATS, decode_body(text, content_type, FLOATS, model="m").request.inputs)


def test_text_is_raw_where_its_type_says_so_and_numbers_need_no_type() -> None:
    lone = signature(TensorSpec("x", "FP32", (-1,)))
    assert read(b"3.14", lone, None)[1] == {"x": [pytest.approx(3.14)]}
    assert read(b"3.14", lone, "application/octet-stream")[1]["x"] == [
        np.frombuffer(b"3.14", "<f4")[0]
    ]
    assert read(b"\0" * 16, FLOATS, None)[1] == {"x": [[0.0] * 4]}  # ASCII, but no text


def test_a_forms_fields_are_inputs_or_the_body() -> None:
    kind = 'multipart/form-data; boundary="b o"'
    json_file = ("application/octet-stream", json.dumps({"instances": [ROW]}).encode())
    assert read(form("b o", data=json_file), FLOATS, kind) == ("predictions", {"x": [ROW]})
    picture = ("image/jpeg", b"\xff\r\n--b\r\n")
    assert read(form("b o", data=picture), TEXT, kind)[1] == {"text": [picture[1]]}
    assert read(form("b o", text=("", b"")), TEXT, kind) == ("one_row", {"text": [b""]})
    pair = form("b o", b=("", b"3"), a=("", npy(np.array([1.5, 2]))))
    assert read(pair, PAIR, kind) == ("one_row", {"b": [3], "a": [[1.5, 2]]})
    raw = form("b o", a=("application/octet-stream", b"\0" * 8), b=("text/plain", b"[3]"))
    assert read(raw, PAIR, kind) == ("rows", {"a": [[0, 0]], "b": [3]})


def test_urlencoded_fields_are_text_and_what_curl_calls_so_may_be_json() -> None:
    kind = "application/x-www-form-urlencoded"
    assert read(b"a=%5B1%2C+2%5D&b=3", PAIR, kind) == ("one_row", {"a": [[1, 2]], "b": [3]})
    assert read(b"data=so+what%3F", TEXT, kind) == ("one_row", {"text": [b"so what?"]})
    assert read(b'{"instances": [[1, 2, 3, 4]]}', FLOATS, kind)[0] == "predictions"


@pytest.mark.parametrize(
    ("body", "of", "content_type", "text"),
    [
        (b"", FLOATS, None, "not JSON"),
        (b"{", FLOATS, "application/json", "not JSON"),
        (b"[" * 5000, FLOATS, None, "not JSON"),
        (b'{"data": [1, 2,', FLOATS, None, "not JSON"),
        (b'{"data": [1, 2,3', FLOATS, "application/octet-stream", "not JSON"),  # 16 bytes
        (b"12345", FLOATS, "application/octet-stream", "a multiple of 16"),
        (b"123", WHOLE, "application/octet-stream", "has 8"),
        (b"1234", OPEN, "application/octet-stream", "do not tell the shape"),
        (b"\x00\x01", PAIR, None, "not JSON"),
        (npy(np.zeros(2)), PAIR, None, "not JSON"),
        (b"3", PAIR, "application/json", "wanted an object with a: FP32 [rows, 2], b: INT64"),
        (b"[1]", PAIR, None, "wanted an object with a"),
        (b'{"instances": [1]}', PAIR, None, "wanted objects with a"),
        (b'{"instances": 1}', FLOATS, None, "instances: got 1, wanted a list"),
        (b'{"instances": [[1, 2], [3]]}', FLOATS, None, "ragged, of another type"),
        (b'{"data": ["a"]}', FLOATS, None, "ragged, of another type"),
        (b'{"inputs": {"y": 1}}', FLOATS, None, "got an object with ['y'], wanted x: FP32"),
        (b'{"rows": 1}', FLOATS, None, "wanted 'instances', 'inputs', 'data' or x: FP32 [rows, 4]"),
        (b'{"data": [1], "top_k": 3}', FLOATS, None, "got an object with ['data', 'top_k']"),
        (b"y=1&z=2", PAIR, "application/x-www-form-urlencoded", "got field 'y', model m wants a"),
        (b"y=1", FLOATS, "application/x-www-form-urlencoded", "got field 'y', wanted 'data'"),
        (b"", FLOATS, "application/x-www-form-urlencoded", "got no fields"),
        (b"x=1&x=2", FLOATS, "application/x-www-form-urlencoded", "given twice"),
        (b"&" * 256, FLOATS, "application/x-www-form-urlencoded", "more than 256 fields"),
        (b"", FLOATS, "multipart/form-data", "without a boundary"),
        (b"--c--", FLOATS, "multipart/form-data; boundary=b", "boundary is not in it"),
        (b"--b\r\n\r\n\r\n--b--", FLOATS, "multipart/form-data; boundary=b", "has no name"),
        (b"--b\r\nx", FLOATS, "multipart/form-data; boundary=b", "no end within"),
        (
            b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1',
            FLOATS,
            "multipart/form-data; boundary=b",
            "ends within a part",
        ),
        (
            form("b", x=("", b"1")).replace(b"--b--", b"--b") * 300,
            FLOATS,
            "multipart/form-data; boundary=b",
            "more than 256 fields",
        ),
    ],
)
def test_what_cannot_be_read_is_told(
    body: bytes, of: Signature, content_type: str | None, text: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(body, of, content_type)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("form_", "of", "wanted"),
    [
        ("predictions", FLOATS, {"predictions": [ROW]}),
        ("outputs", FLOATS, {"outputs": [ROW]}),
        ("rows", FLOATS, [ROW]),
        ("one_row", FLOATS, ROW),
        ("predictions", PAIR, {"predictions": [{"a": [0, 0], "b": 0}]}),
        ("outputs", PAIR, {"outputs": {"a": [[0, 0]], "b": [0]}}),
        ("rows", PAIR, {"a": [[0, 0]], "b": [0]}),
        ("one_row", PAIR, {"a": [0, 0], "b": 0}),
        ("one_row", TEXT, {"b64": "/w=="}),
    ],
)
def test_the_answer_has_the_form_of_the_question(form_: Any, of: Signature, wanted: Any) -> None:
    outputs = {
        "x": np.array([ROW], "<f4"),
        "a": np.zeros((1, 2), "<f4"),
        "b": np.zeros(1, "<i8"),
        "text": np.array([b"\xff"], np.object_),
    }
    tensors = tuple(Tensor(s.name, s.datatype, outputs[s.name]) for s in of.outputs.values())
    response = InferResponse(model="m", version="1", outputs=tensors)
    assert json.loads(encode_answer(response, form_)) == wanted


def test_the_protocols_json_is_answered_in_it() -> None:
    body = {
        "id": "mine",
        "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}],
        "outputs": [{"name": "y"}],
    }
    asked: Prediction = decode_body(json.dumps(body).encode(), None, FLOATS, model="m")
    assert (asked.request.id, asked.request.outputs) == ("mine", ("y",))
    outputs = (Tensor("y", "FP32", np.array([ROW], "<f4")),)
    response = InferResponse(model="m", version="1", outputs=outputs, id="mine")
    assert json.loads(encode_answer(response, asked.form))["outputs"][0]["data"] == ROW
