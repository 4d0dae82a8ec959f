"""Are headers read as RFC 7541 writes them? Its own examples (Appendix C), and what must not be taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.torch_server.hpack import MAX_LIST_BYTES, BrokenHeaders, HeaderReader, write_headers

WWW = {":method": "GET", ":scheme": "http", ":path": "/", ":authority": "www.example.com"}

# Field `x`, whose value is every octet once, in Huffman's code; written by another implementation.
EVERY_OCTET = (
    "4081f3ffc803ffc7fffd8fffffe2fffffe3fffffe4fffffe5fffffe6fffffe7fffffe8ffffeafffffff3ffff"
    "fa7fffffabffffffdfffffebfffffecfffffedfffffeefffffefffffff0ffffff1ffffff2fffffffbfffffcf"
    "fffffd3fffffd7fffffdbfffffdffffffe3fffffe7fffffebfffffed4fe3f9ffaffcabf1febfafefe7fdfd2c"
    "bb00089969b71d79fb9f7fff20ffbff3ff50ddbd7f061c58f265cd9f469d5af66dddbf871e5f9cff7ff7fffc"
    "3ff9ffe45fff4719242cb34e6e9d68a6a3d7dac426defe3cfaf7fffbfe7ffbffdffffffcfffe6ffff4bfff9f"
    "fffa3fffd3ffff53fffd5ffffb3fffeb7fffdaffffb7ffff73fffeeffffdeffffebffffbfffffd9ffffdbfff"
    "ebffffe0ffffeeffffc3ffff8bffff1ffffe4fffee7fffb1ffff97fffd9ffffcdffff9fffffbffffdafffeef"
    "fff4ffffb7fffee7fffe8ffffd3fffdeffffd5fffeeffffbdffffe1fffdfffff7fffff5ffffecffff07fff87"
    "fffe0ffff17fffedffff87ffff77fffeffffeaffff8bfffe3ffff93ffff87fffcbffff37ffff1fffff83ffff"
    "e1fffebfffe3ffff3fffff2ffffa3ffffd9fffff17ffffc7fffff27ffffdefffffbffffff2fffff8fffffb7f"
    "ff97fff8fffffe6fffffc1fffff87ffffe7fffffc5ffffe5fffe4ffff2fffffd1fffff4ffffffefffffe3fff"
    "ffc9fffff97fffb3ffffcffffb7fffcdffff4ffff9ffffd1ffffcffffeaffffafffffddffffeffffff4fffff"
    "5fffffabffffa7ffffd7fffff9bffffecfffffb7fffff3fffffe8fffffd3fffffabfffff5fffffff7ffffecf"
    "ffffdbfffffbbfffff7ffffff0fffffbbf"
)


def read(reader: HeaderReader, block: str) -> dict[str, str]:
    return {
        name.decode(): value.decode() for name, value in reader.read(bytes.fromhex(block)).items()
    }


@pytest.mark.parametrize(
    "first", ["828684410f7777772e6578616d706c652e636f6d", "828684418cf1e3c2e5f23a6ba0ab90f4ff"]
)
def test_the_examples_of_the_rfc(first: str) -> None:
    reader = HeaderReader()
    assert read(reader, first) == WWW
    assert read(reader, "828684be5886a8eb10649cbf") == {**WWW, "cache-control": "no-cache"}
    assert read(reader, "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf") == {
        ":method": "GET",
        ":scheme": "https",
        ":path": "/index.html",
        ":authority": "www.example.com",
        "custom-key": "custom-value",
    }


def test_every_octet_in_huffman_s_code() -> None:
    assert HeaderReader().read(bytes.fromhex(EVERY_OCTET)) == {b"x": bytes(range(256))}


@given(st.dictionaries(st.binary(max_size=300), st.binary(max_size=300), max_size=8))
def test_what_is_written_is_read(headers: dict[bytes, bytes]) -> None:
    reader = HeaderReader()
    for _ in range(2):
        assert reader.read(write_headers(headers.items())) == headers


def test_the_same_block_may_mean_something_else_once_a_field_was_told() -> None:
    reader = HeaderReader()
    newest = bytes([0x80 | 62])
    for value in (b"1", b"2"):
        reader.read(b"\x40\x01x\x01" + value)
        assert reader.read(newest) == reader.read(newest) == {b"x": value}
        assert reader.read(b"") == {}


def test_a_table_that_shrinks_forgets_its_oldest_fields() -> None:
    reader = HeaderReader()
    for value in (b"1", b"2"):
        reader.read(b"\x40\x01x\x01" + value)
    assert reader.read(b"\x3f\x03\xbe") == {b"x": b"2"}  # 34 bytes: one of these fields
    with pytest.raises(BrokenHeaders, match="field 63, which nobody told"):
        reader.read(b"\xbf")


def test_a_field_larger_than_the_table_empties_it() -> None:
    reader = HeaderReader()
    reader.read(b"\x40\x01x\x011")
    assert reader.read(b"\x40\x01y\x7f\x81\x20" + bytes(4224)) == {b"y": bytes(4224)}
    with pytest.raises(BrokenHeaders):
        reader.read(b"\xbe")


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("80", "field 0"),
        ("be", "field 62"),
        ("ff", "ends within"),
        ("ffffffffffff", "too many octets"),
        ("40", "ends within"),
        ("400578", "a string of 5 bytes, 1 are left"),
        ("3fe21f", "a table of 4097 bytes"),
        ("8220", "told first"),
        ("0001788100", "does not end"),
        ("00017884ffffffff", "an end within"),
        ("000178827fff", "does not end"),
    ],
)
def test_what_is_no_block_is_refused(block: str, why: str) -> None:
    with pytest.raises(BrokenHeaders, match=why):
        HeaderReader().read(bytes.fromhex(block))


def test_one_field_named_again_and_again_is_counted_each_time() -> None:
    reader = HeaderReader()
    reader.read(b"\x40\x01x\x7f\x81\x07" + bytes(1024))
    assert len(reader.read(b"\xbe" * 2)) == 1
    with pytest.raises(BrokenHeaders, match=f"more than {MAX_LIST_BYTES} bytes"):
        reader.read(b"\xbe" * 17)


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_are_headers_or_broken_and_never_another_error(blocks: list[bytes]) -> None:
    reader = HeaderReader()
    try:
        for block in blocks:
            reader.read(block)
    except BrokenHeaders:
        pass
