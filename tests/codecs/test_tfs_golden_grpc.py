"""Does the gRPC codec read and write what the real TensorFlow Serving took and gave?"""

from __future__ import annotations

import pytest

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs import tfs_proto
from gateway.errors import InvalidRequest, Unsupported
from tests.codecs.oip_strategies import same_bits
from tests.codecs.tfs_golden import GrpcExchange, grpc_exchanges

# What the codec decides, before a model is looked up or run.
BY_THE_CODEC = ("Missing ModelSpec", "ModelSpec has no name", "tensor parsing error: ")

# Where Tandem answers differently on purpose: the exchanges and why.
DIFFERENT = {
    113: "Tandem carries no complex numbers",
    142: "nor resources; TF Serving says that they are invalid",
    143: "nor variants; TF Serving finds out when it compares with the signature",
}

PREDICTS = [exchange for exchange in grpc_exchanges() if exchange.method == "Predict"]


def _name(exchange: GrpcExchange) -> str:
    return f"{exchange.id}-{exchange.group}"


@pytest.mark.parametrize("exchange", PREDICTS, ids=_name)
def test_requests_are_taken_and_refused_as_by_the_real_server(exchange: GrpcExchange) -> None:
    if exchange.id in DIFFERENT:
        with pytest.raises(Unsupported):
            tfs_proto.decode_request(exchange.request)
    elif exchange.code == "INTERNAL" and exchange.group == "raw":  # no protobuf message at all
        with pytest.raises(InvalidRequest):
            tfs_proto.decode_request(exchange.request)
    elif exchange.details.startswith(BY_THE_CODEC):
        with pytest.raises(InvalidRequest) as refused:
            tfs_proto.decode_request(exchange.request)
        assert refused.value.message.startswith(exchange.details)
        assert refused.value.grpc_code == exchange.code
    else:
        assert tfs_proto.decode_request(exchange.request).model


ANSWERED = [
    exchange
    for exchange in PREDICTS
    if exchange.response is not None and exchange.id not in DIFFERENT
]


@pytest.mark.parametrize("exchange", ANSWERED, ids=_name)
def test_answers_are_written_as_the_real_server_writes_them(exchange: GrpcExchange) -> None:
    assert exchange.response is not None
    response = tfs_proto.decode_response(exchange.response)
    written = tfs_proto.encode_response(response)
    assert wire.PredictResponse.FromString(written) == wire.PredictResponse.FromString(
        exchange.response
    )


@pytest.mark.parametrize(
    "exchange",
    [e for e in ANSWERED if tfs_proto.decode_request(e.request).signature.startswith("id_")],
    ids=_name,
)
def test_what_an_identity_model_answers_is_what_was_read(exchange: GrpcExchange) -> None:
    """Every way to write a tensor: typed, as content, too short, too long, of another type."""
    assert exchange.response is not None
    (sent,) = tfs_proto.decode_request(exchange.request).inputs
    (answered,) = tfs_proto.decode_response(exchange.response).outputs
    assert same_bits(sent, type(sent)(sent.name, answered.datatype, answered.array))


def test_answers_name_the_version_and_signature_that_really_answered() -> None:
    named = {
        (request.signature or "serving_default", response.signature, response.version != "")
        for exchange in ANSWERED
        if exchange.response is not None
        for request in [tfs_proto.decode_request(exchange.request)]
        for response in [tfs_proto.decode_response(exchange.response)]
    }
    assert all(asked == answered and has_version for asked, answered, has_version in named)


METADATA = [exchange for exchange in grpc_exchanges() if exchange.method == "GetModelMetadata"]


@pytest.mark.parametrize("exchange", METADATA, ids=_name)
def test_metadata_requests_are_taken_and_refused_as_by_the_real_server(
    exchange: GrpcExchange,
) -> None:
    if exchange.code == "INVALID_ARGUMENT":
        with pytest.raises(InvalidRequest) as refused:
            tfs_proto.decode_metadata_request(exchange.request)
        assert refused.value.message == exchange.details
    else:
        target = tfs_proto.decode_metadata_request(exchange.request)
        assert tfs_proto.decode_metadata_request(tfs_proto.encode_metadata_request(target)) == (
            type(target)(model=target.model, version=target.version, label=target.label)
        )


@pytest.mark.parametrize("exchange", [e for e in METADATA if e.response is not None], ids=_name)
def test_metadata_answers_survive_reading_and_writing(exchange: GrpcExchange) -> None:
    assert exchange.response is not None
    description = tfs_proto.decode_metadata(exchange.response)
    assert description.signatures
    assert "__saved_model_init_op" not in description.signatures
    assert tfs_proto.decode_metadata(tfs_proto.encode_metadata(description)) == description
    message = wire.GetModelMetadataResponse.FromString(exchange.response)
    written = wire.GetModelMetadataResponse.FromString(tfs_proto.encode_metadata(description))
    assert written.model_spec == message.model_spec
    assert written.metadata["signature_def"].type_url == message.metadata["signature_def"].type_url


STATUS = [exchange for exchange in grpc_exchanges() if exchange.method == "GetModelStatus"]


@pytest.mark.parametrize("exchange", [e for e in STATUS if e.response is not None], ids=_name)
def test_status_answers_are_byte_for_byte_the_real_ones(exchange: GrpcExchange) -> None:
    assert exchange.response is not None
    statuses = tfs_proto.decode_status(exchange.response)
    assert {status.state for status in statuses} == {"AVAILABLE"}
    assert tfs_proto.encode_status(statuses) == exchange.response


@pytest.mark.parametrize("exchange", STATUS, ids=_name)
def test_status_requests_are_taken_and_refused_as_by_the_real_server(
    exchange: GrpcExchange,
) -> None:
    if exchange.code == "INVALID_ARGUMENT":
        with pytest.raises(InvalidRequest) as refused:
            tfs_proto.decode_status_request(exchange.request)
        assert refused.value.message == exchange.details
    else:
        target = tfs_proto.decode_status_request(exchange.request)
        assert tfs_proto.decode_status_request(tfs_proto.encode_status_request(target)).model
