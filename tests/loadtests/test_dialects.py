"""Does the gateway read what the load tests write, and they what it answers? Its own codecs stand in for it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from gateway.codecs import oip_json, oip_proto, tfs_json, tfs_proto
from gateway.codecs.oip_json import OutputForm
from gateway.messages import InferRequest, InferResponse
from gateway.tensors import Array, Tensor, datatype_of
from loadtests.answers import WrongAnswer
from loadtests.dialects import DIALECTS, HEADER_LENGTH, METHODS, Dialect, read
from loadtests.traffic import Call, Traffic
from tests.fakes.arithmetic import SIGNATURES
from tests.loadtests.stores import SUBJECTS

CASES = [(model, dialect) for model in SUBJECTS for dialect in DIALECTS]
every_case = pytest.mark.parametrize(("model", "dialect"), CASES)


def calls_of(model: str, dialect: Dialect) -> list[Call]:
    visitor = Traffic([SUBJECTS[model]], [dialect]).visitor(dialect)
    return [visitor.next_call() for _ in range(10)]


def received(call: Call) -> InferRequest:
    """The request as the gateway takes it from the wire."""
    body, model = call.encoded.body, call.subject.model
    if call.dialect == "tfs-grpc":
        return tfs_proto.decode_request(body)
    if call.dialect == "oip-grpc":
        return oip_proto.decode_request(body)
    if call.dialect.startswith("tfs-rest"):
        assert call.encoded.path == f"/v1/models/{model}:predict"
        inputs = tfs_json.decode_inputs(tfs_json.parse_predict(body), SIGNATURES[model])
        return InferRequest(model=model, inputs=inputs)
    assert call.encoded.path == f"/v2/models/{model}/infer"
    length = call.encoded.headers.get(HEADER_LENGTH)
    request, form = oip_json.decode_request(
        body, None if length is None else int(length), model=model, version=None
    )
    assert form.binary == (call.dialect == "oip-rest-binary")
    return request


def answered(call: Call, outputs: Mapping[str, Array]) -> tuple[bytes, str | None]:
    """The body and the header's length with which the gateway answers these outputs."""
    tensors = tuple(Tensor(name, datatype_of(array), array) for name, array in outputs.items())
    response = InferResponse(model=call.subject.model, version="1", outputs=tensors)
    match call.dialect:
        case "tfs-grpc":
            return tfs_proto.encode_response(response), None
        case "oip-grpc":
            return oip_proto.encode_response(response), None
        case "tfs-rest":
            return tfs_json.encode_response(response, "row"), None
        case "tfs-rest-columns":
            return tfs_json.encode_response(response, "columnar"), None
        case _:
            binary = call.dialect == "oip-rest-binary"
            body, length = oip_json.encode_response(response, OutputForm(binary=binary))
            return body, None if length is None else str(length)


@every_case
def test_the_gateway_receives_the_rows_of_the_test_set(model: str, dialect: Dialect) -> None:
    for call in calls_of(model, dialect):
        request = received(call)
        sent = call.subject.held_out.take(call.rows)
        assert request.model == model
        assert [tensor.name for tensor in request.inputs] == list(sent)
        for tensor in request.inputs:
            assert tensor.array.dtype == sent[tensor.name].dtype
            np.testing.assert_array_equal(tensor.array, sent[tensor.name])


@every_case
def test_the_expected_answer_passes_to_the_last_bit(model: str, dialect: Dialect) -> None:
    for call in calls_of(model, dialect):
        expected = call.subject.expected(call.rows)
        body, length = answered(call, expected)
        outputs = read(dialect, body, length, call.subject.outputs)
        for name, array in expected.items():
            np.testing.assert_array_equal(outputs[name], array)
        call.check(body, length)


@every_case
def test_a_wrong_answer_does_not_pass(model: str, dialect: Dialect) -> None:
    for call in calls_of(model, dialect):
        expected = call.subject.expected(call.rows)
        name, right = next(iter(expected.items()))
        wrong: list[Mapping[str, Array]] = [
            {**expected, name: right + np.ones(1, right.dtype)},
            {key: np.concatenate([array, array]) for key, array in expected.items()},
        ]
        for outputs in wrong:
            with pytest.raises(WrongAnswer):
                call.check(*answered(call, outputs))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\x00",
        b"{}",
        b"[]",
        b'{"predictions": 1, "outputs": 2}',
        b'{"predictions": [NaN]}',
    ],
)
def test_what_cannot_be_read_is_a_wrong_answer(dialect: Dialect, body: bytes) -> None:
    call = calls_of("floats", dialect)[0]
    with pytest.raises(WrongAnswer):
        call.check(body)


@pytest.mark.parametrize("dialect", ["tfs-rest", "tfs-rest-columns"])
def test_text_and_truth_are_not_numbers(dialect: Dialect) -> None:
    outputs = {"y": np.dtype(np.float32)}
    for value in (b'[["1"]]', b"[[true]]", b"[[null]]", b"[[1]]", b"[[1.0], [1.0, 2.0]]"):
        with pytest.raises(WrongAnswer, match="unreadable"):
            read(dialect, b'{"predictions": %b, "outputs": %b}' % (value, value), None, outputs)


def test_grpc_goes_to_the_methods_that_the_protocols_name() -> None:
    for dialect, method in METHODS.items():
        assert calls_of("floats", dialect)[0].encoded.path == method
    assert set(METHODS) == {dialect for dialect in DIALECTS if dialect.endswith("grpc")}
