"""One tensor in a REST body of the Open Inference Protocol: its elements in JSON, or its bytes after it."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from gateway.codecs import oip_json
from gateway.codecs.oip_json import OutputForm
from gateway.errors import InvalidRequest
from gateway.messages import InferRequest
from gateway.tensors import DTYPES, Datatype, Tensor
from tests.codecs.oip_bodies import (
    BINARY,
    JSON,
    array_in,
    decode,
    output,
    refusal,
    response,
    with_input,
)


class TestData:
    @pytest.mark.parametrize(
        ("shape", "data"),
        [
            ([2, 2], [1, 2, 3, 4]),
            ([2, 2], [[1, 2], [3, 4]]),
            ([1, 2, 2], [[1, 2], [3, 4]]),
            ([1, 1, 4], [[[1, 2, 3, 4]]]),
        ],
    )
    def test_flat_and_nested_say_the_same(self, shape: list[int], data: list[Any]) -> None:
        """Row-major, in whatever regular nesting, as Triton reads it."""
        array = array_in(shape=shape, data=data)
        assert list(array.shape) == shape
        assert array.reshape(-1).tolist() == [1, 2, 3, 4]

    @pytest.mark.parametrize("data", [[[1, 2], [3]], [[1], 2], [1, [2]], [[1, 2], [[3], [4]]]])
    def test_ragged_data_is_refused(self, data: list[Any]) -> None:
        """Even where the number of elements would fit."""
        assert refusal(with_input(shape=[3], data=data)).path.startswith("inputs[0].data")

    def test_data_nested_without_end_is_refused(self) -> None:
        """More levels than a shape may have dimensions."""
        nested: Any = [1.0]
        for _ in range(40):
            nested = [nested]
        assert "levels deep" in refusal(with_input(shape=[1], data=nested)).message

    def test_numbers_that_are_none_are_taken(self) -> None:
        """NaN and Infinity are tokens that Triton takes."""
        array = array_in(shape=[4], data=[math.nan, math.inf, -math.inf, 1])
        assert np.array_equal(array, [np.nan, np.inf, -np.inf, 1], equal_nan=True)

    def test_a_number_beyond_fp32_is_infinite(self) -> None:
        """And no warning is given."""
        assert array_in(data=[1e300, -1e300]).tolist() == [np.inf, -np.inf]

    def test_strings_become_utf8(self) -> None:
        """BYTES elements in JSON are text."""
        array = array_in(datatype="BYTES", data=["é", ""])
        assert array.tolist() == ["é".encode(), b""]

    @pytest.mark.parametrize(
        ("datatype", "data", "told"),
        [
            ("INT32", [1, 2.0], "got 2.0, INT32 wants an integer"),
            ("INT32", [1, True], "got true, INT32 wants an integer"),
            ("INT8", [1, 128], "got 128"),
            ("UINT8", [1, -1], "got -1"),
            ("UINT64", [1, 2**64], "UINT64 wants an integer"),  # a double, beyond 64 bits
            ("INT64", [1, 2**63], "got 9223372036854775808"),
            ("FP32", [1, True], "got true, FP32 wants a number"),
            ("FP32", [1, "2"], "got '2', FP32 wants a number"),
            ("FP64", [1, None], "got nothing, FP64 wants a number"),
            ("FP64", [1, {}], "got an object"),
            ("BOOL", [True, 1], "got 1, BOOL wants true or false"),
            ("BYTES", ["a", 1], "got 1, BYTES wants a string"),
        ],
    )
    def test_an_element_of_another_type_is_refused_by_its_place(
        self, datatype: str, data: list[Any], told: str
    ) -> None:
        """Nothing is rounded, wrapped or guessed."""
        error = refusal(with_input(datatype=datatype, data=data))
        assert error.path == "inputs[0].data[1]"
        assert told in error.message

    @pytest.mark.parametrize("datatype", ["FP16", "BF16"])
    def test_half_floats_have_no_json_form(self, datatype: Datatype) -> None:
        """To a caller, as at Triton; the error says what to do instead."""
        assert "use binary tensor data" in refusal(with_input(datatype=datatype)).message
        tensor = Tensor("y", "FP16", np.zeros(1, "<f2"))
        with pytest.raises(InvalidRequest, match="use binary tensor data"):
            oip_json.encode_response(response(tensor), JSON)

    @pytest.mark.parametrize("datatype", ["FP16", "BF16"])
    def test_half_floats_are_numbers_to_a_backend_without_binary_data(
        self, datatype: Datatype
    ) -> None:
        """There and back, infinite where an answer's number is beyond the range."""
        tensor = Tensor("y", datatype, np.array([0.5, -2.0], DTYPES[datatype]))
        body, header_length = oip_json.encode_request(
            InferRequest(model="m", inputs=(tensor,)), binary=False
        )
        (said,) = json.loads(body)["inputs"]
        assert (header_length, said["datatype"], said["data"]) == (None, datatype, [0.5, -2.0])
        answer = {"name": "y", "datatype": datatype, "shape": [3], "data": [0.5, 1e39, None]}
        (read,) = oip_json.decode_response(json.dumps({"outputs": [answer]}).encode(), None).outputs
        assert (read.datatype, read.array.dtype) == (datatype, DTYPES[datatype])
        assert read.array.astype(float).tolist()[:2] == [0.5, math.inf]
        assert math.isnan(float(read.array[2]))

    def test_bytes_that_are_no_text_have_no_json_form(self) -> None:
        """The error says what to do instead."""
        tensor = Tensor("y", "BYTES", np.array([b"a", b"\xff"], dtype=np.object_))
        with pytest.raises(InvalidRequest, match="not UTF-8") as caught:
            oip_json.encode_response(response(tensor), JSON)
        assert caught.value.path == "outputs[0]"

    def test_an_answer_is_flat(self) -> None:
        """As the protocol says; NaN is a token, and digits are the shortest that come back."""
        body, header_length = oip_json.encode_response(
            response(output("FP32", np.array([[0.1, np.nan], [np.inf, -0.0]], np.float32))), JSON
        )
        assert header_length is None
        assert body.endswith(b'"shape":[2,2],"data":[0.1,NaN,Infinity,-0.0]}]}')


def binary_body(*sizes: int, rest: bytes) -> tuple[bytes, int]:
    """A body of UINT8 inputs `x0`, `x1`… of these many bytes, and what follows the JSON part."""
    inputs = [
        {
            "name": f"x{index}",
            "datatype": "UINT8",
            "shape": [size],
            "parameters": {"binary_data_size": size},
        }
        for index, size in enumerate(sizes)
    ]
    text = json.dumps({"inputs": inputs}).encode()
    return text + rest, len(text)


class TestBinaryTensorData:
    def test_buffers_follow_in_the_inputs_order(self) -> None:
        """Empty ones too, and inputs with JSON data between them have none."""
        inputs = [
            {"name": "a", "datatype": "UINT8", "shape": [2], "parameters": {"binary_data_size": 2}},
            {"name": "b", "datatype": "FP32", "shape": [1], "data": [0.5]},
            {
                "name": "c",
                "datatype": "FP32",
                "shape": [0, 4],
                "parameters": {"binary_data_size": 0},
            },
            {"name": "d", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 7}},
        ]
        text = json.dumps({"inputs": inputs}).encode()
        request, _ = decode(text + b"\1\2" + b"\3\0\0\0abc", len(text))
        assert [t.array.tolist() for t in request.inputs] == [[1, 2], [0.5], [], [b"abc"]]
        assert request.inputs[2].shape == (0, 4)

    @pytest.mark.parametrize("header_length", [-1, 7, 1000])
    def test_a_header_length_outside_the_body_is_refused(self, header_length: int) -> None:
        """In Triton's words."""
        told = f"inference header size should be in range (0, 6), got: {header_length}"
        assert refusal(b"[1, 2]", header_length).message == told

    def test_a_raw_binary_request_is_not_read_here(self) -> None:
        """Header length 0 means a body without a JSON part: `oip_raw_request` reads it."""
        with pytest.raises(InvalidRequest, match="should be in range"):
            decode(b"1234", 0)

    def test_too_few_bytes_are_told_in_tritons_words(self) -> None:
        """The input that came too short, and by how much."""
        body, header_length = binary_body(2, 4, rest=b"abc")
        error = refusal(body, header_length)
        assert error.path == "inputs[1]"
        assert error.message == "unexpected size for input 'x1', expecting 3 additional bytes"

    def test_bytes_left_over_are_told_in_tritons_words(self) -> None:
        """A body must be used up."""
        body, header_length = binary_body(2, rest=b"abcd")
        error = refusal(body, header_length)
        assert error.message.startswith("unexpected additional input data for model 'm'")

    def test_no_header_means_no_bytes(self) -> None:
        """Without the header the whole body is JSON, so none follow."""
        body, _ = binary_body(2, rest=b"")
        assert "expecting 2 additional bytes" in refusal(body).message

    def test_a_size_that_does_not_fit_the_shape_is_refused(self) -> None:
        """In Triton's words."""
        text = json.dumps(with_input(data=None, parameters={"binary_data_size": 7})).encode()
        error = refusal(text + b"1234567", len(text))
        assert error.path == "inputs[0].data"
        told = "input byte size mismatch for input 'x' for model 'm'. Expected 8, got 7"
        assert error.message == told

    @pytest.mark.parametrize("name", ["x", "xx", "xxx", "xxxx"])
    def test_arrays_are_aligned_wherever_the_json_ends(self, name: str) -> None:
        """The JSON part has any length."""
        tensor = Tensor(name, "FP64", np.arange(3, dtype="<f8"))
        body, length = oip_json.encode_request(InferRequest(model="m", inputs=(tensor,)))
        (back,) = decode(body, length)[0].inputs
        assert back.array.flags.aligned
        assert back.array.tolist() == [0, 1, 2]

    @pytest.mark.parametrize("default", [True, False, None])
    @pytest.mark.parametrize("own", [True, False, None])
    def test_an_output_decides_before_the_request_does(
        self, *, own: bool | None, default: bool | None
    ) -> None:
        """`binary_data` of the output, else `binary_data_output` of the request, else JSON."""
        asked: dict[str, Any] = {"name": "y"}
        if own is not None:
            asked["parameters"] = {"binary_data": own}
        parameters = {} if default is None else {"binary_data_output": default}
        request, form = decode({"inputs": [], "outputs": [asked], "parameters": parameters})
        assert form.is_binary("y") is (bool(default) if own is None else own)
        assert form.is_binary("another") is bool(default)
        assert request.parameters == {}
        assert request.outputs == ("y",)

    def test_no_header_where_nothing_follows(self) -> None:
        """Binary outputs without bytes leave the whole body JSON, as at Triton."""
        empty = Tensor("y", "FP32", np.zeros((0, 3), "<f4"))
        body, header_length = oip_json.encode_response(response(empty), BINARY)
        assert header_length is None
        (back,) = oip_json.decode_response(body, None).outputs
        assert back.shape == (0, 3)

    def test_the_answers_bytes_follow_in_order(self) -> None:
        """Only those of the outputs wanted as raw bytes."""
        outputs = (
            output("UINT8", np.array([1], np.uint8), "a"),
            output("UINT8", np.array([2], np.uint8), "b"),
            output("UINT8", np.array([3], np.uint8), "c"),
        )
        form = OutputForm(binary=True, binary_by_name={"b": False})
        body, header_length = oip_json.encode_response(response(*outputs), form)
        assert header_length is not None
        assert body[header_length:] == b"\1\3"
        told = json.loads(body[:header_length])["outputs"]
        assert [o.get("data") for o in told] == [None, [2], None]
        assert told[0]["parameters"] == {"binary_data_size": 1}
