"""Does every row get its turn, in groups that a caller would send, and the same ones in every run?"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from loadtests.samples import NoTestSet, Subject
from loadtests.traffic import Traffic, Visitor
from model_store.held_out import TEST_SET
from tests.loadtests.stores import ROWS, SUBJECTS, write_store


def sent(visitor: Visitor, count: int) -> list[tuple[str, tuple[int, ...]]]:
    calls = (visitor.next_call() for _ in range(count))
    return [(call.subject.model, tuple(call.rows.tolist())) for call in calls]


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=list(SUBJECTS))
def test_every_row_is_in_one_small_group_of_one_length(subject: Subject) -> None:
    groups = subject.groups(random.Random(3))
    assert sorted(np.concatenate(groups).tolist()) == list(range(ROWS))
    for group in groups:
        assert 1 <= len(group) <= 4
        assert len({subject.held_out.bucket(row) for row in group.tolist()}) == 1


def test_a_visitor_sends_every_row_and_then_begins_again() -> None:
    visitor = Traffic([SUBJECTS["floats"]], ["oip-grpc"]).visitor("oip-grpc")
    first = visitor.next_call()
    seen = first.rows.tolist()
    while (call := visitor.next_call()) is not first:
        seen += call.rows.tolist()
    assert sorted(seen) == list(range(ROWS))


def test_a_round_asks_every_model_once_in_an_order_that_changes() -> None:
    visitor = Traffic(list(SUBJECTS.values()), ["tfs-rest"]).visitor("tfs-rest")
    rounds = [tuple(visitor.next_call().name for _ in SUBJECTS) for _ in range(30)]
    assert {frozenset(names) for names in rounds} == {
        frozenset({"floats tfs-rest", "tokens tfs-rest", "pairs tfs-rest"})
    }
    assert len(set(rounds)) > 1


def test_each_visitor_has_a_unit_of_its_own_and_an_order_of_its_own() -> None:
    traffic = Traffic(list(SUBJECTS.values()), ["tfs-rest", "oip-grpc"])
    visitors = [
        traffic.visitor("tfs-rest"),
        traffic.visitor("oip-grpc"),
        traffic.visitor("tfs-rest"),
    ]
    assert [visitor.unit for visitor in visitors] == ["user-0", "user-1", "user-2"]
    assert len({tuple(sent(visitor, 20)) for visitor in visitors}) == 3


def test_a_seed_decides_everything() -> None:
    def run(seed: int) -> list[list[tuple[str, tuple[int, ...]]]]:
        traffic = Traffic(list(SUBJECTS.values()), ["tfs-rest"], seed=seed)
        return [sent(traffic.visitor("tfs-rest"), 50) for _ in range(2)]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_the_newest_version_of_the_store_is_sent_and_its_tolerance_holds(tmp_path: Path) -> None:
    write_store(tmp_path)
    for model, known in SUBJECTS.items():
        subject = Subject.load(tmp_path, model)
        assert subject.tolerance == known.tolerance
        assert subject.outputs == known.outputs
        np.testing.assert_array_equal(
            subject.held_out.take(np.arange(3))[next(iter(known.held_out.inputs))],
            known.held_out.take(np.arange(3))[next(iter(known.held_out.inputs))],
        )


def test_a_store_without_a_usable_test_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoTestSet, match="make store"):
        Subject.load(tmp_path, "floats")
    write_store(tmp_path)
    (tmp_path / "floats" / "1" / TEST_SET).write_bytes(b"no archive")
    with pytest.raises(NoTestSet, match="no usable test set"):
        Subject.load(tmp_path, "floats")
