"""Which encoding a caller gets, whatever it writes, and that what is packed can be unpacked."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.servers.packing import PACKED_INLINE_BYTES, encoding_of, packed


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("GZIP, deflate, br", "gzip"),
        ("deflate", "deflate"),
        ("gzip;q=0.2, deflate;q=0.3", "deflate"),
        ("gzip;q=0", None),
        ("gzip;q=0.5, identity", None),
        ("identity;q=0.5, gzip", "gzip"),
        ("gzip;q=much", None),
        ("*", None),
        ("", None),
        ("gzip," * 100, None),
    ],
)
def test_the_heaviest_of_the_two_is_taken(accepted: str, encoding: str | None) -> None:
    assert encoding_of(accepted) == encoding


@given(st.text())
def test_whatever_is_written_there_has_an_answer(accepted: str) -> None:
    assert encoding_of(accepted) in (None, "gzip", "deflate")


@given(st.binary(max_size=4096))
def test_what_is_packed_can_be_unpacked(body: bytes) -> None:
    assert gzip.decompress(asyncio.run(packed(body, "gzip"))) == body
    assert zlib.decompress(asyncio.run(packed(body, "deflate"))) == body


def test_a_large_body_too() -> None:
    """It is packed in a thread."""
    body = bytes(range(256)) * (PACKED_INLINE_BYTES // 64)
    assert gzip.decompress(asyncio.run(packed(body, "gzip"))) == body
