"""How many calls run at once, and how many may wait for a thread?

grpcio hands every call to the executor it is given and never asks whether there is room. This one counts,
so that the server can turn a call away before it waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

__all__ = ["CallPool"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class CallPool(ThreadPoolExecutor):
    """Threads for calls, and a bound on those that wait.

    Invariant: `calls` is the number of calls submitted and not yet finished. Only the server's thread
    submits, and it asks `has_room` first, so `calls` never exceeds `threads + max_queued`.
    """

    def __init__(self, threads: int, max_queued: int) -> None:
        super().__init__(threads, thread_name_prefix="predict")
        self.max_calls = threads + max_queued
        self.calls = 0
        self._changed = threading.Condition(threading.Lock())

    @property
    def has_room(self) -> bool:
        """Whether one more call may come in."""
        return self.calls < self.max_calls

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Queue a call; it counts until it has finished, cancelled or not."""
        with self._changed:
            self.calls += 1
        return super().submit(self._count_out, fn, *args, **kwargs)

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait until every call has finished; False if some have not by then."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.calls, timeout_s)

    def _count_out(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return fn(*args, **kwargs)
        finally:
            with self._changed:
                self.calls -= 1
                if not self.calls:
                    self._changed.notify_all()

    def __repr__(self) -> str:
        return f"<CallPool {self.calls} of {self.max_calls} calls>"
