"""Workers share an arm's slots: never more than there are, nobody forgotten, one after the other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.workers.leases import FileLocks
from gateway.workers.turns import MAX_WORKERS, Locks, Turns


class Memory:
    """Locks of several workers, without a kernel; `between` runs before each operation on them."""

    def __init__(self) -> None:
        self.owners: dict[int, int] = {}
        self.between: Callable[[int], None] = lambda _: None

    def of(self, number: int) -> Locks:
        return _Seen(self, number)


class _Seen:
    """The locks as one worker sees them."""

    def __init__(self, memory: Memory, number: int) -> None:
        self._memory, self._number = memory, number

    def take(self, at: int) -> bool:
        self._memory.between(self._number)
        return self._memory.owners.setdefault(at, self._number) == self._number

    def free(self, at: int) -> None:
        self._memory.between(self._number)
        del self._memory.owners[at]

    def first_taken(self, start: int, end: int) -> int | None:
        self._memory.between(self._number)
        owners = self._memory.owners
        return min(
            (at for at in owners if start <= at < end and owners[at] != self._number), default=None
        )


class Worker:
    """What a worker's batching does with its turns: it has so much to send, and so much in flight."""

    def __init__(self, locks: Locks, number: int, call: Callable[[int], None]) -> None:
        self.turns = Turns(locks, 0, number, call=call)
        self.queued = 0
        self.is_marked = False  # waits to be called, as `SharedSlots` does
        self.is_busy = False

    def send(self, limit: int) -> None:
        while self.queued and not self.is_marked:
            if not self.turns.take(limit):
                self.is_marked = True
                return
            self.queued -= 1


class Sharing(RuleBasedStateMachine):
    """Any number of workers, slots, arrivals, departures, calls and deaths, in any order.

    With `amid`, other workers act between two operations of one that is acting, as processes do.
    """

    @initialize(workers=st.integers(2, 4), limit=st.integers(1, 3), amid=st.data())
    def begin(self, workers: int, limit: int, amid: st.DataObject) -> None:
        self.memory, self.limit, self.amid = Memory(), limit, amid
        self.calls: set[int] = set()
        self.depth = 0
        self.workers = [self.made(number) for number in range(workers)]
        self.memory.between = self.interrupt

    def made(self, number: int) -> Worker:
        return Worker(self.memory.of(number), number, self.calls.add)

    def interrupt(self, number: int) -> None:
        """Perhaps let another worker act now, which may be interrupted in its turn."""
        if self.depth >= 2 or not self.amid.draw(st.sampled_from([False, False, False, True])):
            return
        idle = [n for n, worker in enumerate(self.workers) if n != number and not worker.is_busy]
        if idle:
            self.act(self.amid.draw(st.sampled_from(idle)), self.amid.draw(st.integers(0, 2)))

    def act(self, number: int, kind: int) -> None:
        worker = self.workers[number]
        if worker.is_busy:
            return
        worker.is_busy = True
        self.depth += 1
        try:
            (self.arrive, self.finish, self.answer_call)[kind](worker, number)
        finally:
            self.depth -= 1
            worker.is_busy = False

    def arrive(self, worker: Worker, _: int) -> None:
        worker.queued += 1
        worker.send(self.limit)

    def finish(self, worker: Worker, number: int) -> None:
        if worker.turns.held:
            if worker.turns.give_back():
                self.calls.add(number)
            worker.send(self.limit)

    def answer_call(self, worker: Worker, number: int) -> None:
        if number in self.calls:
            self.calls.discard(number)
            if worker.is_marked:
                worker.is_marked = False
                worker.turns.turn(self.limit, lambda: worker.send(self.limit))

    @rule(number=st.integers(0, 3), kind=st.integers(0, 2))
    def any_worker_acts(self, number: int, kind: int) -> None:
        self.act(number % len(self.workers), kind)

    @rule(number=st.integers(0, 3))
    def callers_leave(self, number: int) -> None:
        self.workers[number % len(self.workers)].queued = 0

    @rule(number=st.integers(0, 3))
    def a_worker_dies(self, number: int) -> None:
        """The kernel frees what it held, and the supervisor rings for everybody."""
        number %= len(self.workers)
        owners = self.memory.owners
        for at in [at for at, owner in owners.items() if owner == number]:
            del owners[at]
        self.workers[number] = self.made(number)
        self.calls |= set(range(len(self.workers)))

    @invariant()
    def no_slot_is_given_twice(self) -> None:
        if hasattr(self, "workers"):
            slots = [at for at in self.memory.owners if at >= MAX_WORKERS]
            assert len(slots) == sum(worker.turns.held for worker in self.workers) <= self.limit

    @rule()
    def when_all_calls_are_heard_nobody_waits_in_vain(self) -> None:
        self.memory.between = lambda _: None
        while self.calls:
            number = min(self.calls)
            self.answer_call(self.workers[number], number)
        self.memory.between = self.interrupt
        if sum(worker.turns.held for worker in self.workers) < self.limit:
            assert not any(worker.queued for worker in self.workers)


TestSharing = Sharing.TestCase


@given(st.integers(2, 5))
def test_with_one_slot_the_workers_take_turns(count: int) -> None:
    """Each gathers while all the others are served, so that its batch is as large as one worker's."""
    memory = Memory()
    called: list[int] = []
    workers = [Worker(memory.of(n), n, called.append) for n in range(count)]
    for worker in workers:
        worker.queued = 100
        worker.send(1)
    order = []
    for _ in range(3 * count):
        (holder,) = [n for n, worker in enumerate(workers) if worker.turns.held]
        order.append(holder)
        workers[holder].turns.give_back()
        workers[holder].is_marked = False
        workers[holder].send(1)
        (number,) = set(called)
        called.clear()
        workers[number].is_marked = False
        workers[number].turns.turn(1, lambda number=number: workers[number].send(1))  # type: ignore[misc]
    assert order == [n % count for n in range(3 * count)]


# The kernel's locks, of real processes.

OTHER = """
import sys
from gateway.workers.leases import FileLocks
locks = FileLocks(int(sys.argv[1]))
for line in sys.stdin:
    what, *numbers = line.split()
    print(getattr(locks, what)(*map(int, numbers)), flush=True)
"""


class Other:
    """A process with the same locks, which does what it is told."""

    def __init__(self, descriptor: int, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OTHER, str(descriptor)],
            cwd=root,
            pass_fds=[descriptor],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *asked: object) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(" ".join(map(str, asked)) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def shared(root: Path) -> Iterator[tuple[FileLocks, Other]]:
    descriptor = os.memfd_create("locks")
    other = Other(descriptor, root)
    try:
        yield FileLocks(descriptor), other
    finally:
        other.kill()
        os.close(descriptor)


def test_a_lock_that_another_process_has_is_not_to_be_had(
    shared: tuple[FileLocks, Other],
) -> None:
    ours, other = shared
    assert other("take", 5) == "True"
    assert not ours.take(5)
    assert ours.take(6)
    assert other("take", 6) == "False"
    assert other("free", 5) == "None"
    assert ours.take(5)


def test_the_first_that_another_has_is_told_whatever_the_order_they_were_taken_in(
    shared: tuple[FileLocks, Other],
) -> None:
    ours, other = shared
    for at in (9, 2, 7):
        other("take", at)
    ours.take(4)
    assert ours.first_taken(0, 20) == 2
    assert ours.first_taken(3, 20) == 7
    assert ours.first_taken(3, 7) is None
    assert ours.first_taken(8, 8) is None
    assert other("first_taken", 0, 20) == "4"


def test_the_locks_of_a_process_that_dies_are_free(shared: tuple[FileLocks, Other]) -> None:
    ours, other = shared
    other("take", 5)
    other.kill()
    assert ours.take(5)
    assert ours.first_taken(0, 20) is None


def test_locks_far_out_are_as_good(shared: tuple[FileLocks, Other]) -> None:
    """An arm's are where a hash of its name says."""
    ours, other = shared
    far = (2**54 - 1) * 256 + 255
    assert other("take", far) == "True"
    assert not ours.take(far)
    assert ours.first_taken(far - 255, far + 1) == far
