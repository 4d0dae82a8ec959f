"""Plan: what is predicted for requests that cannot share a batch, and for those of a kind of which nothing is known."""

from __future__ import annotations

import pytest

from gateway.batching import BatchLimits
from gateway.errors import WouldBeLate
from tests.batching.desk import Desk


def test_each_request_without_a_batch_dimension_counts_as_a_batch() -> None:
    """Of 1 s each: four go before it, however many rows a batch may have."""
    desk = Desk(BatchLimits(max_batch_rows=64))
    for _ in range(3):
        desk.offer(key="alone")
        batch = desk.plan.take(0.0)
        assert batch is not None
        desk.plan.finish(batch, 1.0, 0.0)
    for _ in range(4):
        desk.offer(key="alone", deadline=6.1)
    with pytest.raises(WouldBeLate, match=r"in about 5\.000 s"):
        desk.offer(key="alone", deadline=6.2)
    desk.offer(key="alone", deadline=6.3)


def _with_kinds(count: int) -> Desk:
    """Batches take 1 s; one is at the backend, and so many, each of a kind of its own, have until 65 s."""
    desk = Desk(BatchLimits(max_batch_rows=64))
    desk.learn(1.0)
    for number in range(count + 1):
        desk.offer(key=f"kind {number}", deadline=65 + number / 1000)
        if not number:
            desk.take()
    desk.offer(key="tried", deadline=1.0)  # one that would be refused is let through
    return desk


def test_a_new_kind_is_taken_to_be_like_the_latest_of_all_kinds() -> None:
    """Behind one at the backend and one that is queued, it is answered after 3 s."""
    desk = _with_kinds(3)
    with pytest.raises(WouldBeLate, match=r"in about 3\.000 s"):
        desk.offer(key="new", deadline=3.7)
    desk.offer(key="new", deadline=3.8)


def test_of_many_kinds_each_counts_as_a_batch() -> None:
    """Though sixteen of them are looked at, and all fit into one batch by their rows."""
    desk = _with_kinds(50)
    with pytest.raises(WouldBeLate, match=r"in about 53\.000 s"):
        desk.offer(key="new", deadline=66.2)
    desk.offer(key="new", deadline=66.3)


def test_who_joins_a_kind_that_goes_before_others_is_not_refused_for_them() -> None:
    desk = _with_kinds(50)
    with pytest.raises(WouldBeLate):
        desk.offer(key="new", deadline=66.0)
    desk.offer(key="kind 1", deadline=66.0)


def test_a_new_kind_is_not_refused_for_its_own_time() -> None:
    """It may be much faster than the others."""
    desk = Desk(BatchLimits())
    desk.learn(1.0)
    new = desk.offer(key="new", deadline=0.5)
    assert desk.take() == [new]


def test_one_of_the_new_kinds_is_tried_now_and_then() -> None:
    """Once in a second and ten batches, however many kinds there are."""
    desk = Desk(BatchLimits())
    desk.learn(1.0)
    desk.offer()
    desk.take()
    tried = []
    for tenth in range(240):
        try:
            desk.offer(key=f"new {tenth}", at=tenth / 10, deadline=tenth / 10 + 0.2)
        except WouldBeLate:
            continue
        tried.append(tenth)
    assert tried == [0, 110, 220]
