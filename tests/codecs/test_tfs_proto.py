"""Do TF Serving's gRPC messages survive the way there and back, and hostile bytes cost nothing?"""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs import tfs_proto
from gateway.errors import GatewayError, InvalidRequest
from gateway.messages import InferRequest, InferResponse, ModelDescription, Target, VersionStatus
from gateway.tensors import DTYPES, Datatype, Tensor
from tests.codecs.oip_strategies import same_bits
from tests.codecs.tfs_strategies import (
    descriptions,
    requests,
    responses,
    statuses,
    without_tensors,
)

DECODERS: tuple[Callable[[bytes], object], ...] = (
    tfs_proto.decode_request,
    tfs_proto.decode_response,
    tfs_proto.decode_metadata_request,
    tfs_proto.decode_metadata,
    tfs_proto.decode_status_request,
    tfs_proto.decode_status,
)


@given(requests())
def test_requests_survive(request_: InferRequest) -> None:
    again = tfs_proto.decode_request(tfs_proto.encode_request(request_))
    assert without_tensors(again) == without_tensors(request_)
    assert all(map(same_bits, again.inputs, request_.inputs))
    assert len(again.inputs) == len(request_.inputs)


@given(responses())
def test_responses_survive(response: InferResponse) -> None:
    again = tfs_proto.decode_response(tfs_proto.encode_response(response))
    assert without_tensors(again) == without_tensors(response)
    assert all(map(same_bits, again.outputs, response.outputs))
    assert len(again.outputs) == len(response.outputs)


@given(descriptions())
def test_descriptions_survive(description: ModelDescription) -> None:
    again = tfs_proto.decode_metadata(tfs_proto.encode_metadata(description))
    assert replace(again, checks_itself=False, told=b"") == description
    assert tfs_proto.decode_metadata(tfs_proto.encode_metadata(again)) == again


@given(statuses)
def test_statuses_survive_newest_first(found: tuple[VersionStatus, ...]) -> None:
    assert tfs_proto.decode_status(tfs_proto.encode_status(found)) == found
    assert tfs_proto.decode_status(tfs_proto.encode_status(found[::-1])) == found


@given(st.binary(max_size=200), st.sampled_from(DECODERS))
def test_arbitrary_bytes_raise_nothing_but_our_errors(
    data: bytes, decode: Callable[[bytes], object]
) -> None:
    with contextlib.suppress(GatewayError):
        decode(data)


@given(requests(), st.data())
def test_damaged_requests_raise_nothing_but_our_errors(
    request_: InferRequest, data: st.DataObject
) -> None:
    damaged = bytearray(tfs_proto.encode_request(request_))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(GatewayError):
        tfs_proto.decode_request(bytes(damaged))


def test_a_small_message_cannot_ask_for_much_memory() -> None:
    """However many tensors it has: what they may fill is shared."""
    message = wire.PredictRequest()
    message.model_spec.name = "m"
    per_tensor = tfs_proto.MAX_FILLED_BYTES // 4
    for index in range(100):
        tensor = message.inputs[str(index)]
        tensor.dtype = wire.DT_FLOAT
        tensor.tensor_shape.dim.add(size=per_tensor // 4)
    data = message.SerializeToString()
    tracemalloc.start()
    with pytest.raises(InvalidRequest, match="are filled by repeating"):
        tfs_proto.decode_request(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("datatype", DTYPES)
def test_zero_rows_and_scalars_survive(datatype: Datatype) -> None:
    for shape in ((0, 3), (), (2, 0)):
        array = np.zeros(shape, DTYPES[datatype])
        if datatype == "BYTES":
            array = np.full(shape, b"", object)
        response = InferResponse(model="m", version="1", outputs=(Tensor("y", datatype, array),))
        (again,) = tfs_proto.decode_response(tfs_proto.encode_response(response)).outputs
        assert same_bits(again, response.outputs[0])


def test_nan_keeps_its_bits() -> None:
    for dtype, bits in ((np.float32, "<u4"), (np.float16, "<u2"), (ml_dtypes.bfloat16, "<u2")):
        array = np.array([0x7FC1 if np.dtype(bits).itemsize == 2 else 0x7FC00001], bits).view(dtype)
        tensor = Tensor("y", {v: k for k, v in DTYPES.items()}[array.dtype], array)
        response = InferResponse(model="m", version="1", outputs=(tensor,))
        (again,) = tfs_proto.decode_response(tfs_proto.encode_response(response)).outputs
        assert same_bits(again, tensor)


def test_more_inputs_than_any_model_has_are_refused_before_one_is_read() -> None:
    message = wire.PredictRequest()
    message.model_spec.name = "m"
    for number in range(tfs_proto.MAX_INPUTS + 1):
        message.inputs[str(number)].dtype = wire.DT_INVALID  # which would be refused
    with pytest.raises(InvalidRequest, match="got 1025 inputs, at most 1024 are taken"):
        tfs_proto.decode_request(message.SerializeToString())


def test_a_version_that_is_no_integer_cannot_be_asked_for() -> None:
    for version in ("v1", "1.0", "-1", "", "9" * 30, "\u0661"):
        with pytest.raises(InvalidRequest, match="versions are integers"):
            tfs_proto.encode_request(InferRequest(model="m", inputs=(), version=version))


def test_an_answer_leaves_out_a_version_that_is_no_integer() -> None:
    data = tfs_proto.encode_response(InferResponse(model="m", version="v1", outputs=()))
    assert tfs_proto.decode_response(data).version == ""


def test_an_answer_names_the_default_signature() -> None:
    data = tfs_proto.encode_response(InferResponse(model="m", version="1", outputs=()))
    assert tfs_proto.decode_response(data).signature == "serving_default"


def test_a_version_and_a_label_exclude_each_other() -> None:
    data = tfs_proto.encode_status_request(Target(model="m", version="3", label="stable"))
    assert tfs_proto.decode_status_request(data) == Target(model="m", version="3")


def test_states_without_a_name_are_left_out_and_odd_codes_kept() -> None:
    message = wire.GetModelStatusResponse()
    message.model_version_status.add(version=1)
    line = message.model_version_status.add(version=2, state=wire.ModelVersionStatus.AVAILABLE)
    line.status.error_code = 20  # type: ignore[assignment]  # a code of a newer server
    (status,) = tfs_proto.decode_status(message.SerializeToString())
    assert (status.version, status.error_code) == ("2", "20")
    written = tfs_proto.decode_status(tfs_proto.encode_status((status,)))
    assert written[0].error_code == "UNKNOWN"


def test_a_version_that_is_no_integer_has_no_status_here() -> None:
    statuses_ = (
        VersionStatus(version="v1", state="AVAILABLE"),
        VersionStatus(version="1", state="AVAILABLE"),
    )
    (status,) = tfs_proto.decode_status(tfs_proto.encode_status(statuses_))
    assert status.version == "1"


def test_metadata_without_signatures_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="want 'signature_def'"):
        tfs_proto.decode_metadata(b"")


def test_sparse_inputs_and_foreign_datatypes_hide_their_signature() -> None:
    signatures = wire.SignatureDefMap()
    signatures.signature_def["sparse"].inputs["x"].dtype = wire.DT_FLOAT
    signatures.signature_def["complex"].outputs["y"].MergeFrom(
        wire.TensorInfo(name="y:0", dtype=wire.DT_COMPLEX64)
    )
    variable = wire.TensorInfo(name="y:0", dtype=101)  # type: ignore[arg-type]  # DT_FLOAT_REF
    signatures.signature_def["variable"].outputs["y"].MergeFrom(variable)
    message = wire.GetModelMetadataResponse()
    message.metadata["signature_def"].value = signatures.SerializeToString()
    found = tfs_proto.decode_metadata(message.SerializeToString()).signatures
    assert list(found) == ["variable"]
    assert found["variable"].outputs["y"].datatype == "FP32"
