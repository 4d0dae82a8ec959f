"""Which headers does this block hold? HPACK (RFC 7541), as far as a server reads and writes it.

Read: everything, the dynamic table and Huffman's code included, because a client may use all of it.
Written: fields that the peer is told to forget, since an answer's few headers hardly ever change.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TypeAlias

__all__ = ["MAX_LIST_BYTES", "BrokenHeaders", "Field", "HeaderReader", "Headers", "write_headers"]

Field: TypeAlias = tuple[bytes, bytes]
Headers: TypeAlias = Mapping[bytes, bytes]
"""By name; of a name that is given twice, the last."""

MAX_LIST_BYTES = 16 * 1024  # of one block's fields, as `_size` counts them
_TABLE_BYTES = 4096  # the protocol's default; a peer may use less
_FIELD_BYTES = 32  # what a field counts for besides its name and value
_MAX_INTEGER_OCTETS = 4

# Appendix A, from index 1 on.
_STATIC: tuple[Field, ...] = tuple(
    (name, value)
    for line in b"""\
:authority=|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200
:status=204|:status=206|:status=304|:status=400|:status=404|:status=500|accept-charset=
accept-encoding=gzip, deflate|accept-language=|accept-ranges=|accept=|access-control-allow-origin=
age=|allow=|authorization=|cache-control=|content-disposition=|content-encoding=|content-language=
content-length=|content-location=|content-range=|content-type=|cookie=|date=|etag=|expect=|expires=
from=|host=|if-match=|if-modified-since=|if-none-match=|if-range=|if-unmodified-since=|last-modified=
link=|location=|max-forwards=|proxy-authenticate=|proxy-authorization=|range=|referer=|refresh=
retry-after=|server=|set-cookie=|strict-transport-security=|transfer-encoding=|user-agent=|vary=|via=
www-authenticate=""".splitlines()
    for name, _, value in (field.partition(b"=") for field in line.split(b"|"))
)

# Appendix B: how many bits each octet has in Huffman's code; the last is the end of a string. The code is
# canonical, so the lengths say it all.
_CODE_BITS = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c"
    "060a0a0c0d06080b0a0a080b080606060505050606060606060607080f060c0a"
    "0d06070707070707070707070707070707070707070707070807080d130d0e06"
    "0f05060506050606060507070606060506070605050607070707070f0b0e0d1c"
    "1416141416161617161717171717181718181617181717171715161716171718"
    "1615141616171715171616181516171715151615171617171416161617161617"
    "1a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b"
    "14181415161515171616191918181a171a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a"
    "1e"
)


class BrokenHeaders(Exception):
    """The block cannot be read, and so none that comes after it on the same connection."""


class HeaderReader:
    """Reads the blocks of one connection, in their order.

    Invariants: `_recent` holds the fields that the peer may name by number, newest first; together they
    count for `_used_bytes`, never more than `_table_bytes`. `_known_headers` are what `_known_block` says,
    for as long as nothing is remembered or forgotten: a client says the same again and again.
    """

    def __init__(self) -> None:
        self._known_block: bytes | None = None
        self._known_headers: Headers = {}
        self._recent: deque[Field] = deque()
        self._used_bytes = 0
        self._table_bytes = _TABLE_BYTES

    def read(self, block: bytes) -> Headers:
        """What a whole block says.

        Raises:
            BrokenHeaders: it is not what the format says, or larger than is taken.
        """
        if block == self._known_block:
            return self._known_headers
        self._known_block = block  # until something is remembered or forgotten
        headers: dict[bytes, bytes] = {}
        size = 0
        try:
            for name, value in self._fields(block):
                headers[name] = value
                size += _size((name, value))
                if size > MAX_LIST_BYTES:
                    raise BrokenHeaders(f"got headers of more than {MAX_LIST_BYTES} bytes")
        except IndexError as exc:
            raise BrokenHeaders("got a block that ends within a field") from exc
        self._known_headers = headers
        return headers

    def _fields(self, block: bytes) -> Iterator[Field]:
        at, is_first = 0, True
        while at < len(block):
            octet = block[at]
            if octet & 0x80:  # a field that both sides know
                index, at = _read_integer(block, at, 0x7F)
                yield self._known(index)
            elif octet & 0x40:  # one to remember
                field, at = self._read_literal(block, at, 0x3F)
                self._remember(field)
                yield field
            elif octet & 0x20:
                self._table_bytes, at = _read_table_size(block, at, first=is_first)
                self._forget()
                continue
            else:
                field, at = self._read_literal(block, at, 0x0F)
                yield field
            is_first = False

    def _known(self, index: int) -> Field:
        if 0 < index <= len(_STATIC):
            return _STATIC[index - 1]
        if not 0 < index <= len(_STATIC) + len(self._recent):
            raise BrokenHeaders(f"got field {index}, which nobody told")
        return self._recent[index - len(_STATIC) - 1]

    def _read_literal(self, block: bytes, at: int, mask: int) -> tuple[Field, int]:
        index, at = _read_integer(block, at, mask)
        if index:
            name = self._known(index)[0]
        else:
            name, at = _read_string(block, at)
        value, at = _read_string(block, at)
        return (name, value), at

    def _remember(self, field: Field) -> None:
        self._recent.appendleft(field)
        self._used_bytes += _size(field)
        self._forget()

    def _forget(self) -> None:
        self._known_block = None
        while self._used_bytes > self._table_bytes:
            self._used_bytes -= _size(self._recent.pop())


def write_headers(fields: Iterable[Field]) -> bytes:
    """A block of these fields, that needs no memory on either side."""
    block = bytearray()
    for name, value in fields:
        if (name, value) in _STATIC:
            block += _integer(_STATIC.index((name, value)) + 1, 0x7F, 0x80)
            continue
        block += b"\x00"
        for text in (name, value):
            block += _integer(len(text), 0x7F, 0) + text
    return bytes(block)


def _size(field: Field) -> int:
    return len(field[0]) + len(field[1]) + _FIELD_BYTES


def _integer(number: int, mask: int, flags: int) -> bytes:
    if number < mask:
        return bytes((flags | number,))
    octets = bytearray((flags | mask,))
    number -= mask
    while number > 0x7F:  # noqa: PLR2004  # seven bits to an octet
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def _read_integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """The number at `at`, whose first octet has it in the bits of `mask`, and where it ends."""
    number = block[at] & mask
    at += 1
    if number < mask:
        return number, at
    for shift in range(0, 7 * _MAX_INTEGER_OCTETS, 7):
        octet = block[at]
        at += 1
        number += (octet & 0x7F) << shift
        if not octet & 0x80:
            return number, at
    raise BrokenHeaders("got a number of too many octets")


def _read_table_size(block: bytes, at: int, *, first: bool) -> tuple[int, int]:
    size, at = _read_integer(block, at, 0x1F)
    if size > _TABLE_BYTES or not first:
        raise BrokenHeaders(
            f"got a table of {size} bytes, wanted at most {_TABLE_BYTES}, told first"
        )
    return size, at


def _read_string(block: bytes, at: int) -> tuple[bytes, int]:
    is_packed = block[at] & 0x80
    length, at = _read_integer(block, at, 0x7F)
    end = at + length
    if end > len(block):
        raise BrokenHeaders(f"got a string of {length} bytes, {len(block) - at} are left")
    text = block[at:end]
    return (_unpack(text) if is_packed else text), end


def _unpack(text: bytes) -> bytes:
    """What a string says that is in Huffman's code."""
    said: list[bytes] = []
    pending = 1
    for octet in text:
        octets, pending = _step(pending, octet)
        said.append(octets)
    # What is left over are the first bits of the code for the end, less than an octet of them.
    if pending > 0xFF or pending & (pending + 1):  # noqa: PLR2004
        raise BrokenHeaders("got a string whose code does not end")
    return b"".join(said)


@lru_cache(maxsize=1 << 16)  # there are 256 unfinished codes, and as many octets
def _step(pending: int, octet: int) -> tuple[bytes, int]:
    """What an octet finishes of the code so far, `pending`: its bits behind a 1; and what is left then."""
    symbols = _symbols()
    said = bytearray()
    for shift in range(7, -1, -1):
        pending = pending << 1 | (octet >> shift & 1)
        symbol = symbols.get(pending)
        if symbol is not None:
            if symbol > 0xFF:  # noqa: PLR2004  # the end, which is never written
                raise BrokenHeaders("got a string with an end within")
            said.append(symbol)
            pending = 1
    return bytes(said), pending


@lru_cache(maxsize=1)
def _symbols() -> Mapping[int, int]:
    """Each octet by its code, the bits behind a 1."""
    found: dict[int, int] = {}
    code, bits = 0, 0
    for symbol in sorted(range(len(_CODE_BITS)), key=lambda symbol: (_CODE_BITS[symbol], symbol)):
        code <<= _CODE_BITS[symbol] - bits
        bits = _CODE_BITS[symbol]
        found[1 << bits | code] = symbol
        code += 1
    return found
