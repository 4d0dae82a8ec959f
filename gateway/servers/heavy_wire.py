"""How does a value cross to the worker process and back, without holding up whoever has other things to do?

A message is a few parts, each sent as its length and its bytes. Pickle writes only the small ones: arrays,
long texts and strings travel as they are, because pickling 64 MiB would hold the interpreter for as long
as the work that is being moved away.

Rules:
- `dump` and `load` are generators: they yield wherever others may run, at least every `_STEP` strings,
  which take the interpreter about half a millisecond. What they return is the result.
- Both ends are ours and of one version, so pickle is trusted here. Nothing of a client's is unpickled:
  what a client wrote arrives as bytes, and is read by the codecs.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Generator, Iterator, Sequence
from typing import TypeAlias, TypeVar

import numpy as np

from gateway.tensors import Array

__all__ = ["COUNT", "Part", "dump", "exhaust", "load", "sizes_of", "written"]

Part: TypeAlias = "bytes | bytearray | memoryview"

_T = TypeVar("_T")
_Steps: TypeAlias = "Generator[None, None, _T]"

COUNT = struct.Struct("<I")
_LONG_BYTES = 4096
_ALONE_BYTES = 32 * 1024  # from here a call of its own costs less than a copy
_STEP = 4096


def written(parts: Sequence[Part]) -> Iterator[Part]:
    """What is sent: the number of the parts (`COUNT`), the size of each, and they; in few pieces."""
    sizes = [memoryview(part).nbytes for part in parts]
    piece = bytearray(struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes))
    for part, size in zip(parts, sizes, strict=True):
        if size < _ALONE_BYTES:
            piece += part
            continue
        if piece:
            yield piece
        yield part
        piece = bytearray()
    if piece:
        yield piece


def sizes_of(data: Part) -> tuple[int, ...]:
    """The sizes of the parts, from what follows the count."""
    return struct.unpack(f"<{len(data) // 8}Q", data)


def exhaust(steps: _Steps[_T]) -> _T:
    """The result of a generator, without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: _T = stop.value
            return result


def dump(value: object) -> _Steps[list[Part]]:
    """The parts of a message that says `value`."""
    text = io.BytesIO()
    buffers: list[Part] = []
    pickler = _Pickler(text, buffers)
    pickler.dump(value)
    shapes = [None if isinstance(one, bytes) else one.shape for one in pickler.aside]
    parts: list[Part] = [pickle.dumps((len(buffers), shapes)), text.getbuffer(), *buffers]
    for one in pickler.aside:
        if isinstance(one, bytes):
            parts.append(one)
        else:
            parts += yield from _pack(one)
    return parts


def load(parts: Sequence[Part]) -> _Steps[object]:
    """The value that a message says."""
    count, shapes = pickle.loads(parts[0])  # noqa: S301 - ours, see the rules
    end = 2 + count
    rest = iter(parts[end:])
    aside: list[bytes | Array] = []
    for shape in shapes:
        if shape is None:
            aside.append(bytes(next(rest)))
        else:
            aside.append((yield from _unpack(next(rest), next(rest), shape)))
    return _Unpickler(io.BytesIO(parts[1]), parts[2:end], aside).load()


class _Pickler(pickle.Pickler):
    """Leaves buffers of arrays in `buffers`, and long texts and arrays of strings in `aside`."""

    def __init__(self, file: io.BytesIO, buffers: list[Part]) -> None:
        super().__init__(
            file, protocol=5, buffer_callback=lambda buffer: buffers.append(buffer.raw())
        )
        self.aside: list[bytes | Array] = []

    def persistent_id(self, value: object) -> int | None:
        """The place of `value` in `aside`, None for what is pickled."""
        if isinstance(value, bytes):
            if len(value) < _LONG_BYTES:
                return None
        elif not isinstance(value, np.ndarray) or value.dtype != np.object_:
            return None
        self.aside.append(value)
        return len(self.aside) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(
        self, file: io.BytesIO, buffers: Sequence[Part], aside: list[bytes | Array]
    ) -> None:
        super().__init__(file, buffers=buffers)
        self._aside = aside

    def persistent_load(self, place: int) -> bytes | Array:
        """What was set aside there."""
        return self._aside[place]


def _pack(strings: Array) -> _Steps[tuple[Part, Part]]:
    """The lengths of the strings (int64) and the strings, end to end."""
    flat = strings.reshape(-1)
    lengths = np.empty(flat.size, np.int64)
    joined = bytearray()
    for place in _places(flat.size):
        some: list[bytes] = flat[place].tolist()
        lengths[place] = [len(one) for one in some]
        joined += b"".join(some)
        yield
    return lengths.data.cast("B") if flat.size else b"", joined


def _unpack(lengths: Part, joined: Part, shape: tuple[int, ...]) -> _Steps[Array]:
    sizes = np.frombuffer(lengths, np.int64)
    strings = np.empty(sizes.size, np.object_)
    data, at = memoryview(joined), 0
    for place in _places(sizes.size):
        some: list[bytes] = []
        for size in sizes[place].tolist():
            some.append(bytes(data[at : at + size]))
            at += size
        strings[place] = some
        yield
    return strings.reshape(shape)


def _places(size: int) -> Iterator[slice]:
    return (slice(at, at + _STEP) for at in range(0, size, _STEP))
