"""Requests and answers on a connection without a socket: the test is the peer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving.torch_server import http2_frames as h2
from serving.torch_server.http2_frames import PREFACE, frame
from tests.serving.torch_server.http2_peer import (
    ENDS,
    HELLO,
    MAX_BODY_BYTES,
    PATH,
    Peer,
    code_of,
    data,
    headers,
    met,
    room,
)


@given(st.lists(st.binary(max_size=200), max_size=4), st.lists(st.integers(1, 50), min_size=1))
def test_a_request_arrives_in_pieces_of_any_size(bodies: list[bytes], sizes: list[int]) -> None:
    peer = Peer()
    sent = HELLO + headers()
    sent += b"".join(data(each, flags=0) for each in bodies) + data(b"end")
    step = 0
    while sent:
        size = sizes[step % len(sizes)]
        peer.http2.receive(sent[:size])
        sent = sent[size:]
        step += 1
    (asked,) = peer.asked
    assert (asked.id, asked.headers) == (1, {b":path": b"/x"})
    assert b"".join(asked.data) == b"".join(bodies) + b"end"
    assert not peer.http2.coming


def test_padding_and_priorities_are_passed_over() -> None:
    peer = met()
    padded = frame(
        h2.HEADERS,
        h2.END_HEADERS | h2.PADDED | h2.WITH_PRIORITY,
        1,
        b"\3" + bytes(5) + PATH + bytes(3),
    )
    peer.http2.receive(padded + frame(h2.PRIORITY, 0, 1, bytes(5)) + frame(0xFA, 0, 1, b"?"))
    peer.http2.receive(data(b"\2body\0\0", flags=h2.END_STREAM | h2.PADDED))
    assert [(each.headers, each.data) for each in peer.asked] == [({b":path": b"/x"}, [b"body"])]


def test_headers_come_in_several_frames_and_once_more_as_trailers() -> None:
    peer = met()
    peer.http2.receive(frame(h2.HEADERS, 0, 1, PATH[:2]) + frame(h2.CONTINUATION, 0, 1, PATH[2:4]))
    peer.http2.receive(frame(h2.CONTINUATION, h2.END_HEADERS, 1, PATH[4:]) + data(b"x", flags=0))
    assert peer.began
    assert not peer.asked
    peer.http2.receive(headers(flags=ENDS))
    assert [each.data for each in peer.asked] == [[b"x"]]
    assert len(peer.began) == 1


def test_a_small_answer_is_headers_body_and_trailers() -> None:
    peer = met()
    peer.http2.receive(headers() + data(b"?"))
    peer.http2.answer(peer.asked[0], b"H", b"body", b"T")
    assert peer.frames() == [
        (h2.HEADERS, h2.END_HEADERS, 1, b"H"),
        (h2.DATA, 0, 1, b"body"),
        (h2.HEADERS, ENDS, 1, b"T"),
    ]
    assert not peer.http2.streams


@given(
    st.integers(0, 300_000),
    st.integers(0, 100_000),
    st.lists(st.tuples(st.sampled_from([0, 1]), st.integers(1, 100_000)), max_size=20),
)
def test_an_answer_never_goes_beyond_what_the_peer_takes_and_all_of_it_comes(
    size: int, first_window: int, grants: list[tuple[int, int]]
) -> None:
    peer = Peer()
    peer.http2.receive(PREFACE + h2.settings({h2.INITIAL_WINDOW_SIZE: first_window}))
    peer.http2.receive(headers(flags=ENDS))
    body = bytes(index % 251 for index in range(size))
    peer.http2.answer(peer.asked[0], b"H", body, b"T")
    rooms = [65_535, first_window]
    for stream, more in [*grants, (0, 300_000), (1, 300_000)]:
        assert len(peer.body(1)) == min(size, *rooms)  # never more, and never less
        rooms[stream] += more
        peer.http2.receive(room(more, stream))
    assert peer.body(1) == body
    assert peer.sent[-1] == (h2.HEADERS, ENDS, 1, b"T")
    assert max(len(each[3]) for each in peer.sent) <= h2.MAX_FRAME_BYTES
    assert not peer.http2.streams


def test_a_window_may_shrink_below_nothing_and_grow_again() -> None:
    peer = met()
    peer.http2.receive(headers(flags=ENDS))
    peer.http2.answer(peer.asked[0], b"H", bytes(70_000), b"T")
    peer.http2.receive(h2.settings({h2.INITIAL_WINDOW_SIZE: 10}) + room(70_000))
    assert len(peer.body(1)) == 65_535
    peer.http2.receive(room(65_525, 1))
    assert len(peer.body(1)) == 65_535
    peer.http2.receive(room(1, 1))
    assert len(peer.body(1)) == 65_536
    peer.http2.receive(h2.settings({h2.INITIAL_WINDOW_SIZE: 20_000}))
    assert len(peer.body(1)) == 70_000
    assert not peer.http2.streams


def test_while_the_peer_does_not_read_no_body_is_sent() -> None:
    peer = met()
    peer.http2.receive(headers(flags=ENDS))
    peer.http2.pause()
    peer.http2.answer(peer.asked[0], b"H", b"body", b"T")
    assert peer.kinds() == [(h2.HEADERS, 1)]
    peer.http2.resume()
    assert peer.kinds() == [(h2.DATA, 1), (h2.HEADERS, 1)]


def test_who_floods_us_with_pings_and_does_not_read_is_told_to_calm_down() -> None:
    peer = met()
    ping = frame(h2.PING, 0, 0, b"12345678")
    peer.http2.receive(ping * 5000)
    assert peer.frames()[-1] == (h2.PING, h2.ACK, 0, b"12345678")
    peer.http2.pause()
    assert code_of(peer, ping * 5000) == h2.ENHANCE_YOUR_CALM


def test_a_request_that_is_too_large_is_told_at_once_and_the_rest_is_passed_over() -> None:
    peer = met()
    peer.http2.receive(headers() + data(bytes(MAX_BODY_BYTES), flags=0))
    assert not peer.asked
    peer.http2.receive(data(b"x", flags=0))
    (asked,) = peer.asked
    assert (asked.is_too_large, asked.data) == (True, [])
    peer.http2.refuse(asked, b"no")
    assert peer.frames() == [
        (h2.HEADERS, ENDS, 1, b"no"),
        (h2.RST_STREAM, 0, 1, h2.NO_ERROR.to_bytes(4)),
    ]
    peer.http2.receive(data(bytes(5000), flags=0) + data(b"") + headers(3) + data(b"next", 3))
    assert [each.id for each in peer.asked] == [1, 3]


def test_who_takes_a_request_back_gets_no_answer() -> None:
    peer = met()
    peer.http2.receive(headers() + data(b"") + headers(3))
    reset = frame(h2.RST_STREAM, 0, 1, (8).to_bytes(4))
    peer.http2.receive(reset + reset + reset.replace(b"\1\0\0\0\x08", b"\3\0\0\0\x08"))
    assert [each.id for each in peer.gone] == [1, 3]
    peer.http2.answer(peer.asked[0], b"H", b"body", b"T")
    peer.http2.refuse(peer.gone[1], b"H")
    assert peer.frames() == []
    assert not peer.http2.streams
    assert not peer.http2.coming


def test_who_takes_a_request_back_whose_answer_waits_leaves_nothing_behind() -> None:
    peer = met()
    peer.http2.receive(headers(flags=ENDS) + headers(3, flags=ENDS))
    peer.http2.answer(peer.asked[0], b"H", bytes(100_000), b"T")
    peer.http2.answer(peer.asked[1], b"H", b"next", b"T")
    assert peer.body(3) == b""
    peer.http2.receive(frame(h2.RST_STREAM, 0, 1, bytes(4)) + room(100_000))
    assert peer.body(3) == b"next"
    assert len(peer.body(1)) == 65_535


def test_more_requests_at_once_than_are_taken_are_refused() -> None:
    peer = met()
    for number in range(1, 2 * 4096 + 2, 2):
        peer.http2.receive(headers(number))
    refusal = (h2.RST_STREAM, 0, 2 * 4096 + 1, h2.REFUSED_STREAM.to_bytes(4))
    assert peer.frames() == [refusal]
    assert len(peer.http2.streams) == 4096


def test_at_the_end_what_is_on_its_way_is_taken_and_nothing_after_it() -> None:
    peer = met()
    peer.http2.announce_end()
    goaway, ping = peer.frames()
    assert goaway == (h2.GOAWAY, 0, 0, h2.MAX_WINDOW_BYTES.to_bytes(4) + bytes(4))
    peer.http2.receive(headers() + data(b""))
    peer.http2.receive(frame(h2.PING, h2.ACK, 0, ping[3]))
    assert peer.frames() == [(h2.GOAWAY, 0, 0, (1).to_bytes(4) + bytes(4))]
    reset = frame(h2.RST_STREAM, 0, 3, bytes(4))
    peer.http2.receive(headers(3) + data(b"", 3) + reset + headers(5))
    assert [each.id for each in peer.began] == [1]
    peer.http2.answer(peer.asked[0], b"H", b"body", b"T")
    assert not peer.http2.streams
