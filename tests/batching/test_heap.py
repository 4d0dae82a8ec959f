"""LazyHeap: order among the living, and bounds on what the dead may cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.batching.heap import LazyHeap


@given(st.lists(st.one_of(st.integers(0, 30), st.none(), st.just("first"))))
def test_first_is_the_smallest_living_element(steps: list[int | str | None]) -> None:
    """Numbers are pushed, None kills the smallest; at any moment `first` agrees with a plain set."""
    alive: set[int] = set()
    heap: LazyHeap[int] = LazyHeap(lambda element: element in alive)
    for step in steps:
        if isinstance(step, int):
            alive.add(step)
            heap.push(step)
        elif step is None and alive:
            alive.remove(min(alive))
        assert heap.first() == min(alive, default=None)


def test_the_dead_do_not_accumulate() -> None:
    """A hundred thousand that come and go while ten stay: never more than twice ten and a constant."""
    alive = set(range(10))
    heap: LazyHeap[int] = LazyHeap(lambda element: element in alive)
    for element in range(10):
        heap.push(element)
    for element in range(10, 100_000):
        heap.push(element)
        assert len(heap) <= 2 * 10 + 64


def test_what_is_pushed_again_and_again_does_not_accumulate() -> None:
    """Duplicates are alive together; they are still kept once."""
    heap: LazyHeap[int] = LazyHeap(lambda _element: True)
    for _ in range(100_000):
        heap.push(7)
    assert len(heap) <= 2 * 1 + 64
    assert heap.first() == 7


def test_cleaning_costs_a_constant_per_push() -> None:
    """How often the heap asks whether an element lives grows no faster than what is pushed."""
    asked_per_push = []
    for living in (100, 100_000):
        asked = 0

        def is_alive(element: int, living: int = living) -> bool:
            nonlocal asked
            asked += 1
            return element < living

        heap: LazyHeap[int] = LazyHeap(is_alive)
        for element in range(3 * living):
            heap.push(element)
        asked_per_push.append(asked / (3 * living))
    assert max(asked_per_push) < 4
