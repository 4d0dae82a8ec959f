"""TorchServe's prediction bodies, as its client writes and reads them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs import torchserve
from gateway.codecs.torchserve_management import decode_models
from gateway.errors import InvalidRequest
from gateway.messages import InferRequest
from gateway.tensors import DTYPES, Signature, Tensor, TensorSpec

ONE = Signature(
    "serving_default",
    {"x": TensorSpec("x", "FP32", (-1, 2))},
    {"y": TensorSpec("y", "FP32", (-1,))},
)
TWO = Signature(
    "serving_default",
    {"h": TensorSpec("h", "FP16", (-1,)), "s": TensorSpec("s", "BYTES", (-1, 1))},
    {"h": TensorSpec("h", "FP16", (-1,)), "s": TensorSpec("s", "BYTES", (-1, 1))},
)
WHOLE = Signature(
    "serving_default", {"x": TensorSpec("x", "FP32", (3,))}, {"y": TensorSpec("y", "FP32", ())}
)
X = Tensor("x", "FP32", np.array([[1, 2], [3, np.nan]], "<f4"))
H = Tensor("h", "FP16", np.array([0.5, -2], "<f2"))
S = Tensor("s", "BYTES", np.array([[b"text"], [b"\xff\x00"]], dtype=np.object_))


def request(*inputs: Tensor) -> InferRequest:
    return InferRequest(model="m", inputs=inputs)


def read(body: Any, signature: Signature) -> dict[str, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = torchserve.decode_response(data, signature, model="m", version="1")
    assert (response.model, response.version) == ("m", "1")
    return {tensor.name: tensor.array.tolist() for tensor in response.outputs}


class TestEncode:
    def test_rows_of_one_input_are_plain(self) -> None:
        """NaN is a bare word, which Python's parser at the other end takes."""
        body = torchserve.encode_request(request(X), ONE, "instances")
        assert body == b'{"instances":[[1.0,2.0],[3.0,NaN]]}'

    def test_rows_of_several_inputs_are_objects(self) -> None:
        """Half floats are numbers; what is no text is base64."""
        body = torchserve.encode_request(request(H, S), TWO, "instances")
        assert json.loads(body) == {
            "instances": [{"h": 0.5, "s": ["text"]}, {"h": -2.0, "s": [{"b64": "/wA="}]}]
        }

    def test_what_has_no_rows_goes_by_name(self) -> None:
        body = torchserve.encode_request(
            request(Tensor("x", "FP32", np.arange(3, dtype="<f4"))), WHOLE, "instances"
        )
        assert json.loads(body) == {"inputs": {"x": [0.0, 1.0, 2.0]}}

    def test_the_open_inference_protocols_form(self) -> None:
        body = torchserve.encode_request(request(H), TWO, "oip")
        (told,) = json.loads(body)["inputs"]
        assert told == {"name": "h", "datatype": "FP16", "shape": [2], "data": [0.5, -2.0]}


class TestDecode:
    @pytest.mark.parametrize(
        "body",
        [
            [1.5, 2.5],
            {"predictions": [1.5, 2.5]},
            {"outputs": [1.5, 2.5]},
            {"outputs": {"y": [1.5, 2.5]}},
            {"y": [1.5, 2.5], "more": 1},
            {"predictions": [{"y": 1.5}, {"y": 2.5}]},
            {"outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [1.5, 2.5]}]},
        ],
    )
    def test_whatever_a_models_code_answers(self, body: Any) -> None:
        """All of these are common, and mean the same."""
        assert read(body, ONE) == {"y": [1.5, 2.5]}

    def test_several_outputs_come_as_objects_or_columns(self) -> None:
        wanted = {"h": [0.5, -2.0], "s": [[b"text"], [b"\xff\x00"]]}
        assert (
            read(
                torchserve.encode_request(request(H, S), TWO, "instances").replace(
                    b'"instances"', b'"predictions"'
                ),
                TWO,
            )
            == wanted
        )
        columns = {"h": [0.5, -2.0], "s": [["text"], [{"b64": "/wA="}]]}
        assert read(columns, TWO) == wanted
        assert read({"outputs": columns}, TWO) == wanted

    @pytest.mark.parametrize(
        "body",
        [
            b"no JSON",
            {"neither": 1},
            {"predictions": "text"},
            {"predictions": [[1], [2, 3]]},
            {"predictions": ["text"]},
            {"outputs": [{"name": "y", "datatype": "FP32", "shape": [3], "data": [1]}]},
            {"outputs": [{"name": "y", "datatype": "WHAT", "shape": [1], "data": [1]}]},
            7,
        ],
    )
    def test_anything_else_is_refused(self, body: Any) -> None:
        with pytest.raises(InvalidRequest):
            read(body, ONE)

    def test_plain_rows_cannot_be_several_outputs(self) -> None:
        with pytest.raises(InvalidRequest, match="objects with"):
            read([1, 2], TWO)

    @given(st.binary())
    def test_any_bytes_give_an_answer_or_an_error(self, data: bytes) -> None:
        try:
            torchserve.decode_response(data, ONE, model="m", version="")
        except InvalidRequest:
            return

    @given(st.lists(st.tuples(st.floats(width=16, allow_nan=False), st.binary()), min_size=1))
    def test_what_is_written_is_read_again(self, rows: list[tuple[float, bytes]]) -> None:
        """Rows there and back, as a model that gives its input back would answer."""
        h = Tensor("h", "FP16", np.array([row[0] for row in rows], DTYPES["FP16"]))
        s = Tensor("s", "BYTES", np.array([[row[1]] for row in rows], dtype=np.object_))
        body = torchserve.encode_request(request(h, s), TWO, "instances")
        document = body.replace(b'{"instances":', b'{"predictions":', 1)
        assert read(document, TWO) == {"h": h.array.tolist(), "s": s.array.tolist()}


class TestManagement:
    def test_versions_workers_and_a_handlers_own_signature(self) -> None:
        """The signature as an object, or as the text of one; any other text is none."""
        told = {
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
        }
        for said, wanted in ((told, ONE), (json.dumps(told), ONE), ("a text", None), (None, None)):
            body = [
                {
                    "modelVersion": "1.0",
                    "workers": [{"status": "READY"}, {"status": "LOADING"}],
                    "customizedMetadata": said,
                },
                {"modelVersion": "2"},
            ]
            first, second = decode_models(json.dumps(body).encode())
            assert (first.version, first.ready, first.signature) == ("1.0", 1, wanted)
            assert (second.version, second.ready, second.signature) == ("2", 0, None)

    @pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[{"modelName":"m"}]'])
    def test_anything_else_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidRequest):
            decode_models(body)
