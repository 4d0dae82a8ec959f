"""Messages in the pieces of a body, timeouts and texts in headers: as gRPC over HTTP/2 has them."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.servers.grpc_calls import Refusal
from gateway.servers.grpc_frames import (
    Frames,
    framed,
    only_message,
    percent_encoded,
    timeout_s_of,
)

MOST = 1000


def packed(compressed: bytes) -> bytes:
    return b"\1" + len(compressed).to_bytes(4, "big") + compressed


@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
def test_messages_come_out_whole_however_the_body_is_cut(
    messages: list[bytes], data: st.DataObject
) -> None:
    body = b"".join(map(framed, messages))
    frames, found = Frames(MOST, b""), []
    while body:
        cut = data.draw(st.integers(1, len(body)))
        frames.feed(body[:cut])
        body = body[cut:]
        while (message := frames.next_message()) is not None:
            found.append(message)
    frames.check_ended()
    assert found == messages


@given(st.binary(max_size=200))
def test_a_call_of_one_message_takes_that_one(message: bytes) -> None:
    assert only_message(framed(message), MOST, b"") == message
    assert only_message(packed(gzip.compress(message)), MOST, b"gzip") == message
    assert only_message(packed(zlib.compress(message)), MOST, b"deflate") == message


@given(st.binary(max_size=60), st.sampled_from([b"", b"gzip", b"deflate", b"zstd"]))
def test_any_bytes_are_a_message_or_a_refusal(body: bytes, encoding: bytes) -> None:
    with contextlib.suppress(Refusal):
        assert len(only_message(body, MOST, encoding)) <= MOST


@pytest.mark.parametrize(
    ("body", "encoding", "code", "says"),
    [
        (b"", b"", "UNIMPLEMENTED", "no message"),
        (framed(b"a") + framed(b"b"), b"", "UNIMPLEMENTED", "several messages"),
        (framed(b"abc")[:-1], b"", "INTERNAL", "ended 7 bytes into a message"),
        (framed(b"a") + b"\0", b"", "INTERNAL", "ended 1 bytes into a message"),
        (framed(b"x" * (MOST + 1)), b"", "RESOURCE_EXHAUSTED", "(1001 vs. 1000)"),
        (b"\0\xff\xff\xff\xff", b"", "RESOURCE_EXHAUSTED", "(4294967295 vs. 1000)"),
        (packed(gzip.compress(b"a")), b"", "INTERNAL", "no grpc-encoding"),
        (packed(b"a"), b"br", "UNIMPLEMENTED", "identity, deflate, gzip"),
        (packed(b"a"), b"gzip", "INTERNAL", "cannot be inflated"),
        (packed(gzip.compress(b"a")[:-9]), b"gzip", "INTERNAL", "ends too early"),
        (packed(gzip.compress(bytes(10**6))), b"gzip", "RESOURCE_EXHAUSTED", "1000)"),
        (b"\2\0\0\0\1a", b"gzip", "INTERNAL", "got 2"),
    ],
)
def test_what_is_no_message_is_refused_with_grpcs_own_codes(
    body: bytes, encoding: bytes, code: str, says: str
) -> None:
    with pytest.raises(Refusal) as refused:
        only_message(body, MOST, encoding)
    assert refused.value.code == code
    assert says in refused.value.text


def test_a_message_that_inflates_to_the_bound_is_taken() -> None:
    message = bytes(MOST)
    assert only_message(packed(gzip.compress(message)), MOST, b"gzip") == message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1H", 3600),
        (b"2M", 120),
        (b"3S", 3),
        (b"250m", 0.25),
        (b"5u", 5e-6),
        (b"99999999n", 0.099999999),
        (b"100000000n", None),
        (b"S", None),
        (b"-1S", None),
        (b"1.5S", None),
        (b"1s", None),
    ],
)
def test_timeouts(value: bytes, seconds: float | None) -> None:
    assert timeout_s_of(value) == (None if seconds is None else pytest.approx(seconds))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_is_printable_ascii_on_the_wire_and_the_same_behind_it(text: str) -> None:
    wire = percent_encoded(text)
    assert all(0x20 <= byte < 0x7F for byte in wire)
    assert unquote(wire.decode()) == text


def test_a_plain_text_stays_readable_on_the_wire() -> None:
    assert percent_encoded("100% of inputs[1].data: ö\n") == b"100%25 of inputs[1].data: %C3%B6%0A"
