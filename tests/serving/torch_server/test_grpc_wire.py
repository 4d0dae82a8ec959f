"""What a call, its message and its status look like, without a connection."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BodyTooLarge, GatewayError, InvalidRequest, Unsupported
from serving.torch_server import grpc_wire as wire
from serving.torch_server.hpack import HeaderReader


@given(st.binary(max_size=200), st.integers(0, 210))
def test_a_message_arrives_as_it_was_sent_in_two_pieces(message: bytes, cut: int) -> None:
    data = wire.write_message(message)
    assert wire.read_message([data]) == (message, False)
    assert wire.read_message([data[:cut], data[cut:]]) == (message, False)


@pytest.mark.parametrize("data", [b"", b"\0\0\0\0", b"\0\0\0\0\2x", b"\0\0\0\0\1xy", bytes(10)])
def test_no_message_or_half_of_one_or_two_are_the_caller_s_mistake(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        wire.read_message([data])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"2H", 7200.0),
        (b"3M", 180.0),
        (b"10S", 10.0),
        (b"250m", 0.25),
        (b"99999999u", 99.999999),
        (b"5n", 5e-9),
        (b"10", None),
        (b"-1S", None),
        (b"123456789S", None),
        (b"S", None),
    ],
)
def test_a_timeout_is_read(text: bytes, seconds: float | None) -> None:
    assert wire.timeout_s({b"grpc-timeout": text}) == (
        None if seconds is None else pytest.approx(seconds)
    )


def test_no_timeout_is_none() -> None:
    assert wire.timeout_s({}) is None


def test_compressed_messages_are_read() -> None:
    message = bytes(10_000)
    assert wire.expand(gzip.compress(message), b"gzip", 10_000) == message
    assert wire.expand(zlib.compress(message), b"deflate", 10_000) == message


@pytest.mark.parametrize(
    ("message", "encoding", "error"),
    [
        (gzip.compress(bytes(10_001)), b"gzip", BodyTooLarge),
        (gzip.compress(bytes(10))[:-1], b"gzip", InvalidRequest),
        (b"no such thing", b"gzip", InvalidRequest),
        (b"", b"deflate", InvalidRequest),
        (b"x", b"snappy", Unsupported),
        (b"x", b"identity", Unsupported),
    ],
)
def test_what_cannot_be_decompressed_says_why(
    message: bytes, encoding: bytes, error: type[GatewayError]
) -> None:
    with pytest.raises(error):
        wire.expand(message, encoding, 10_000)


def test_an_error_s_text_travels_whatever_is_in_it() -> None:
    headers = HeaderReader().read(wire.failure("NOT_FOUND", "50 % of 'é'\n"))
    assert headers[b"grpc-status"] == b"5"
    assert headers[b"grpc-message"] == b"50 %25 of '%C3%A9'%0A"


@given(st.text(st.characters()), st.integers(1, 2000))
def test_an_error_s_text_is_never_more_than_a_client_takes(text: str, times: int) -> None:
    headers = HeaderReader().read(wire.failure("INTERNAL", text * times))
    assert sum(len(name) + len(value) + 32 for name, value in headers.items()) < 8192
