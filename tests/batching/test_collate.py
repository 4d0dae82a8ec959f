"""Joining requests into a batch and cutting its answer."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.batching.collate import (
    APART_BYTES,
    JOIN_ON_LOOP_BYTES,
    cut,
    join,
    joined_bytes,
    rejoin,
    split,
)
from gateway.codecs import oip_json, oip_proto, tfs_proto
from gateway.errors import BackendInvalid
from gateway.messages import InferRequest
from gateway.tensors import DTYPES, Datatype, JoinedTensor, Tensor

_ROWS = st.lists(st.integers(1, 5), min_size=1, max_size=8)
_DATATYPES: list[Datatype] = ["FP32", "INT64", "BF16", "BYTES", "BOOL"]


def _tensor(name: str, datatype: Datatype, rows: int, start: int = 0) -> Tensor:
    numbers = np.arange(start, start + rows * 2).reshape(rows, 2)
    if datatype == "BYTES":
        texts = [[str(number).encode() for number in row] for row in numbers]
        return Tensor(name, datatype, np.array(texts, dtype=object).reshape(rows, 2))
    return Tensor(name, datatype, numbers.astype(DTYPES[datatype]))


@given(rows=_ROWS, datatype=st.sampled_from(_DATATYPES))
def test_what_is_joined_and_split_is_what_it_was(rows: list[int], datatype: Datatype) -> None:
    """Two inputs, any rows: every request gets its own values back, with name, datatype and shape."""
    requests = [
        (_tensor("a", datatype, count, 10 * i), _tensor("b", "INT32", count, 7 * i))
        for i, count in enumerate(rows)
    ]
    for before, after in zip(requests, split(join(requests), rows), strict=True):
        for one, other in zip(before, after, strict=True):
            assert (one.name, one.datatype, one.shape) == (other.name, other.datatype, other.shape)
            assert one.array.dtype == other.array.dtype
            assert (one.array == other.array).all()


@given(rows=_ROWS)
def test_what_is_cut_and_rejoined_is_what_it_was(rows: list[int]) -> None:
    whole = (_tensor("a", "FP32", sum(rows)),)
    (again,) = rejoin(cut(whole, rows))
    assert (again.array == whole[0].array).all()


def test_a_single_request_is_not_copied() -> None:
    inputs = (_tensor("a", "FP32", 3),)
    assert join([inputs]) is inputs
    assert split(inputs, [3]) == [inputs]


def test_large_inputs_of_several_requests_stay_apart_until_somebody_asks() -> None:
    """They are written down from where they are; joined they are what a copy of them would be."""
    arrays = [np.full((rows, APART_BYTES // 4), rows, np.float32) for rows in (1, 2)]
    small = np.zeros((3, 1), np.float32)
    requests = [
        (Tensor("a", "FP32", array), Tensor("b", "FP32", small[: len(array)])) for array in arrays
    ]
    large, other = join(requests)
    assert isinstance(large, JoinedTensor)
    assert not isinstance(other, JoinedTensor)
    assert large.shape == (3, APART_BYTES // 4)
    assert all(part is array for part, array in zip(large.parts, arrays, strict=True))
    request = InferRequest(model="m", inputs=(large, other))
    copied = Tensor("a", "FP32", np.concatenate(arrays))
    for encode in (oip_proto.encode_request, oip_json.encode_request, tfs_proto.encode_request):
        assert encode(request) == encode(InferRequest(model="m", inputs=(copied, other)))
    assert (large.array == copied.array).all()
    assert large.array is large.array


def test_what_a_thread_joins_is_joined() -> None:
    """Else it would be copied on the event loop after all."""
    half = np.zeros((1, JOIN_ON_LOOP_BYTES // 8 + 1), np.float32)
    (whole,) = join([(Tensor("a", "FP32", half),), (Tensor("a", "FP32", half),)])
    assert not isinstance(whole, JoinedTensor)


def test_shares_and_pieces_are_views() -> None:
    whole = (_tensor("a", "FP32", 4),)
    for parts in (split(whole, [1, 3]), cut(whole, [2, 2])):
        assert all(part[0].array.base is not None for part in parts)
        assert all(np.shares_memory(part[0].array, whole[0].array) for part in parts)


def test_bfloat16_stays_bfloat16() -> None:
    part = (_tensor("a", "BF16", 1),)
    assert join([part, part])[0].array.dtype == ml_dtypes.bfloat16


def test_an_answer_without_outputs_gives_everyone_an_empty_answer() -> None:
    assert split((), [1, 2]) == [(), ()]


@pytest.mark.parametrize("rows", [[2, 1], [4], [1]])
def test_wrong_rows_are_named(rows: list[int]) -> None:
    outputs = (_tensor("logits", "FP32", sum(rows)), _tensor("label", "INT64", 2))
    with pytest.raises(BackendInvalid) as caught:
        split(outputs, rows)
    assert str(caught.value) == (
        f"outputs['label']: got 2 rows, wanted {sum(rows)} rows as sent in the batch"
    )


def test_a_scalar_output_has_no_rows() -> None:
    with pytest.raises(BackendInvalid, match=r"loss.*got a scalar, wanted 2 rows"):
        split((Tensor("loss", "FP32", np.ones((), np.float32)),), [1, 1])


def test_pieces_that_were_answered_differently_do_not_fit_together() -> None:
    """Each batch alone was sound, but a padded output came back in two widths."""
    narrow, wide = np.zeros((1, 2), np.float32), np.zeros((1, 3), np.float32)
    with pytest.raises(BackendInvalid, match="piece 2 of 2"):
        rejoin([(Tensor("y", "FP32", narrow),), (Tensor("y", "FP32", wide),)])


def test_bytes_to_copy_are_told_without_looking_at_every_request() -> None:
    one = (_tensor("a", "FP32", 1), _tensor("b", "INT64", 1))
    assert joined_bytes([one] * 5, 5) == sum(tensor.array.nbytes for tensor in join([one] * 5))
    assert joined_bytes([one], 1) == 0
