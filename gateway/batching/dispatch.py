"""When do batches run, and who tells their callers?

The asyncio shell around `plan.Plan`: batches become tasks, `wake_at` becomes a timer, and everything
that ends, ends for its callers. All decisions are the plan's.

How it works. `_advance` is the heart: send what is ready, end what is overdue, set the timer. It
runs when the timer fires, when a batch ends, and once per loop iteration in which requests arrived
while a slot was free, so that those which arrive together leave together.

When an answer comes, the next batch is on its way before the callers of the last one are woken: what
they do next costs the backend no time. Where it is the gateway that is short of time, not the backend, the
next batch is bound when there is nothing else to do (`lull.py`).
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Callable, Iterable
from functools import partial

from gateway.batching.endings import blaming_nobody, report, tell, why_expired
from gateway.batching.entry import Batch, Entry
from gateway.batching.flight import Caller, Flight, RunBatch, own_copy
from gateway.batching.limits import BatchLimits, Lease, SharedSlots
from gateway.batching.lull import Lull
from gateway.batching.plan import Plan
from gateway.batching.pressure import Pressure
from gateway.batching.record import BatchObserver, QueueStatistics
from gateway.batching.retries import RetryBudget
from gateway.errors import BackendUnavailable, DeadlineExceeded, GatewayError, NotReady
from gateway.messages import Served

_TICK_S = 0.001  # uvloop's timers count milliseconds: a shorter one would fire at once, in vain


class Dispatcher:
    """Runs the batches of one arm. The arguments are those of `BatchQueue`."""

    # Invariants, between any two awaits:
    # - A batch that holds a slot is in `_flights`, and leaves both by `_end` alone.
    # - If something will be due, a timer fires no later than that, or `_advance` is scheduled.
    # - Before `serve` runs and after it ended there are no slots.

    def __init__(
        self,
        name: str,
        limits: BatchLimits,
        run_batch: RunBatch,
        observe: BatchObserver,
        *,
        clock: Callable[[], float],
        cpu_clock: Callable[[], float],
        lease: Lease | None = None,
    ) -> None:
        slots = None if lease is None else SharedSlots(limits.max_in_flight, lease)
        if slots is not None:
            slots.on_turn = self._on_turn
        self.plan: Plan[Caller] = Plan(limits, slots)
        self.plan.slots.max_in_flight = 0
        self._name = name
        self._limits = limits
        self._run_batch = run_batch
        self._observe = observe
        self._clock = clock
        self._cpu_clock = cpu_clock
        # Batches run in the context of the queue, not of the caller that happened to start them.
        self._context = contextvars.copy_context()
        self._retries = RetryBudget()
        self._pressure = Pressure()
        self._lull = Lull()
        self._flights: dict[Batch[Caller], tuple[Flight, asyncio.Task[None]]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._is_scheduled = False
        self._is_closed = False
        self._drained = asyncio.Event()
        self._accepted = self._answered = self._failed = self._expired = self._left = 0

    @property
    def state(self) -> str:
        """`open` or `closed`, to newcomers."""
        return "closed" if self._is_closed else "open"

    def statistics(self) -> QueueStatistics:
        """See `BatchQueue.statistics`."""
        return QueueStatistics(
            queued_requests=self.plan.queued_requests,
            queued_rows=self.plan.queued_rows,
            in_flight=self.plan.slots.in_flight,
            accepted=self._accepted,
            answered=self._answered,
            failed=self._failed,
            expired=self._expired,
            left=self._left,
        )

    async def serve(self) -> None:
        """See `BatchQueue.serve`."""
        try:
            async with asyncio.TaskGroup() as self._group:
                self.plan.slots.max_in_flight = self.plan.in_flight.limit
                self._schedule()
                try:
                    await self._drained.wait()
                finally:
                    self.plan.slots.max_in_flight = 0
        finally:
            self._stop()

    def close(self) -> None:
        """See `BatchQueue.close`."""
        self._is_closed = True
        self.plan.hurry()
        self._schedule()

    def offer(self, *entries: Entry[Caller]) -> None:
        """Accept a request, or all pieces of one, or nothing.

        Raises:
            NotReady: closed.
            QueueFull: not all rows fit.
            DeadlineTooNear, WouldBeLate: it cannot be answered in time.
        """
        if self._is_closed:
            raise NotReady(f"{self._name}: takes no more requests")
        self.plan.offer(*entries)
        self._accepted += len(entries)
        if self.plan.slots.has_room:
            self._schedule()
        elif entries[0].deadline < self._timer_at:
            self._set_timer(entries[0].arrived)

    def leave(self, entry: Entry[Caller]) -> None:
        """Forget a caller that was cancelled. Nothing is to be done for one whose entry has ended."""
        if self.plan.cancel(entry.id):
            self._left += 1
            self._give_up_if_last(entry, "caller_left")

    # Time passes.

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            if self._pressure.is_high:
                self._lull.await_from(self._clock(), self._accepted)
            asyncio.get_running_loop().call_soon(self._on_schedule, context=self._context)

    def _on_schedule(self) -> None:
        if self._pressure.is_high and self._has_more_to_read():
            asyncio.get_running_loop().call_soon(self._on_schedule, context=self._context)
        else:
            self._is_scheduled = False
            self._advance()

    def _has_more_to_read(self) -> bool:
        lull = self._lull
        if self._is_closed or lull.is_here(self._clock(), self._accepted):
            return False
        return not self.plan.is_urgent(lull.until)

    def _on_turn(self) -> None:
        self._context.run(self._advance)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self._advance()

    def _advance(self) -> None:
        now = self._clock()
        while (batch := self.plan.take(now)) is not None:
            self._launch(batch)
        for entry in self.plan.expire(now):
            self._expire(entry, now)
        self._set_timer(now)
        if self._is_closed and self.plan.is_idle:
            self._drained.set()

    def _set_timer(self, now: float) -> None:
        when = self.plan.wake_at()
        if when is None or when >= self._timer_at:
            return  # a timer that is too early finds nothing to do, and sets the next
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        at = loop.time() + max(when - now, _TICK_S)
        self._timer_at = when
        self._timer = loop.call_at(at, self._on_timer, context=self._context)

    def _expire(self, entry: Entry[Caller], now: float) -> None:
        error = DeadlineExceeded(f"{self._name}: {why_expired(entry, now)}")
        if entry.slot.answer.done():
            self._left += 1
        else:
            self._expired += 1
            tell(entry, error)
        self._give_up_if_last(entry, "deadline")

    def _give_up_if_last(self, entry: Entry[Caller], why: str) -> None:
        if entry.batch is not None and not entry.batch.waiting:
            flight, task = self._flights[entry.batch]
            flight.given_up = why
            task.cancel()

    # A batch leaves, and ends.

    def _launch(self, batch: Batch[Caller]) -> None:
        assert self._group is not None, "there is no slot before `serve`"
        flight = Flight(batch)
        task = self._group.create_task(self._fly(flight))
        self._flights[batch] = (flight, task)
        task.add_done_callback(partial(self._on_task_done, flight))

    async def _fly(self, flight: Flight) -> None:
        for entry in flight.batch.entries:
            if entry.slot.answer.cancelled():
                self.leave(entry)  # its caller would do so when it runs next: too late
        entries = self.plan.still_waiting(flight.batch)
        if entries:
            await flight.run(entries, self._run_batch, self._clock)
            self._end(flight)

    def _on_task_done(self, flight: Flight, _task: asyncio.Task[None]) -> None:
        """End a flight that was cancelled, maybe before the first step of its task."""
        if flight.batch not in self._flights:
            return
        if self.plan.slots.max_in_flight:
            flight.error = BackendUnavailable(f"{self._name}: the call was cancelled")
        else:
            flight.error = NotReady(f"{self._name}: stopped while the request was in flight")
        self._end(flight)

    def _end(self, flight: Flight) -> None:
        del self._flights[flight.batch]
        waiting = self.plan.still_waiting(flight.batch)
        if flight.was_refused_together:
            flight.halved = self._retries.spend()
            flight.error = flight.error if flight.halved else blaming_nobody(flight)
        if flight.halved:
            self.plan.halve(flight.batch)
        elif flight.is_overdue:
            self.plan.give_up(flight.batch, self._clock())
        elif flight.error:
            self.plan.finish(flight.batch, None)
        else:
            self._finish(flight.batch, flight.backend_s)
        if self._pressure.is_high:
            self._schedule()
        else:
            self._advance()
        loop = asyncio.get_running_loop()
        if flight.error is None:
            # Behind the first step of the next batch's task, which is what sends it.
            loop.call_soon(self._answer, waiting, flight.served(waiting), context=self._context)
        elif not flight.halved:
            self._fail(waiting, flight.error)
        record = flight.record(self._clock())
        loop.call_soon(self._observe, record, context=self._context)

    def _finish(self, batch: Batch[Caller], backend_s: float | None) -> None:
        now = self._clock()
        self._retries.note_answer(len(batch.entries))
        self.plan.patience.is_pressed = self._pressure.note(now, self._cpu_clock())
        self.plan.finish(batch, backend_s, now)

    def _answer(self, entries: list[Entry[Caller]], answers: list[Served]) -> None:
        for entry, served in zip(entries, answers, strict=True):
            if entry.slot.answer.done():  # cancelled, and its caller has not run yet
                self._left += 1
            else:
                self._answered += 1
                try:
                    entry.slot.answer.set_result(served)
                except Exception as bug:  # noqa: BLE001  # the others are still to be told
                    report(bug)

    def _fail(self, entries: Iterable[Entry[Caller]], error: GatewayError) -> None:
        for entry in entries:
            if entry.slot.answer.done():
                self._left += 1
            else:
                self._failed += 1
                tell(entry, own_copy(error))

    def _stop(self) -> None:
        """Leave nobody waiting, whatever ended `serve`."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._fail(self.plan.expire(math.inf), NotReady(f"{self._name}: stopped"))
