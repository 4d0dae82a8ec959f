"""What servers tell of themselves and their models, over gRPC and over REST."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs import oip_json, oip_proto
from gateway.codecs.oip_model import newest_first
from gateway.errors import GatewayError, InvalidRequest
from gateway.messages import ModelDescription
from gateway.tensors import DTYPES, Signature, TensorSpec

Encode = Callable[..., bytes]
Decode = Callable[[bytes], ModelDescription]

DIALECTS = pytest.mark.parametrize(
    ("encode", "decode"),
    [
        (oip_proto.encode_model_metadata, oip_proto.decode_model_metadata),
        (oip_json.encode_model_metadata, oip_json.decode_model_metadata),
    ],
    ids=["grpc", "rest"],
)

specs = st.lists(
    st.builds(
        TensorSpec,
        name=st.text(max_size=6),
        datatype=st.sampled_from(list(DTYPES)),
        shape=st.lists(st.integers(-1, 300), max_size=4).map(tuple),
    ),
    max_size=3,
    unique_by=lambda spec: spec.name,
).map(lambda specs: {spec.name: spec for spec in specs})

descriptions = st.builds(
    lambda model, version, inputs, outputs: ModelDescription(
        model=model,
        version=version,
        platform="p",
        signatures={"serving_default": Signature("serving_default", inputs, outputs)},
    ),
    st.text(max_size=6),
    st.text(max_size=6),
    specs,
    specs,
)


def description(*names: str, shape: tuple[int, ...] | None = (-1, 4)) -> ModelDescription:
    """Version 1 of `iris`, with signatures of these names; each input is called after its signature."""
    return ModelDescription(
        model="iris",
        version="1",
        platform="torch",
        signatures={n: Signature(n, {n: TensorSpec(n, "FP32", shape)}, {}) for n in names},
    )


@DIALECTS
@given(told=descriptions)
def test_a_description_survives_the_way_there_and_back(
    encode: Encode, decode: Decode, told: ModelDescription
) -> None:
    """The order of inputs and outputs too."""
    back = decode(encode(told))
    assert back == told
    assert list(back.signatures["serving_default"].inputs) == list(
        told.signatures["serving_default"].inputs
    )


@DIALECTS
def test_the_default_signature_is_told(encode: Encode, decode: Decode) -> None:
    """The protocol has room for one; without a default it is the first, and none tells nothing."""
    for names, wanted in [
        (("b", "serving_default"), ["serving_default"]),
        (("b", "a"), ["b"]),
        ((), []),
    ]:
        (signature,) = decode(encode(description(*names))).signatures.values()
        assert signature.name == "serving_default"
        assert list(signature.inputs) == wanted


@DIALECTS
def test_an_unknown_rank_is_told_as_one_dynamic_dimension(encode: Encode, decode: Decode) -> None:
    """The protocol has no word for it."""
    back = decode(encode(description("a", shape=None)))
    assert back.signatures["serving_default"].inputs["a"].shape == (-1,)


@DIALECTS
def test_the_newest_listed_version_is_described(encode: Encode, decode: Decode) -> None:
    """By number, not by text."""
    assert decode(encode(description("a"), ["9", "10", "2"])).version == "10"


def test_a_server_that_lists_no_version_is_read() -> None:
    """`versions` is optional in the protocol."""
    assert oip_json.decode_model_metadata(b'{"name":"m","platform":""}').version == ""


def test_versions_are_listed_newest_first() -> None:
    """Over gRPC, for the backend's list."""
    data = oip_proto.encode_model_metadata(description("a"), ["2", "10"])
    assert oip_proto.decode_model_versions(data) == ("10", "2")


def test_numbers_come_before_names_and_have_no_limit() -> None:
    """A version may be any text; a number of 5000 digits neither fails nor takes long."""
    huge = "1" * 5000
    assert newest_first(["b", "9", "10", "a", huge, "٣"]) == (huge, "10", "9", "٣", "b", "a")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"[]", ""),
        (b"{}", "name"),
        (b'{"name":1}', "name"),
        (b'{"name":"m","versions":"1","platform":"p"}', "versions"),
        (b'{"name":"m","versions":[1],"platform":"p"}', "versions"),
        (b'{"name":"m","platform":"p","inputs":[1]}', "inputs[0]"),
        (
            b'{"name":"m","platform":"p","inputs":[{"name":"x","datatype":"F","shape":[]}]}',
            "inputs[0].datatype",
        ),
        (
            b'{"name":"m","platform":"p","inputs":[{"name":"x","datatype":"FP32","shape":[1.0]}]}',
            "inputs[0].shape",
        ),
    ],
)
def test_bad_metadata_is_refused_by_its_place(body: bytes, path: str) -> None:
    """A backend's answer is no more trusted than a client's."""
    with pytest.raises(InvalidRequest) as caught:
        oip_json.decode_model_metadata(body)
    assert caught.value.path == path


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3), st.lists, max_leaves=4))
def test_any_json_gives_metadata_or_our_error(value: object) -> None:
    """Nothing but a GatewayError escapes a decoder."""
    for document in (value, {"name": value}, {"name": "m", "platform": "p", "inputs": value}):
        try:
            oip_json.decode_model_metadata(json.dumps(document).encode())
        except GatewayError:
            continue


def test_a_servers_metadata_survives_both_ways() -> None:
    """Name, version, and the extensions that clients look for."""
    wanted = oip_proto.ServerMetadata(name="tandem", version="1", extensions=("a", "b"))
    grpc = oip_proto.encode_server_metadata("tandem", "1", ("a", "b"))
    assert oip_proto.decode_server_metadata(grpc) == wanted
    rest = oip_json.encode_server_metadata("tandem", "1", ("a", "b"))
    assert json.loads(rest) == {"name": "tandem", "version": "1", "extensions": ["a", "b"]}


def test_requests_and_truths_survive_over_grpc() -> None:
    """Model requests, readiness, liveness, and the question for an index."""
    for version in ("3", None):
        data = oip_proto.encode_model_request("m", version)
        assert oip_proto.decode_model_request(data) == ("m", version)
    for truth in (True, False):
        assert oip_proto.decode_server_live(oip_proto.encode_server_live(live=truth)) is truth
        assert oip_proto.decode_server_ready(oip_proto.encode_server_ready(ready=truth)) is truth
        assert oip_proto.decode_model_ready(oip_proto.encode_model_ready(ready=truth)) is truth
        asked = oip_proto.encode_repository_index_request(ready=truth)
        assert oip_proto.decode_repository_index_request(asked) is truth


def test_a_repository_index_survives_over_grpc() -> None:
    """In its order."""
    index = (
        oip_proto.IndexedModel(name="b", version="2", state="READY"),
        oip_proto.IndexedModel(name="a", version="1", state="UNAVAILABLE", reason="no memory"),
    )
    assert oip_proto.decode_repository_index(oip_proto.encode_repository_index(index)) == index


def test_an_error_is_one_member() -> None:
    """Whatever its text holds, half a surrogate pair included."""
    assert json.loads(oip_json.encode_error('no "model" é')) == {"error": 'no "model" é'}
    assert json.loads(oip_json.encode_error("\ud800")) == {"error": "?"}
