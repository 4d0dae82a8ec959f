"""The plan is fair to protocols, covers the test set, and is the same every time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.demo.samples import CONCURRENCIES, SURFACES, USERS, plan_blocks
from model_store.held_out import HeldOut


def held_out(lengths: list[int]) -> HeldOut:
    """A test set of ragged rows."""
    rows = len(lengths)
    return HeldOut(
        inputs={"ids": np.zeros((rows, 64), np.int64)},
        labels=np.zeros(rows, np.int64),
        label_names=("only",),
        expected={"y": np.zeros((rows, 2), np.float32)},
        decision="argmax",
        decision_output="y",
        ragged=("ids",),
        lengths=np.array(lengths, np.int64),
    )


@given(st.lists(st.integers(2, 64), min_size=1, max_size=80), st.floats(0.01, 2))
def test_every_block_can_fill_its_callers(lengths: list[int], scale: float) -> None:
    """Each surface at each concurrency once; rows of one bucket; at most four a request."""
    rows = held_out(lengths)
    blocks = plan_blocks(rows, scale=scale)
    kinds = {(block.surface, block.concurrency) for block in blocks}
    assert len(blocks) == len(kinds) == len(SURFACES) * len(CONCURRENCIES)
    for block in blocks:
        assert len(block.requests) >= block.concurrency
        for planned in block.requests:
            assert planned.unit in USERS
            assert 1 <= len(planned.rows) <= 4
            assert len({rows.bucket(int(row)) for row in planned.rows}) == 1


@given(st.integers(1, 200))
def test_every_row_comes_up_before_any_comes_again(count: int) -> None:
    """So that no part of the test set is left out."""
    blocks = plan_blocks(held_out([5] * count))
    sent = [int(row) for block in blocks for planned in block.requests for row in planned.rows]
    for start in range(0, len(sent) - count + 1, count):
        assert sorted(sent[start : start + count]) == list(range(count))


def test_the_plan_is_the_same_every_time() -> None:
    """A second run sends the same."""
    first, second = (plan_blocks(held_out([3, 40, 20] * 9), seed=4) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert (one.surface, one.concurrency) == (other.surface, other.concurrency)
        assert [p.unit for p in one.requests] == [p.unit for p in other.requests]
        assert [p.rows.tolist() for p in one.requests] == [p.rows.tolist() for p in other.requests]
