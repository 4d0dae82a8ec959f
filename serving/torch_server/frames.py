"""How do tensors and orders travel between the server and a worker process?

A frame is a head (the lengths of what follows), a note (JSON: its kind, its fields, the tensors' dtypes
and shapes) and a body (the tensors' bytes, each aligned). Tensors are views of the body they arrived in.

Frames never overlap: each side sends one and waits for the other's. The same code reads on both sides,
without I/O: ask `buffer` where the next bytes belong, tell `advance` how many came. Nothing is unpickled: a worker runs a package's native code, so what it says is only data.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import field
from typing import Any, TypeAlias

import numpy as np
import orjson

from gateway.tensors import DTYPES, Array, datatype_of
from gateway.values import value_class

__all__ = ["BrokenFrame", "Frame", "FrameReader", "encode_frame"]

Buffer: TypeAlias = bytes | memoryview

_HEAD = struct.Struct("<QQ")
_ALIGN = 64
_MAX_NOTE_BYTES = 1 << 20
_FIRST_READ_BYTES = 1 << 16
_COPIED_BYTES = 1 << 16


class BrokenFrame(Exception):
    """The other side does not keep to the format: its process cannot be trusted with another batch."""


@value_class()
class Frame:
    """One message: what it is, its fields (JSON values), and its tensors."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    tensors: tuple[Array, ...] = ()


def encode_frame(frame: Frame) -> list[Buffer]:
    """The buffers to send, in order: one if it is small. The bytes of a large C-contiguous tensor are its own.

    Raises:
        KeyError: a tensor's dtype is not one of the protocol's.
    """
    body: list[Buffer] = []
    told = []
    size = 0
    for array in frame.tensors:
        told.append((datatype_of(array), array.shape))
        if array.nbytes:
            gap = -size % _ALIGN
            if gap:
                body.append(bytes(gap))
            body.append(array.tobytes() if array.nbytes <= _COPIED_BYTES else _octets(array))
            size += gap + array.nbytes
    note = orjson.dumps((frame.kind, frame.fields, told))
    note += b" " * (-len(note) % _ALIGN)
    buffers = [_HEAD.pack(len(note), size), note, *body]
    # One write costs less than a copy of this little.
    return [b"".join(buffers)] if size <= _COPIED_BYTES else buffers


def _octets(array: Array) -> memoryview:
    # By way of uint8: memoryview does not know every dtype, bfloat16 for one.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


class FrameReader:
    """Puts frames together from bytes as they come, one frame at a time.

    A small frame arrives in one read, into `_first`; what is longer continues in memory of its own. `_left`
    is where the next bytes belong, and is never empty between calls.
    """

    def __init__(self, *, max_body_bytes: int = 4 << 30) -> None:
        self._max_body_bytes = max_body_bytes
        self._first = memoryview(bytearray(_FIRST_READ_BYTES))
        self._left = self._first
        self._came = 0
        self._rest: memoryview | None = None  # what follows the head
        self._note_bytes = 0

    @property
    def buffer(self) -> memoryview:
        """Where the next bytes belong; never empty."""
        return self._left

    def advance(self, count: int) -> Frame | None:
        """Take note that `count` bytes came into `buffer`; the frame, if they completed it.

        Raises:
            BrokenFrame: what came is not one frame, or is larger than is taken.
        """
        self._came += count
        rest = self._rest
        if rest is None:
            if self._came < _HEAD.size:
                self._left = self._first[self._came :]
                return None
            rest = self._begin(self._came)
        came = self._came - _HEAD.size
        if came < len(rest):
            self._rest, self._left = rest, rest[came:]
            return None
        self._rest, self._left, self._came = None, self._first, 0
        return _decode(rest, self._note_bytes)

    def _begin(self, came: int) -> memoryview:
        """Memory for what follows the head, with what of it came with the head."""
        self._note_bytes, body_bytes = _HEAD.unpack_from(self._first)
        if not 0 < self._note_bytes <= _MAX_NOTE_BYTES or body_bytes > self._max_body_bytes:
            raise BrokenFrame(
                f"got a note of {self._note_bytes} and a body of {body_bytes} bytes,"
                f" wanted 1 to {_MAX_NOTE_BYTES} and at most {self._max_body_bytes}"
            )
        early, size = came - _HEAD.size, self._note_bytes + body_bytes
        if early > size:
            raise BrokenFrame(f"got {early - size} bytes after the frame")
        if early == size:
            return memoryview(bytearray(self._first[_HEAD.size : came]))
        rest = np.empty(size, np.uint8).data  # unlike a bytearray, not written before it is read
        rest[:early] = self._first[_HEAD.size : came]
        return rest


def _decode(rest: memoryview, note_bytes: int) -> Frame:
    try:
        kind, fields, told = orjson.loads(rest[:note_bytes])
        tensors = []
        end = note_bytes
        for datatype, shape in told:
            start = end if 0 in shape else end + (note_bytes - end) % _ALIGN
            # numpy holds the shape against the bytes there are.
            tensor: Array = np.ndarray(shape, DTYPES[datatype], rest, start)
            tensors.append(tensor)
            end = start + tensor.nbytes
    except (ValueError, TypeError, KeyError, OverflowError) as exc:
        raise BrokenFrame(f"cannot be read: {exc}") from exc
    if not (isinstance(kind, str) and isinstance(fields, dict) and end == len(rest)):
        raise BrokenFrame(f"got kind {kind!r} and {len(rest)} bytes, told were {end}")
    return Frame(kind, fields, tuple(tensors))
