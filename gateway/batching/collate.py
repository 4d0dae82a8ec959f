"""How do several requests become one batch, and its answer several answers?

Pure. Rows are dim 0. Requests of one batch have equal keys (see `key.py`), so that names, datatypes and
trailing shapes agree and nothing is checked again on the way in; what a backend answers is checked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gateway.errors import BackendInvalid
from gateway.tensors import Array, JoinedTensor, Tensor

# Above this a join is copied in a thread: 16 MiB took 1 ms on the machine that 8 was chosen on.
JOIN_ON_LOOP_BYTES = 8 * 1024 * 1024
# An input of so many is left apart: copied once and not twice, images cost the gateway 5 to 8 % less CPU.
# Smaller ones are copied faster than they are listed.
APART_BYTES = 16 * 1024


def join(requests: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """One batch out of the inputs of several requests, in their order.

    Args:
        requests: Per request its inputs, `[rows, …]` each, the same names in the same order.

    Returns:
        `[sum of rows, …]` per input. A single request is returned as it is, large inputs of several are
        still apart (`JoinedTensor`), all else is a copy.
    """
    if len(requests) == 1:
        return requests[0]
    return tuple([_joined(parts) for parts in zip(*requests, strict=True)])


def _joined(parts: Sequence[Tensor]) -> Tensor:
    first, arrays = parts[0], [part.array for part in parts]
    if first.array.nbytes >= APART_BYTES:
        size = sum([array.nbytes for array in arrays])
        if size <= JOIN_ON_LOOP_BYTES:  # else we may be in a thread, and who writes it down is not
            return JoinedTensor(first.name, first.datatype, arrays)
    return _copied(parts)


def _copied(parts: Sequence[Tensor]) -> Tensor:
    array = np.concatenate([part.array for part in parts])
    return Tensor(parts[0].name, parts[0].datatype, array)


def joined_bytes(requests: Sequence[tuple[Tensor, ...]], rows: int) -> int:
    """How many bytes `join` copies for a batch of `rows`, told from its first request (≥ 1 row)."""
    if len(requests) == 1:
        return 0
    return sum([tensor.array.nbytes // tensor.array.shape[0] * rows for tensor in requests[0]])


def split(outputs: tuple[Tensor, ...], rows: Sequence[int]) -> list[tuple[Tensor, ...]]:
    """The answer of a batch, cut into its requests' shares: views, in the order of `rows`.

    Args:
        outputs: `[sum of rows, …]` each.
        rows: Rows of each request.

    Raises:
        BackendInvalid: the backend's fault; an output has another number of rows than was sent.
    """
    _check_rows(outputs, sum(rows))
    if len(rows) == 1:
        return [outputs]
    if not outputs:
        return [()] * len(rows)
    bounds = _bounds(rows)
    columns = [
        [Tensor(output.name, output.datatype, output.array[part]) for part in bounds]
        for output in outputs
    ]
    return list(zip(*columns, strict=True))


def cut(inputs: tuple[Tensor, ...], rows: Sequence[int]) -> list[tuple[Tensor, ...]]:
    """A request that is too large for one batch, cut into pieces of so many rows: views.

    Args:
        inputs: `[sum of rows, …]` each.
        rows: Rows of each piece.
    """
    return [
        tuple([Tensor(t.name, t.datatype, t.array[part]) for t in inputs]) for part in _bounds(rows)
    ]


def rejoin(pieces: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """One answer out of the answers to the pieces of a request, in their order.

    Raises:
        BackendInvalid: the backend's fault; the pieces' outputs differ in more than their rows.
    """
    first = pieces[0]
    for number, piece in enumerate(pieces[1:], start=2):
        if _kinds(piece) != _kinds(first):
            raise BackendInvalid(
                f"got outputs {_kinds(piece)} for piece {number} of {len(pieces)} of a split request,"
                f" wanted {_kinds(first)} as for piece 1"
            )
    return tuple([_copied(parts) for parts in zip(*pieces, strict=True)])


def _bounds(rows: Sequence[int]) -> list[slice]:
    bounds, start = [], 0
    for count in rows:
        bounds.append(slice(start, start + count))
        start += count
    return bounds


def _check_rows(outputs: tuple[Tensor, ...], total: int) -> None:
    for output in outputs:
        array: Array = output.array
        if array.ndim == 0 or array.shape[0] != total:
            got = f"{array.shape[0]} rows" if array.ndim else "a scalar"
            raise BackendInvalid(
                f"got {got}, wanted {total} rows as sent in the batch",
                path=f"outputs[{output.name!r}]",
            )


def _kinds(outputs: tuple[Tensor, ...]) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(output.name, output.datatype, output.shape[1:]) for output in outputs]
