"""Has the client of a waiting request gone away?

ASGI tells a disconnect only to whoever awaits `receive()`. A watching task for every request would cost
more than most requests do, so requests are watched only once they have waited for `_PATIENCE_S`: one timer
serves all of them, and starts a watcher for those that are old enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.servers.body import Receive

__all__ = ["Departures", "Visit"]

_PATIENCE_S = 0.01


class Visit:
    """One request whose client may leave. `has_left` is true once it did, and its task was cancelled."""

    __slots__ = ("has_left", "receive", "since", "task", "watcher")

    def __init__(self, task: asyncio.Task[object], receive: Receive, since: float) -> None:
        self.task = task
        self.receive = receive
        self.since = since
        self.has_left = False
        self.watcher: asyncio.Task[None] | None = None


class Departures:
    """Cancels the task of a request whose client has disconnected.

    Invariant: the timer runs exactly while a visit is present. Watchers belong to the task group that
    the server gives; a watcher ends with its visit.
    """

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._visits: dict[Visit, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @contextmanager
    def watch(self, receive: Receive) -> Iterator[Visit]:
        """Watch the current task's client until the block ends."""
        task = asyncio.current_task()
        assert task is not None, "a request is always served by a task"
        visit = Visit(task, receive, self._loop.time())
        self._visits[visit] = None
        if self._timer is None:
            self._timer = self._loop.call_later(_PATIENCE_S, self._look_around)
        try:
            yield visit
        finally:
            del self._visits[visit]
            if visit.watcher is not None:
                visit.watcher.cancel()

    def _look_around(self) -> None:
        self._timer = None
        old = self._loop.time() - _PATIENCE_S
        for visit in self._visits:
            if visit.since > old:
                break  # in order of arrival: the rest are younger
            if visit.watcher is None:
                visit.watcher = self._group.create_task(self._wait_for_departure(visit))
        if self._visits:
            self._timer = self._loop.call_later(_PATIENCE_S, self._look_around)

    async def _wait_for_departure(self, visit: Visit) -> None:
        while True:
            message = await visit.receive()
            if message["type"] == "http.disconnect":
                visit.has_left = True
                visit.task.cancel()
                return
