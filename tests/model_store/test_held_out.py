"""A test set survives its file, and gives rows and decisions as a client needs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.held_out import BUCKETS, HeldOut


def sentences(lengths: list[int]) -> HeldOut:
    """Ragged rows: row i holds the ids 1, 2, … up to its length."""
    positions = np.arange(max(BUCKETS))
    mask = (positions < np.array(lengths)[:, None]).astype(np.int64)
    vectors = np.eye(len(lengths), 4, dtype=np.float32)
    return HeldOut(
        inputs={"ids": (positions + 1) * mask, "mask": mask},
        labels=np.arange(len(lengths), dtype=np.int64) % 2,
        label_names=("even", "odd"),
        expected={"embedding": vectors},
        decision="nearest",
        decision_output="embedding",
        ragged=("ids", "mask"),
        lengths=np.array(lengths, dtype=np.int64),
        texts=tuple(f"sentence {i}" for i in range(len(lengths))),
    )


def flowers() -> HeldOut:
    """Rows that are not ragged."""
    return HeldOut(
        inputs={"x": np.arange(12, dtype=np.float32).reshape(3, 4)},
        labels=np.array([0, 1, 2]),
        label_names=("a", "b", "c"),
        expected={"logits": np.eye(3, dtype=np.float32)},
        decision="argmax",
        decision_output="logits",
    )


LENGTHS = st.lists(st.integers(1, max(BUCKETS)), min_size=1, max_size=40)


@pytest.mark.parametrize("held_out", [sentences([3, 17, 64]), flowers()])
def test_what_is_saved_is_loaded(held_out: HeldOut, tmp_path: Path) -> None:
    held_out.save(tmp_path / "test_set.npz")
    again = HeldOut.load(tmp_path / "test_set.npz")
    for name, array in held_out.inputs.items():
        np.testing.assert_array_equal(again.inputs[name], array)
        assert again.inputs[name].dtype == array.dtype
    for name, array in held_out.expected.items():
        np.testing.assert_array_equal(again.expected[name], array)
    np.testing.assert_array_equal(again.labels, held_out.labels)
    assert (again.lengths is None) == (held_out.lengths is None)
    assert (again.texts, again.label_names) == (held_out.texts, held_out.label_names)
    assert (again.decision, again.decision_output) == (held_out.decision, held_out.decision_output)
    assert again.ragged == held_out.ragged


@given(LENGTHS, st.integers(1, 10))
def test_batches_hold_every_row_once_and_rows_of_one_bucket(lengths: list[int], most: int) -> None:
    held_out = sentences(lengths)
    batches = held_out.batches(most)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= most
        assert len({held_out.bucket(int(index)) for index in batch}) == 1


@given(LENGTHS, st.data())
def test_rows_are_cut_to_the_bucket_of_the_longest_and_lose_nothing(
    lengths: list[int], data: st.DataObject
) -> None:
    held_out = sentences(lengths)
    rows = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=5))
    inputs = held_out.take(rows)
    longest = max(lengths[row] for row in rows)
    width = inputs["ids"].shape[1]
    assert width in BUCKETS
    assert width >= longest
    assert all(size < longest for size in BUCKETS if size < width)
    np.testing.assert_array_equal(inputs["mask"].sum(axis=1), [lengths[row] for row in rows])
    assert all(array.flags.c_contiguous for array in inputs.values())


def test_rows_can_be_taken_at_any_length() -> None:
    held_out = sentences([3, 17])
    assert held_out.take([0, 1], length=2)["ids"].tolist() == [[1, 2], [1, 2]]
    longer = held_out.take([0], length=512)
    assert longer["ids"].shape == (1, 512)
    assert longer["mask"].sum() == 3


def test_the_largest_class_is_the_decision() -> None:
    held_out = flowers()
    rows = np.array([2, 0])
    output = np.array([[0.0, 3.0, 1.0], [5.0, 1.0, 1.0]], dtype=np.float32)
    assert held_out.decide(rows, output).tolist() == [1, 0]
    assert held_out.is_right(rows, output).tolist() == [False, True]


def test_the_nearest_other_row_is_the_decision() -> None:
    """Row 0 is nearest to itself, which does not count."""
    held_out = sentences([3, 4, 5])
    near = np.array([[0.9, 0.1, 0.4, 0.0]], dtype=np.float32)
    assert held_out.decide(np.array([0]), near).tolist() == [2]
    assert held_out.is_right(np.array([0]), near).tolist() == [True]  # rows 0 and 2 are even
