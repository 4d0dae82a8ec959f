"""The Open Inference Protocol's REST inference bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs import oip_json
from gateway.codecs.oip_json import OutputForm
from gateway.errors import GatewayError, Unsupported
from gateway.messages import InferRequest, InferResponse
from tests.codecs.oip_bodies import BINARY, JSON, decode, refusal, with_input
from tests.codecs.oip_strategies import (
    LISTED,
    requests,
    responses,
    same_bits,
    same_numbers,
    typed,
)


class TestThereAndBack:
    @given(requests())
    def test_a_binary_request(self, request: InferRequest) -> None:
        """Every datatype and shape bit by bit, and the rest of the request."""
        body, header_length = oip_json.encode_request(request, binary=True)
        back, form = decode(body, header_length)
        self.check_rest(back, request)
        assert all(map(same_bits, back.inputs, request.inputs))
        assert all(map(form.is_binary, request.outputs or ["any"]))

    @given(requests(LISTED, text=True))
    def test_a_json_request(self, request: InferRequest) -> None:
        """Numbers too, NaN, infinities and signs of zero."""
        body, header_length = oip_json.encode_request(request, binary=False)
        assert header_length is None
        back, form = decode(body)
        self.check_rest(back, request)
        assert all(map(same_numbers, back.inputs, request.inputs))
        assert not any(map(form.is_binary, request.outputs or ["any"]))

    @staticmethod
    def check_rest(back: InferRequest, request: InferRequest) -> None:
        assert (back.id, back.outputs) == (request.id, request.outputs)
        assert len(back.inputs) == len(request.inputs)
        assert {k: typed(v) for k, v in back.parameters.items()} == {
            k: typed(v) for k, v in request.parameters.items()
        }

    @given(responses())
    def test_a_binary_response(self, response: InferResponse) -> None:
        """Bit by bit."""
        back = oip_json.decode_response(*oip_json.encode_response(response, BINARY))
        assert all(map(same_bits, back.outputs, response.outputs))
        assert len(back.outputs) == len(response.outputs)

    @given(responses(LISTED, text=True), st.data())
    def test_a_mixed_response(self, response: InferResponse, data: st.DataObject) -> None:
        """Each output in the form that was asked for; names, version, id and parameters."""
        wanted = {tensor.name: data.draw(st.booleans()) for tensor in response.outputs}
        body, header_length = oip_json.encode_response(
            response, OutputForm(binary=False, binary_by_name=wanted)
        )
        back = oip_json.decode_response(body, header_length)
        assert (back.model, back.version, back.id) == (
            response.model,
            response.version,
            response.id,
        )
        assert all(map(same_numbers, back.outputs, response.outputs))
        assert {k: typed(v) for k, v in back.parameters.items()} == {
            k: typed(v) for k, v in response.parameters.items()
        }
        document = json.loads(body[:header_length])
        assert {o["name"]: "data" not in o for o in document["outputs"]} == wanted


class TestArbitrary:
    @given(st.binary(max_size=60), st.none() | st.integers(-1, 70))
    def test_any_bytes_give_a_message_or_our_error(self, body: bytes, length: int | None) -> None:
        """Nothing but a GatewayError escapes a decoder."""
        for call in (decode, oip_json.decode_response):
            try:
                call(body, length)
            except GatewayError:
                continue

    @given(
        st.dictionaries(
            st.sampled_from(["name", "datatype", "shape", "data", "parameters"]),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats()
                | st.sampled_from(["FP32", "BYTES", "INT8", "BOOL", "FP16", "\ud800"])
                | st.just({"binary_data_size": 4}),
                lambda inner: st.lists(inner, max_size=3),
                max_leaves=6,
            ),
        ),
        st.binary(max_size=8),
    )
    def test_any_tensor_gives_an_array_or_our_error(
        self, member: dict[str, Any], rest: bytes
    ) -> None:
        """Well-formed JSON that is no tensor, or one that contradicts itself."""
        text = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", **member}]})
        try:
            (tensor,) = decode(text.encode() + rest, len(text))[0].inputs
        except GatewayError:
            return
        assert tensor.array.nbytes <= 8 * (len(text) + len(rest))

    @given(
        st.sampled_from(["inputs", "outputs", "parameters", "id"]),
        st.recursive(st.none() | st.integers() | st.text(max_size=3), st.lists, max_leaves=4),
    )
    def test_any_member_gives_a_request_or_our_error(self, key: str, value: object) -> None:
        """The members around the tensors too."""
        for body in ({"inputs": [], key: value}, {"inputs": [], key: [value]}):
            try:
                decode(body)
            except GatewayError:
                continue


class TestWrongMembers:
    @pytest.mark.parametrize(
        ("body", "path", "told"),
        [
            (b"[]", "", "wanted an object"),
            (b"nonsense", "", "not JSON"),
            ({}, "inputs", "got nothing, wanted a list"),
            ({"inputs": {}}, "inputs", "got an object, wanted a list"),
            ({"inputs": [1]}, "inputs[0]", "got 1, wanted an object"),
            (with_input(name=None), "inputs[0].name", "got nothing, wanted a string"),
            (with_input(datatype=7), "inputs[0].datatype", "got 7, datatypes are BOOL"),
            (with_input(datatype=["FP32"]), "inputs[0].datatype", "datatypes are BOOL"),
            (with_input(shape=None), "inputs[0].shape", "got nothing, wanted a list of integers"),
            (with_input(shape=2), "inputs[0].shape", "got 2, wanted a list of integers"),
            (with_input(shape=[2.0]), "inputs[0].shape", "wanted a list of integers"),
            (with_input(shape=[True]), "inputs[0].shape", "wanted a list of integers"),
            (with_input(shape=[-2]), "inputs[0].shape", "must not be negative"),
            (with_input(shape=[3]), "inputs[0].data", "got 2 elements"),
            (with_input(shape=[10**9, 10**9]), "inputs[0].data", "wants 1000000000000000000"),
            (with_input(shape=[0, 2**62, 4], data=[]), "inputs[0].shape", "no array"),
            (with_input(data=1.0), "inputs[0].data", "got 1.0, wanted a list"),
            (with_input(data=None), "inputs[0]", "exactly one of"),
            (with_input(parameters=1), "inputs[0].parameters", "wanted an object"),
            (with_input(parameters={"binary_data_size": 8}), "inputs[0]", "exactly one of"),
            (
                with_input(data=None, parameters={"binary_data_size": 1.0}),
                "inputs[0].parameters.binary_data_size",
                "got 1.0",
            ),
            (
                with_input(data=None, parameters={"binary_data_size": -1}),
                "inputs[0].parameters.binary_data_size",
                "got -1",
            ),
            ({"inputs": [], "id": 1}, "id", "got 1, wanted a string"),
            ({"inputs": [], "outputs": {}}, "outputs", "wanted a list"),
            ({"inputs": [], "outputs": ["y"]}, "outputs[0]", "wanted an object"),
            ({"inputs": [], "outputs": [{}]}, "outputs[0].name", "wanted a string"),
            (
                {"inputs": [], "outputs": [{"name": "y", "parameters": {"binary_data": 1}}]},
                "outputs[0].parameters.binary_data",
                "got 1, wanted true or false",
            ),
            (
                {"inputs": [], "outputs": [{"name": "y", "parameters": []}]},
                "outputs[0].parameters",
                "wanted an object",
            ),
            ({"inputs": [], "parameters": []}, "parameters", "wanted an object"),
            ({"inputs": [], "parameters": {"p": [1]}}, "parameters.p", "got a list"),
            ({"inputs": [], "parameters": {"p": None}}, "parameters.p", "got nothing"),
            ({"inputs": [], "parameters": {"triton_p": 1}}, "parameters.triton_p", "reserved"),
            (
                {"inputs": [], "parameters": {"binary_data_output": "yes"}},
                "parameters.binary_data_output",
                "got 'yes', wanted true or false",
            ),
        ],
    )
    def test_are_refused_by_their_place(
        self, body: bytes | dict[str, Any], path: str, told: str
    ) -> None:
        """The error says where, what was got and what was wanted."""
        error = refusal(body)
        assert error.path == path
        assert told in error.message

    @pytest.mark.parametrize(
        ("key", "members"),
        [
            ("inputs", [{}] * 1025),
            ("outputs", [{}] * 1025),
            ("parameters", {str(index): 1 for index in range(1025)}),
        ],
    )
    def test_more_than_any_model_has_are_refused(self, key: str, members: object) -> None:
        """They are counted before they are read."""
        error = refusal({"inputs": [], key: members})
        assert error.path == key
        assert error.message == "got 1025, at most 1024 are taken"

    @pytest.mark.parametrize(
        "body",
        [
            with_input(data=None, parameters={"shared_memory_region": "r"}),
            {"inputs": [], "outputs": [{"name": "y", "parameters": {"classification": 2}}]},
        ],
    )
    def test_what_tandem_does_not_speak_is_refused_not_ignored(self, body: dict[str, Any]) -> None:
        """Else the answer would be another than the one asked for."""
        with pytest.raises(Unsupported):
            decode(body)

    def test_an_integer_beyond_64_bits_is_no_parameter(self) -> None:
        """The gRPC form has no room for it; with NaN about, Python reads such numbers."""
        body = b'{"inputs":[],"parameters":{"p":%d,"q":NaN}}' % 2**65
        assert refusal(body).path == "parameters.p"


def test_a_request_keeps_what_the_url_said() -> None:
    """Model and version come from there."""
    request, form = oip_json.decode_request(b'{"inputs":[]}', None, model="m", version="3")
    assert (request.model, request.version, request.outputs, request.id) == ("m", "3", (), "")
    assert form == JSON


def test_null_members_are_absent() -> None:
    """Some clients write every member."""
    body = {"id": None, "parameters": None, "outputs": None, **with_input()}
    body["inputs"][0]["parameters"] = None
    request, form = decode(body)
    assert (request.id, request.parameters, request.outputs, form) == ("", {}, (), JSON)
