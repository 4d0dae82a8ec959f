"""What becomes of a peer that does not keep to HTTP/2?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.torch_server import http2_frames as h2
from serving.torch_server.http2_frames import HEAD, PREFACE, BrokenPeer, frame
from tests.serving.torch_server.http2_peer import (
    PATH,
    Peer,
    Sent,
    code_of,
    data,
    headers,
    met,
    room,
)


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (frame(h2.DATA, 0, 0, b""), h2.PROTOCOL_ERROR),
        (data(b"", 1), h2.PROTOCOL_ERROR),
        (headers() + data(b"") + data(b""), h2.STREAM_CLOSED),
        (headers(2), h2.PROTOCOL_ERROR),
        (headers() + headers(), h2.PROTOCOL_ERROR),
        (frame(h2.HEADERS, 0, 1, PATH) + room(1), h2.PROTOCOL_ERROR),
        (frame(h2.HEADERS, 0, 1, PATH) + frame(h2.CONTINUATION, 4, 3, b""), h2.PROTOCOL_ERROR),
        (frame(h2.CONTINUATION, h2.END_HEADERS, 1, PATH), h2.PROTOCOL_ERROR),
        (
            frame(h2.HEADERS, 0, 1, bytes(16_000)) + frame(h2.CONTINUATION, 0, 1, bytes(1000)),
            h2.ENHANCE_YOUR_CALM,
        ),
        (frame(h2.HEADERS, h2.END_HEADERS, 1, b"\xbe"), h2.COMPRESSION_ERROR),
        (frame(h2.HEADERS, h2.END_HEADERS | h2.PADDED, 1, b"\5hey"), h2.PROTOCOL_ERROR),
        (frame(h2.RST_STREAM, 0, 1, bytes(4)), h2.PROTOCOL_ERROR),
        (headers() + frame(h2.RST_STREAM, 0, 1, bytes(3)), h2.FRAME_SIZE_ERROR),
        (frame(h2.SETTINGS, 0, 1, b""), h2.PROTOCOL_ERROR),
        (frame(h2.SETTINGS, 0, 0, b"12345"), h2.FRAME_SIZE_ERROR),
        (h2.settings({h2.INITIAL_WINDOW_SIZE: 1 << 31}), h2.FLOW_CONTROL_ERROR),
        (h2.settings({h2.FRAME_SIZE: 100}), h2.PROTOCOL_ERROR),
        (frame(h2.PUSH_PROMISE, 0, 1, bytes(4)), h2.PROTOCOL_ERROR),
        (frame(h2.PING, 0, 0, b"short"), h2.PROTOCOL_ERROR),
        (room(0), h2.PROTOCOL_ERROR),
        (frame(h2.WINDOW_UPDATE, 0, 0, b"123"), h2.PROTOCOL_ERROR),
        (room(h2.MAX_WINDOW_BYTES), h2.FLOW_CONTROL_ERROR),
        (headers() + room(h2.MAX_WINDOW_BYTES, 1), h2.FLOW_CONTROL_ERROR),
        (HEAD.pack(0x40, 1, h2.DATA, 0, 1), h2.FRAME_SIZE_ERROR),
    ],
)
def test_who_breaks_the_protocol_is_told_how(octets: bytes, code: int) -> None:
    assert code_of(met(), octets) == code


@pytest.mark.parametrize("octets", [b"GET / HTTP/1.1\r\n\r\n", b"X", PREFACE[:-1] + b"?"])
def test_who_speaks_something_else_is_not_listened_to(octets: bytes) -> None:
    assert code_of(Peer(), octets) == h2.PROTOCOL_ERROR


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=30)
        )
    ),
    st.binary(max_size=20),
)
def test_any_frames_are_taken_or_broken_and_never_another_error(
    frames: list[Sent], rest: bytes
) -> None:
    peer = met()
    try:
        for sent in frames:
            peer.http2.receive(frame(*sent))
            for stream in tuple(peer.http2.streams.values()):
                if stream in peer.asked:
                    peer.http2.answer(stream, b"H", b"body", b"T")
        peer.http2.receive(rest)
    except BrokenPeer:
        return
    assert peer.http2.coming.keys() <= peer.http2.streams.keys()
