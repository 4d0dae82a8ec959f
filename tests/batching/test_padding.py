"""Padding requests to one length, and cutting what comes back: it never changes an answer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.batching.collate import join, split
from gateway.batching.padding import Padding
from gateway.errors import BackendInvalid
from gateway.sequences import RaggedInput, RaggedOutput, SequenceSpec
from gateway.tensors import DTYPES, Datatype, Tensor

MASKED = SequenceSpec(
    inputs=(RaggedInput("ids", 1, 7), RaggedInput("mask", 1, 0)),
    outputs=(RaggedOutput("squares", 1),),
    buckets=(16, 32),
)
# Rows and length of each request.
_SIZES = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 12)), min_size=1, max_size=8)
_NUMBERS: list[Datatype] = ["BOOL", "UINT8", "INT64", "FP16", "BF16", "FP32", "FP64"]


def asked(rows: int, length: int, start: int = 0) -> tuple[Tensor, ...]:
    """Ids, a mask that leaves out some of them, and a weight per row, which is no sequence."""
    ids = np.arange(start, start + rows * length).reshape(rows, length)
    weight = np.arange(rows, dtype=np.float32)
    mask = (ids % 3 != 1).astype(np.int64)
    return Tensor("ids", "INT64", ids), Tensor("mask", "INT64", mask), Tensor("w", "FP32", weight)


def answered(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A model that reads its mask: a sequence out, and a number per row."""
    ids, mask, weight = (tensor.array for tensor in inputs)
    shown = np.multiply(ids, mask)
    total = np.asarray(shown.sum(axis=1) + weight, np.float32)
    return Tensor("total", "FP32", total), Tensor("squares", "INT64", shown * shown)


def together(requests: Sequence[tuple[Tensor, ...]]) -> list[tuple[Tensor, ...]]:
    """What each gets of a padded batch."""
    rows = [request[0].shape[0] for request in requests]
    padding = Padding.of(MASKED, requests, rows)
    outputs = answered(padding.join(requests))
    padding.check(outputs)
    return padding.trim(split(outputs, rows))


@given(sizes=_SIZES)
def test_an_answer_is_the_same_alone_and_among_others(sizes: list[tuple[int, int]]) -> None:
    """Values, names, datatypes and shapes, of outputs that are sequences and of those that are not."""
    requests = [asked(*size, start=100 * number) for number, size in enumerate(sizes)]
    for request, share in zip(requests, together(requests), strict=True):
        for alone, got in zip(answered(request), share, strict=True):
            assert (alone.name, alone.datatype, alone.shape) == (got.name, got.datatype, got.shape)
            assert alone.array.dtype == got.array.dtype
            assert (alone.array == got.array).all()
            assert got.array.flags.c_contiguous


@given(
    sizes=_SIZES,
    datatype=st.sampled_from(_NUMBERS),
    axis=st.integers(1, 3),
    pad=st.sampled_from([0, 1]),
)
def test_what_was_sent_arrives_bit_for_bit_and_the_rest_is_the_pad(
    sizes: list[tuple[int, int]], datatype: Datatype, axis: int, pad: float
) -> None:
    """Whatever the bits are, NaN among them, wherever the sequence axis is."""
    dtype, rng = DTYPES[datatype], np.random.default_rng(1)
    spec = SequenceSpec(inputs=(RaggedInput("x", axis, pad),), outputs=(), buckets=(16,))
    requests = []
    for rows, length in sizes:
        shape = [rows, 2, 3, 2]
        shape[axis] = length
        bits = rng.integers(0, 2 if datatype == "BOOL" else 256, (*shape, dtype.itemsize), np.uint8)
        requests.append((Tensor("x", datatype, bits.view(dtype)[..., 0]),))
    padding = Padding.of(spec, requests, [rows for rows, _ in sizes])
    (joined,) = padding.join(requests)
    along = np.moveaxis(joined.array, axis, 1)
    start = 0
    for (request,), (rows, length) in zip(requests, sizes, strict=True):
        part = along[start : start + rows]
        sent = np.moveaxis(request.array, axis, 1)
        assert part[:, :length].tobytes() == sent.tobytes()
        assert (part[:, length:] == pad).all()
        start += rows
    assert (start, joined.array.dtype) == (joined.shape[0], dtype)


@given(sizes=_SIZES)
def test_a_batch_is_as_long_as_its_longest_request_and_says_what_was_added(
    sizes: list[tuple[int, int]],
) -> None:
    requests = [asked(*size) for size in sizes]
    rows, lengths = zip(*sizes, strict=True)
    padding = Padding.of(MASKED, requests, rows)
    joined = padding.join(requests)
    assert joined[0].shape == joined[1].shape == (sum(rows), max(lengths))
    assert padding.positions == sum(tensor.array.size for tensor, _, _ in requests)
    assert padding.positions + padding.added == joined[0].array.size
    assert padding.is_needed is (padding.added > 0)
    assert padding.joined_bytes(requests) == sum(tensor.array.nbytes for tensor in joined)


@given(rows=st.lists(st.integers(1, 4), min_size=1, max_size=8), length=st.integers(0, 12))
def test_requests_of_one_length_are_joined_as_any_other(rows: list[int], length: int) -> None:
    requests = [asked(count, length) for count in rows]
    padding = Padding.of(MASKED, requests, rows)
    assert not padding.is_needed
    for one, other in zip(padding.join(requests), join(requests), strict=True):
        assert (one.array == other.array).all()
    shares = split(answered(join(requests)), rows)
    assert padding.trim(shares) == shares


@pytest.mark.parametrize("shape", [(3, 6), (3, 4), (3,), (3, 4, 5)])
def test_a_sequence_of_another_length_than_was_sent_is_the_backends_fault(
    shape: tuple[int, ...],
) -> None:
    requests = [asked(1, 5), asked(2, 3)]
    padding = Padding.of(MASKED, requests, [1, 2])
    with pytest.raises(BackendInvalid, match=r"^outputs\['squares'\]: got .* wanted 5 in dim"):
        padding.check((Tensor("squares", "INT64", np.zeros(shape, np.int64)),))


def test_an_output_that_nobody_asked_for_is_not_missed() -> None:
    padding = Padding.of(MASKED, [asked(1, 5), asked(1, 3)], [1, 1])
    padding.check(())
    assert padding.trim([(), ()]) == [(), ()]


@given(
    bounds=st.sets(st.integers(1, 40), min_size=1, max_size=6),
    length=st.integers(0, 60),
    least=st.integers(1, 40),
)
def test_a_length_belongs_to_the_least_bound_that_holds_it_or_to_itself(
    bounds: set[int], length: int, least: int
) -> None:
    buckets = tuple(sorted(bounds))
    spec = SequenceSpec(
        inputs=MASKED.inputs, outputs=(), buckets=buckets, min_length=min(least, buckets[0])
    )
    bound = spec.bucket_of(length)
    if not spec.min_length <= length <= buckets[-1]:
        assert bound == length
    else:
        assert bound in buckets
        assert length <= bound
        assert all(not length <= low for low, high in pairwise(buckets) if high == bound)
