"""How do other servers decide when a batch leaves? Their rules, beside ours, in virtual time.

Written from their sources' behaviour, each with its idea and without its accidents: no polling delay
where there is one, no lost or reordered requests. All have one device, which computes one batch at a
time, and take requests in the order they came.

    OldestWaits        when the device is free and the oldest has waited so long
    WindowFromReceive  mosec: so long after the free device saw the first
    WindowFromIdle     LitServe: at the end of windows that follow each other while the device is free
    FormEarly          Ray Serve: so long after the first, whether or not the device is free
    Cork               BentoML: when waiting for one more would cost those who wait more than it saves

A batch also leaves when it is full. Without a rule, whenever the device is free, is `Plan` itself.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import linear_regression

from gateway.batching.entry import Entry
from gateway.simulation.requests import Request

__all__ = ["Cork", "FormEarly", "Formed", "OldestWaits", "WindowFromIdle", "WindowFromReceive"]


@dataclass(frozen=True, slots=True, eq=False)
class Formed:
    """Requests that leave together, at `left_at`."""

    entries: list[Entry[Request]]
    left_at: float


class _Queue:
    """Requests in order of arrival, and a device that is free or not; see `driver.Scheduler`."""

    def __init__(self, max_batch_rows: int) -> None:
        self._max_batch_rows = max_batch_rows
        self._queued: deque[Entry[Request]] = deque()
        self._rows = 0
        self._is_free = True

    @property
    def _is_full(self) -> bool:
        return self._rows >= self._max_batch_rows

    def offer(self, *entries: Entry[Request]) -> None:
        """Queue them; nothing is ever refused."""
        self._queued.extend(entries)
        self._rows += sum(entry.rows for entry in entries)

    def expire(self, now: float) -> list[Entry[Request]]:  # noqa: ARG002  # they have no deadlines
        """Nobody is sent away."""
        return []

    def finish(self, batch: Formed, backend_s: float | None) -> None:  # noqa: ARG002  # some learn
        """The device is free."""
        self._is_free = True

    def give_up(self, batch: Formed, now: float) -> None:  # noqa: ARG002  # as `finish`
        """The device is free."""
        self.finish(batch, None)

    def _form(self, now: float) -> Formed:
        """The longest prefix that fits; the device is busy now."""
        taken = [self._pop()]
        rows = taken[0].rows
        while self._queued and rows + self._queued[0].rows <= self._max_batch_rows:
            taken.append(self._pop())
            rows += taken[-1].rows
        return self._send(taken, now)

    def _pop(self) -> Entry[Request]:
        entry = self._queued.popleft()
        self._rows -= entry.rows
        return entry

    def _send(self, entries: list[Entry[Request]], now: float) -> Formed:
        self._is_free = False
        return Formed(entries, now)


class OldestWaits(_Queue):
    """A batch leaves when the device is free and its oldest request has waited `wait_s`."""

    def __init__(self, max_batch_rows: int, wait_s: float) -> None:
        super().__init__(max_batch_rows)
        self._wait_s = wait_s

    def take(self, now: float) -> Formed | None:
        """See `driver.Scheduler`."""
        if not (self._is_free and self._queued):
            return None
        return self._form(now) if self._is_full or self._due_at <= now else None

    def wake_at(self) -> float | None:
        """See `driver.Scheduler`."""
        return self._due_at if self._is_free and self._queued else None

    @property
    def _due_at(self) -> float:
        return self._queued[0].arrived + self._wait_s


class WindowFromReceive(_Queue):
    """A free device waits for the first request, and then `wait_s` more, however long it was queued."""

    def __init__(self, max_batch_rows: int, wait_s: float) -> None:
        super().__init__(max_batch_rows)
        self._wait_s = wait_s
        self._closes_at: float | None = None

    def take(self, now: float) -> Formed | None:
        """See `driver.Scheduler`."""
        if not (self._is_free and self._queued):
            return None
        if self._closes_at is None:
            self._closes_at = now + self._wait_s
        if not self._is_full and now < self._closes_at:
            return None
        self._closes_at = None
        return self._form(now)

    def wake_at(self) -> float | None:
        """See `driver.Scheduler`."""
        return self._closes_at


class WindowFromIdle(_Queue):
    """A free device opens one window of `wait_s` after the other; what came in one leaves at its end."""

    def __init__(self, max_batch_rows: int, wait_s: float) -> None:
        super().__init__(max_batch_rows)
        self._wait_s = wait_s
        self._opened_at = 0.0

    def take(self, now: float) -> Formed | None:
        """See `driver.Scheduler`."""
        if not (self._is_free and self._queued):
            return None
        return self._form(now) if self._is_full or self._closes_at <= now else None

    def finish(self, batch: Formed, backend_s: float | None) -> None:
        """The device is free, and the first window opens."""
        super().finish(batch, backend_s)
        self._opened_at = batch.left_at + (backend_s or 0.0)

    def wake_at(self) -> float | None:
        """See `driver.Scheduler`."""
        return self._closes_at if self._is_free and self._queued else None

    @property
    def _closes_at(self) -> float:
        """The end of the window in which the oldest arrived, or of the first, if it came before that."""
        whole = max(0, math.floor((self._queued[0].arrived - self._opened_at) / self._wait_s))
        return self._opened_at + (whole + 1) * self._wait_s


class FormEarly(_Queue):
    """Batches close by their own clock and queue for the device: nobody joins one that waits there."""

    def __init__(self, max_batch_rows: int, wait_s: float) -> None:
        super().__init__(max_batch_rows)
        self._wait_s = wait_s
        self._formed: deque[list[Entry[Request]]] = deque()

    def offer(self, *entries: Entry[Request]) -> None:
        """Add them to the batch that is forming, or to a next one."""
        for entry in entries:
            if self._queued and self._rows + entry.rows > self._max_batch_rows:
                self._close()
            super().offer(entry)
            if self._is_full:
                self._close()

    def take(self, now: float) -> Formed | None:
        """See `driver.Scheduler`."""
        if self._queued and self._closes_at <= now:
            self._close()
        return self._send(self._formed.popleft(), now) if self._is_free and self._formed else None

    def wake_at(self) -> float | None:
        """See `driver.Scheduler`."""
        return self._closes_at if self._queued else None

    @property
    def _closes_at(self) -> float:
        return self._queued[0].arrived + self._wait_s

    def _close(self) -> None:
        self._formed.append(list(self._queued))
        self._queued.clear()
        self._rows = 0


class Cork(_Queue):
    """Learns a fixed and a per-request cost, and how long the oldest waits on average.

    While n requests wait, the youngest since `w`, it holds them for another tick as long as
    n · (w + tick + cost per request) is at most 0.95 of that average wait. Until it has learnt, it
    holds nobody. Shedding at `max_latency_s` is left out: at 60 s, its default, none happens here.
    """

    _TICK_S = 0.001
    _KEPT = 50
    _REFIT_S = 5.0
    _PATIENCE_RATIO = 0.95

    def __init__(self, max_batch_rows: int) -> None:
        super().__init__(max_batch_rows)
        self._samples: deque[tuple[int, float, float]] = deque(maxlen=self._KEPT)
        self._per_request_s = 0.0
        self._mean_wait_s = 0.0
        self._fitted_at = -math.inf
        self._look_at: float | None = None

    def take(self, now: float) -> Formed | None:
        """See `driver.Scheduler`."""
        if not (self._is_free and self._queued):
            return None
        if self._look_at is not None and now < self._look_at:
            return None
        self._look_at = None
        if not self._is_full and self._holds(now):
            self._look_at = now + self._TICK_S
            return None
        return self._form(now)

    def finish(self, batch: Formed, backend_s: float | None) -> None:
        """Learn from it."""
        super().finish(batch, backend_s)
        if backend_s is None:
            return
        self._samples.append(
            (len(batch.entries), backend_s, batch.left_at - batch.entries[0].arrived)
        )
        if batch.left_at + backend_s - self._fitted_at >= self._REFIT_S:
            self._fitted_at = batch.left_at + backend_s
            self._fit()

    def wake_at(self) -> float | None:
        """See `driver.Scheduler`."""
        return self._look_at

    def _holds(self, now: float) -> bool:
        youngest_s = now - self._queued[-1].arrived
        cost_s = len(self._queued) * (youngest_s + self._TICK_S + self._per_request_s)
        return cost_s <= self._PATIENCE_RATIO * self._mean_wait_s

    def _fit(self) -> None:
        sizes = [float(size) for size, _, _ in self._samples]
        self._mean_wait_s = sum(wait_s for _, _, wait_s in self._samples) / len(self._samples)
        if len(set(sizes)) > 1:
            slope = linear_regression(sizes, [seconds for _, seconds, _ in self._samples]).slope
            self._per_request_s = max(slope, 0.0)
