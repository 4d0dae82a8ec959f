"""How do tensors and orders travel between the server and a worker process?

A frame is a head (the lengths of what follows), a note (JSON: its kind, its fields, the tensors' dtypes
and shapes) and a body (the tensors' bytes, each aligned). Tensors are views of the body they arrived in.

Frames never overlap: each side sends one and waits for the other's. The same code reads on both sides,
without I/O: ask `buffer` where the next bytes belong, tell `advance` how many came. Nothing is unpickled: a worker runs a package's native code, so what it says is only data.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import orjson

from gateway.tensors import DTYPES, MAX_RANK, Array, datatype_of

__all__ = ["BrokenFrame", "Frame", "FrameReader", "encode_frame"]

Buffer: TypeAlias = bytes | memoryview

_HEAD = struct.Struct("<QQ")
_ALIGN = 64
_MAX_NOTE_BYTES = 1 << 20
_FIRST_READ_BYTES = 1 << 16


class BrokenFrame(Exception):
    """The other side does not keep to the format: its process cannot be trusted with another batch."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message: what it is, its fields (JSON values), and its tensors."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    tensors: tuple[Array, ...] = ()


def encode_frame(frame: Frame) -> list[Buffer]:
    """The buffers to send, in order; the tensors' bytes are not copied if they are C-contiguous.

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
            body += (bytes(gap), _octets(array)) if gap else (_octets(array),)
            size += gap + array.nbytes
    note = orjson.dumps((frame.kind, frame.fields, told))
    note += b" " * (-len(note) % _ALIGN)
    return [_HEAD.pack(len(note), size) + note, *body]


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
        self._first = np.empty(_FIRST_READ_BYTES, np.uint8)
        self._rest: Array | None = None
        self._note_bytes = 0
        self._left = self._first.data

    @property
    def buffer(self) -> memoryview:
        """Where the next bytes belong; never empty."""
        return self._left

    def advance(self, count: int) -> Frame | None:
        """Take note that `count` bytes came into `buffer`; the frame, if they completed it.

        Raises:
            BrokenFrame: what came is not one frame, or is larger than is taken.
        """
        self._left = self._left[count:]
        if self._rest is None:
            came = len(self._first) - len(self._left)
            if came < _HEAD.size:
                return None
            self._rest = self._begin(came)
        if self._left:
            return None
        rest, self._rest = self._rest, None
        self._left = self._first.data
        return _decode(rest[: self._note_bytes], rest[self._note_bytes :])

    def _begin(self, came: int) -> Array:
        """Memory for what follows the head, with what of it came with the head."""
        self._note_bytes, body_bytes = _HEAD.unpack_from(self._first.data)
        if not 0 < self._note_bytes <= _MAX_NOTE_BYTES or body_bytes > self._max_body_bytes:
            raise BrokenFrame(
                f"got a note of {self._note_bytes} and a body of {body_bytes} bytes,"
                f" wanted 1 to {_MAX_NOTE_BYTES} and at most {self._max_body_bytes}"
            )
        rest = np.empty(self._note_bytes + body_bytes, np.uint8)
        early = came - _HEAD.size
        if early > len(rest):
            raise BrokenFrame(f"got {early - len(rest)} bytes after the frame")
        rest[:early] = self._first[_HEAD.size : came]
        self._left = rest.data[early:]
        return rest


def _decode(note: Array, body: Array) -> Frame:
    try:
        kind, fields, told = orjson.loads(note.data)
        tensors = []
        offset = 0
        for datatype, shape in told:
            dtype = DTYPES[datatype]
            size = _size(shape) * dtype.itemsize
            offset += -offset % _ALIGN if size else 0
            tensors.append(np.ndarray(shape, dtype, body.data, offset if size else 0))
            offset += size
    except (ValueError, TypeError, KeyError) as exc:
        raise BrokenFrame(f"cannot be read: {exc}") from exc
    if not (isinstance(kind, str) and isinstance(fields, dict) and offset == len(body)):
        raise BrokenFrame(f"got kind {kind!r} and {len(body)} bytes, told were {offset}")
    return Frame(kind, fields, tuple(tensors))


def _size(shape: Sequence[Any]) -> int:
    if len(shape) > MAX_RANK or any(not isinstance(size, int) or size < 0 for size in shape):
        raise ValueError(f"got shape {shape}")
    return math.prod(shape)
