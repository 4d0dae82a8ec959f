"""How much of a gRPC message must be read element by element? Pure.

Numbers that travel as one run of bytes are looked at where they stand: 64 MiB of them cost nothing. Every
string, number or map entry that has a place of its own in a message costs time, and many of them in one
message would hold up everybody else. What is counted here are the bytes that hold such elements: a look at
a few fields' headers, after which a server knows whether to read the message itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from gateway.codecs.wire_fields import fields, number
from gateway.tensors import Datatype, Tensor

__all__ = [
    "SLOW_BYTES",
    "are_slow",
    "slow_infer_bytes",
    "slow_map_bytes",
    "slow_predict_bytes",
]

SLOW_BYTES: Final = 32 * 1024
"""Of slow parts, as many as are read where others wait.

Measured: 32 KiB take 0.3 to 1 ms to read in the usual forms, and 2.6 ms as empty strings, the slowest.
"""

_SLOW_ELEMENTS: Final = 8192  # written one by one: a millisecond or two

_MAX_FIELDS: Final = 64  # looked at; a message of more is read by somebody else if it is large

_RAW_INPUT = 7 << 3 | 2  # of a ModelInferRequest: one run for each tensor
_TENSOR_ENTRY = 2 << 3 | 2  # of a PredictRequest: an entry of its map of inputs
_ENTRY_VALUE = 2 << 3 | 2
_DTYPE = 1 << 3
_DT_STRING = 7
_RUNS = frozenset(field << 3 | 2 for field in (4, 5, 6, 11))
"""Of a TensorProto: `tensor_content`, and the typed fields whose packed values numpy reads in place."""


def slow_infer_bytes(data: bytes) -> int:
    """Of a ModelInferRequest: all but raw tensors, or all where one of them may hold strings."""
    try:
        found = list(fields(memoryview(data), _MAX_FIELDS))
    except ValueError:
        return len(data)
    rest = [value for tag, value in found if tag != _RAW_INPUT]
    size = sum(map(len, rest))
    # The name of the datatype, wherever it stands: to be wrong costs a detour and nothing else.
    if size > SLOW_BYTES or any(b"BYTES" in bytes(value) for value in rest):
        return len(data)
    return size


def slow_predict_bytes(data: bytes) -> int:
    """Of a PredictRequest: all but the runs of numbers in its tensors."""
    try:
        return len(data) - sum(_run_bytes(tensor) for tensor in _tensors(data))
    except ValueError:
        return len(data)


def slow_map_bytes(data: bytes) -> int:
    """Of a message whose map holds bytes that are somebody else's to read: all, if entries are many."""
    try:
        for _ in fields(memoryview(data), _MAX_FIELDS):
            pass
    except ValueError:
        return len(data)
    return 0


def are_slow(tensors: Iterable[Tensor], in_runs: Collection[Datatype]) -> bool:
    """Whether tensors are slow to write, in a dialect where those of some datatypes go out in one run."""
    size = 0
    for tensor in tensors:
        if tensor.datatype not in in_runs:
            size += tensor.array.size
    return size > _SLOW_ELEMENTS


def _tensors(data: bytes) -> Iterator[memoryview]:
    for tag, entry in fields(memoryview(data), _MAX_FIELDS):
        if tag == _TENSOR_ENTRY:
            for inner_tag, value in fields(entry, _MAX_FIELDS):
                if inner_tag == _ENTRY_VALUE:
                    yield value


def _run_bytes(tensor: memoryview) -> int:
    size, is_text = 0, False
    for tag, value in fields(tensor, _MAX_FIELDS):
        if tag in _RUNS:
            size += len(value)
        elif tag == _DTYPE:
            is_text = number(value) == _DT_STRING
    return 0 if is_text else size
