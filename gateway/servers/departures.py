"""Has the client of a waiting request gone away?

ASGI tells a disconnect only to whoever awaits `receive()`. A watching task for every request would cost
more than most requests do, so requests are watched only once they have waited for `_PATIENCE_S`: one timer
serves all of them, and starts a watcher for those that are old enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.servers.body import Receive

__all__ = ["Departures", "Visit"]

_PATIENCE_S = 0.05


class Visit:
    """One request whose client may leave: its task is cancelled when that happens.

    Attributes:
        task: What serves the request.
        has_left: Whether the client left, so that a cancellation of the task is ours.
    """

    __slots__ = ("has_left", "receive", "since", "task", "watcher")

    def __init__(self, receive: Receive, task: asyncio.Task[object], since: float) -> None:
        self.task = task
        self.receive = receive
        self.since = since
        self.has_left = False
        self.watcher: asyncio.Task[None] | None = None


class Departures:
    """Cancels the task of a request whose client has disconnected.

    Invariant: the timer runs while a visit is present. Watchers belong to the task group that the server
    gives; a watcher ends with its visit. `clock` is in seconds, and that of all visits.
    """

    def __init__(self, group: asyncio.TaskGroup, clock: Callable[[], float]) -> None:
        self._group = group
        self._clock = clock
        self._visits: dict[Visit, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def begin(self, receive: Receive, now: float) -> Visit:
        """Watch the client of the current task, until `end`; `now` is on the clock."""
        # Given the loop, asyncio need not look it up, which costs a getpid() each time.
        task = asyncio.current_task(self._loop)
        assert task is not None, "a request is always served by a task"
        visit = Visit(receive, task, now)
        self._visits[visit] = None
        if self._timer is None:
            self._timer = self._loop.call_later(_PATIENCE_S, self._look_around)
        return visit

    def end(self, visit: Visit) -> None:
        """Watch no more."""
        del self._visits[visit]
        if visit.watcher is not None:
            visit.watcher.cancel()

    def _look_around(self) -> None:
        self._timer = None
        old = self._clock() - _PATIENCE_S
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
