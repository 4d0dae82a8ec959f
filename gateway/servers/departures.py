"""Has the client of a waiting request gone away?

ASGI tells a disconnect only to whoever awaits `receive()`. A watching task for every request would cost
more than most requests do, so requests are watched only once they have waited for `_PATIENCE_S`: one timer
serves all of them, and starts a watcher for those that are old enough.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from gateway.servers.body import Receive

__all__ = ["Departures", "Visit"]

_PATIENCE_S = 0.05


class Visit:
    """One request whose client may leave: `with` it, the current task is cancelled when that happens.

    Attributes:
        has_left: Whether the client left, so that a cancellation of the task is ours.
    """

    __slots__ = ("_departures", "has_left", "receive", "since", "task", "watcher")

    def __init__(
        self, departures: Departures, receive: Receive, task: asyncio.Task[object]
    ) -> None:
        self._departures = departures
        self.task = task
        self.receive = receive
        self.since = 0.0
        self.has_left = False
        self.watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._departures.begin(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._departures.end(self)


class Departures:
    """Cancels the task of a request whose client has disconnected.

    Invariant: the timer runs while a visit is present. Watchers belong to the task group that the server
    gives; a watcher ends with its visit.
    """

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._visits: dict[Visit, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def watch(self, receive: Receive) -> Visit:
        """The visit of the current task's client, to be entered."""
        # Given the loop, asyncio need not look it up, which costs a getpid() each time.
        task = asyncio.current_task(self._loop)
        assert task is not None, "a request is always served by a task"
        return Visit(self, receive, task)

    def begin(self, visit: Visit) -> None:
        """Watch from now on."""
        visit.since = self._loop.time()
        self._visits[visit] = None
        if self._timer is None:
            self._timer = self._loop.call_later(_PATIENCE_S, self._look_around)

    def end(self, visit: Visit) -> None:
        """Watch no more."""
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
