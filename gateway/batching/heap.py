"""Which of these comes first, when most of them leave before they reach the top?

How it works: a binary heap from which nothing is removed in the middle. What has left stays as a dead
element until it reaches the top or until the heap has doubled since it was last cleaned; then all the
dead go at once. So every operation costs O(log n) amortised, and the heap holds at most twice what was
alive at its last cleaning, plus a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

ElementT = TypeVar("ElementT", int, tuple[float, int])

_ALWAYS_ALLOWED = 64
_SAMPLE = 64


class LazyHeap(Generic[ElementT]):
    """A heap whose elements die elsewhere: `is_alive` says which still count."""

    __slots__ = ("_clean_at", "_elements", "_is_alive")

    def __init__(self, is_alive: Callable[[ElementT], bool]) -> None:
        self._is_alive: Callable[[ElementT], bool] = is_alive
        self._elements: list[ElementT] = []
        self._clean_at = _ALWAYS_ALLOWED

    def __len__(self) -> int:
        """Elements held, dead ones included."""
        return len(self._elements)

    def push(self, element: ElementT) -> bool:
        """Add an element, and say whether it is now the smallest, the dead included.

        The same element may be added again.
        """
        elements = self._elements
        heappush(elements, element)
        is_first = elements[0] is element
        if len(elements) > self._clean_at:
            self._clean()
        return is_first

    def first(self) -> ElementT | None:
        """The smallest living element, or None."""
        elements = self._elements
        while elements:
            if self._is_alive(elements[0]):
                return elements[0]
            heappop(elements)
        return None

    def pop_all(self) -> list[ElementT]:
        """The living elements in order, each as often as it was added; none is left."""
        living = sorted(filter(self._is_alive, self._elements))
        self._elements.clear()
        return living

    def sample(self) -> list[ElementT]:
        """Some of the elements, the dead included: all of few, every so many of more."""
        return self._elements[:: max(1, len(self._elements) // _SAMPLE)]

    def _clean(self) -> None:
        # A set, because what was added twice is alive twice and would never go.
        self._elements = list({element for element in self._elements if self._is_alive(element)})
        heapify(self._elements)
        self._clean_at = 2 * len(self._elements) + _ALWAYS_ALLOWED
