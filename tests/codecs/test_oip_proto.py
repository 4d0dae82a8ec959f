"""The Open Inference Protocol's gRPC inference messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway._stubs import oip_wire_pb2 as pb
from gateway.codecs import oip_proto, protobuf
from gateway.errors import BodyTooLarge, GatewayError, InvalidRequest, Unsupported
from gateway.messages import InferRequest, InferResponse
from gateway.tensors import DTYPES, Datatype, Tensor
from tests.codecs.oip_strategies import (
    LISTED,
    requests,
    responses,
    same_bits,
    same_numbers,
    tensors,
    typed,
)

CONTENTS = {
    "BOOL": "bool_contents",
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def contents_of(datatype: Datatype) -> str:
    return CONTENTS.get(datatype, "uint_contents" if datatype[0] == "U" else "int_contents")


def wire_request(*inputs: dict[str, Any], **fields: Any) -> bytes:
    """A request for model `m` with inputs given as keyword arguments of the message."""
    tensors = [pb.ModelInferRequest.InferInputTensor(**fields) for fields in inputs]
    message = pb.ModelInferRequest(model_name="m", inputs=tensors, **fields)
    return message.SerializeToString()


def refusal(data: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        oip_proto.decode_request(data)
    return caught.value


def test_a_message_that_nobody_could_read_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that fit one by one may be too much for protobuf as a batch."""
    monkeypatch.setattr(protobuf, "MAX_MESSAGE_BYTES", 100)
    tensor = Tensor("x", "UINT8", np.zeros(100, np.uint8))
    with pytest.raises(BodyTooLarge, match="at most 100 fit"):
        oip_proto.encode_request(InferRequest(model="m", inputs=(tensor,)))


@given(requests())
@example(InferRequest(model="m", inputs=(), parameters={"p": 2**64 - 1, "q": -(2**63)}))
def test_a_request_survives_the_way_there_and_back(request: InferRequest) -> None:
    """Every datatype and shape bit by bit, names, id, outputs, and parameters with their types."""
    back = oip_proto.decode_request(oip_proto.encode_request(request))
    assert (back.model, back.version, back.id) == (request.model, request.version, request.id)
    assert back.outputs == request.outputs
    assert all(map(same_bits, back.inputs, request.inputs))
    assert len(back.inputs) == len(request.inputs)
    assert {k: typed(v) for k, v in back.parameters.items()} == {
        k: typed(v) for k, v in request.parameters.items()
    }


@given(responses())
def test_a_response_survives_the_way_there_and_back(response: InferResponse) -> None:
    """As a request."""
    back = oip_proto.decode_response(oip_proto.encode_response(response))
    assert (back.model, back.version, back.id) == (response.model, response.version, response.id)
    assert all(map(same_bits, back.outputs, response.outputs))
    assert len(back.outputs) == len(response.outputs)
    assert {k: typed(v) for k, v in back.parameters.items()} == {
        k: typed(v) for k, v in response.parameters.items()
    }


@given(tensors(LISTED))
def test_typed_contents_say_the_same_as_raw_ones(tensor: Tensor) -> None:
    """A client that fills `contents`, as KServe's does, gets the same array."""
    values = tensor.array.reshape(-1).tolist()
    contents = pb.InferTensorContents(**{contents_of(tensor.datatype): values})
    data = wire_request(
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": tensor.shape,
            "contents": contents,
        }
    )
    (back,) = oip_proto.decode_request(data).inputs
    assert same_numbers(back, tensor)


@given(st.binary(max_size=60))
def test_any_bytes_give_a_message_or_our_error(data: bytes) -> None:
    """Nothing but a GatewayError escapes a decoder."""
    for decode in (
        oip_proto.decode_request,
        oip_proto.decode_response,
        oip_proto.decode_model_metadata,
        oip_proto.decode_model_versions,
        oip_proto.decode_model_request,
        oip_proto.decode_repository_index,
        oip_proto.decode_server_metadata,
    ):
        try:
            decode(data)
        except GatewayError:
            continue


@given(
    datatype=st.sampled_from([*DTYPES, "FP8", ""]),
    shape=st.lists(st.integers(-1, 3) | st.just(10**9), max_size=4),
    contents=st.dictionaries(
        st.sampled_from(["int_contents", "fp32_contents"]),
        st.lists(st.integers(0, 300)),
        max_size=2,
    ),
    blobs=st.lists(st.binary(max_size=12), max_size=2),
)
def test_any_input_gives_a_tensor_or_our_error(
    datatype: str, shape: list[int], contents: dict[str, Any], blobs: list[bytes]
) -> None:
    """Well-formed messages that contradict themselves as well."""
    fields: dict[str, Any] = {"name": "x", "datatype": datatype, "shape": shape}
    if contents:
        fields["contents"] = pb.InferTensorContents(**contents)
    try:
        (tensor,) = oip_proto.decode_request(wire_request(fields, raw_input_contents=blobs)).inputs
    except GatewayError:
        return
    assert tensor.shape == tuple(shape)


def test_a_response_is_always_raw() -> None:
    """tritonclient's `as_numpy` reads nothing else."""
    output = Tensor("y", "INT32", np.array([[1, 2]], dtype="<i4"))
    data = oip_proto.encode_response(InferResponse(model="m", version="1", outputs=(output,)))
    message = pb.ModelInferResponse.FromString(data)
    assert list(message.raw_output_contents) == [output.array.tobytes()]
    assert not message.outputs[0].HasField("contents")


def test_a_raw_input_is_not_copied_twice() -> None:
    """Protobuf makes one bytes object; the array is a view of it."""
    request = InferRequest(model="m", inputs=(Tensor("x", "FP32", np.zeros((8, 8), "<f4")),))
    (tensor,) = oip_proto.decode_request(oip_proto.encode_request(request)).inputs
    assert not tensor.array.flags.owndata
    assert not tensor.array.flags.writeable


def test_an_empty_version_is_none() -> None:
    """Protobuf has no absent strings."""
    assert oip_proto.decode_request(wire_request()).version is None


FP32 = {"name": "x", "datatype": "FP32", "shape": [2]}
TWO = pb.InferTensorContents(fp32_contents=[1, 2])


@pytest.mark.parametrize(
    ("inputs", "blobs", "path", "message"),
    [
        ([{**FP32, "datatype": "FP8"}], [], "inputs[0].datatype", "got 'FP8', datatypes are BOOL"),
        ([FP32], [], "inputs[0]", "unable to find data for input tensor 'x'"),
        ([FP32, FP32], [b"12345678"], "raw_input_contents", "got 1 raw blobs, wanted one for each"),
        ([], [b"1234"], "raw_input_contents", "got 1 raw blobs, wanted one for each of 0 inputs"),
        ([FP32], [b"1234"], "inputs[0].data", "Expected 8, got 4"),
        ([{**FP32, "shape": [-1]}], [b""], "inputs[0].shape", "must not be negative"),
        ([{**FP32, "shape": [1] * 1000}], [b""], "inputs[0].shape", "at most 32"),
        (
            [{**FP32, "contents": TWO}],
            [b"12345678"],
            "inputs[0].contents",
            "contents field must not be specified when using raw_input_contents for 'x'",
        ),
        (
            [{**FP32, "datatype": "INT32", "contents": TWO}],
            [],
            "inputs[0].contents",
            "got fp32_contents, INT32 wants int_contents",
        ),
        ([{**FP32, "datatype": "FP16"}], [], "inputs[0]", "FP16 has no typed contents"),
        ([{**FP32, "datatype": "BF16"}], [], "inputs[0]", "BF16 has no typed contents"),
        (
            [{**FP32, "shape": [10**9, 10**9], "contents": TWO}],
            [],
            "inputs[0].data",
            "got 2 elements",
        ),
        (
            [
                {
                    **FP32,
                    "datatype": "INT8",
                    "contents": pb.InferTensorContents(int_contents=[1, 128]),
                }
            ],
            [],
            "inputs[0].data[1]",
            "got 128",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(
    inputs: list[dict[str, Any]], blobs: list[bytes], path: str, message: str
) -> None:
    """The error says where, what was got and what was wanted."""
    error = refusal(wire_request(*inputs, raw_input_contents=blobs))
    assert error.path == path
    assert message in error.message


def test_no_message_at_all_is_refused() -> None:
    """The error names the message that was wanted."""
    assert "no ModelInferRequest message" in refusal(b"\xff\xff").message


@pytest.mark.parametrize("name", ["shared_memory_region", "classification"])
def test_what_tandem_does_not_speak_is_refused_not_ignored(name: str) -> None:
    """An input in shared memory and an output as classes would otherwise be answered wrongly."""
    message = pb.ModelInferRequest(model_name="m")
    message.inputs.add(**FP32).parameters["shared_memory_region"].string_param = "r"
    message.outputs.add(name="y").parameters["classification"].int64_param = 3
    if name == "classification":
        del message.inputs[:]
    with pytest.raises(Unsupported) as caught:
        oip_proto.decode_request(message.SerializeToString())
    assert caught.value.path.endswith(f"[0].parameters.{name}")


def test_an_output_that_is_asked_for_twice_is_given_once() -> None:
    message = pb.ModelInferRequest(model_name="m")
    for name in ("y", "z", "y"):
        message.outputs.add(name=name)
    assert oip_proto.decode_request(message.SerializeToString()).outputs == ("y", "z")


def test_reserved_and_empty_parameters_are_refused() -> None:
    """Triton keeps `triton_…` for itself; a parameter without a value is none."""
    message = pb.ModelInferRequest(model_name="m")
    message.parameters["triton_x"].bool_param = True
    assert refusal(message.SerializeToString()).path == "parameters.triton_x"
    message = pb.ModelInferRequest(model_name="m")
    message.parameters["empty"].SetInParent()
    assert refusal(message.SerializeToString()).path == "parameters.empty"


def test_the_one_parameter_of_tritons_that_a_client_may_send_goes_no_further() -> None:
    """It would mean nothing to a backend, and would keep requests from sharing a batch."""
    message = pb.ModelInferRequest(model_name="m")
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    message.parameters["mine"].int64_param = 1
    assert oip_proto.decode_request(message.SerializeToString()).parameters == {"mine": 1}
    message.parameters["triton_enable_empty_final_response"].string_param = "yes"
    assert refusal(message.SerializeToString()).message == "got 'yes', wanted true or false"


def test_triton_may_answer_with_its_own_parameters() -> None:
    """What is reserved in a request is ordinary in a response."""
    message = pb.ModelInferResponse(model_name="m")
    message.parameters["triton_final_response"].bool_param = True
    back = oip_proto.decode_response(message.SerializeToString())
    assert back.parameters == {"triton_final_response": True}


def test_an_outputs_error_names_the_output() -> None:
    """The same rules hold in the other direction."""
    message = pb.ModelInferResponse(model_name="m", raw_output_contents=[b"123"])
    message.outputs.add(name="y", datatype="FP32", shape=[1])
    with pytest.raises(InvalidRequest, match="output byte size mismatch for output 'y'") as caught:
        oip_proto.decode_response(message.SerializeToString())
    assert caught.value.path == "outputs[0].data"


@pytest.mark.parametrize("members", [b"\x2a\x00", b"\x32\x00"], ids=["inputs", "outputs"])
def test_more_members_than_any_model_has_are_refused_unread(members: bytes) -> None:
    """Each costs two bytes on the wire, and as a Python object hundreds."""
    assert "got 1025, at most 1024" in refusal(members * 1025).message


def test_more_parameters_than_anybody_sends_are_refused() -> None:
    """They are counted before they are read."""
    message = pb.ModelInferRequest()
    for index in range(1025):
        message.parameters[str(index)].bool_param = True
    assert refusal(message.SerializeToString()).path == "parameters"
