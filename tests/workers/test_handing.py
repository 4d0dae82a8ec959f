"""Connections go round, pass by a worker that does not read, and outlive one that dies."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import chain

from gateway.workers.handing import Handed, Line, Reception
from tests.fakes.gateways import until


class Bench:
    """Three lines, and how many connections each was handed."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        self.lines = [Line() for _ in range(3)]
        self.handed = [0, 0, 0]
        self.taken: list[list[socket.socket]] = [[], [], []]
        self.clients: list[socket.socket] = []
        self.ends: dict[int, Handed] = {}
        self.reception = Reception(self.listening, self.lines, self._count)
        for line in self.lines:
            line.is_open = True
        self.reception.begin()

    def _count(self, number: int) -> None:
        self.handed[number] += 1

    def connect(self, count: int) -> None:
        for _ in range(count):
            self.clients.append(socket.create_connection(self.listening.getsockname()))

    def work(self, *numbers: int) -> None:
        """These workers read from now on."""
        for number in numbers:
            self.ends[number] = Handed(self.lines[number].far, self.taken[number].append)
            self.ends[number].begin()

    def counts(self) -> list[int]:
        return [len(taken) for taken in self.taken]


@contextmanager
def bench() -> Iterator[Bench]:
    made = Bench()
    try:
        yield made
    finally:
        if made.listening.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(made.listening.fileno())
        for end in made.ends.values():
            end.close()
        for line in made.lines:
            line.close()
        for one in [made.listening, *made.clients, *chain(*made.taken)]:
            one.close()


def run(scenario: Callable[[Bench], Awaitable[None]]) -> None:
    async def whole() -> None:
        with bench() as made:
            await scenario(made)

    asyncio.run(whole())


def test_a_burst_is_spread_evenly() -> None:
    async def scenario(bench: Bench) -> None:
        bench.work(0, 1, 2)
        bench.connect(30)
        await until(lambda: sum(bench.counts()) == 30)
        assert bench.counts() == [10, 10, 10]

    run(scenario)


def test_the_connection_that_arrives_is_the_one_that_was_made() -> None:
    async def scenario(bench: Bench) -> None:
        bench.work(0, 1, 2)
        bench.connect(1)
        await until(lambda: sum(bench.counts()) == 1)
        (taken,) = chain(*bench.taken)
        bench.clients[0].sendall(b"hello")
        assert taken.recv(5) == b"hello"
        assert taken.getpeername() == bench.clients[0].getsockname()

    run(scenario)


def test_a_worker_that_does_not_read_is_passed_by() -> None:
    async def scenario(bench: Bench) -> None:
        bench.work(0, 2)
        for _ in range(20):
            bench.connect(1)
            before = sum(bench.handed)
            await until(lambda before=before: sum(bench.handed) > before)  # type: ignore[misc]
            await until(lambda: sum(bench.counts()) + bench.handed[1] == sum(bench.handed))
        assert bench.handed[1] <= 1
        assert bench.counts()[0] >= 9
        assert bench.counts()[2] >= 9

    run(scenario)


def test_what_a_dead_worker_had_not_read_goes_to_the_others() -> None:
    async def scenario(bench: Bench) -> None:
        bench.work(0, 2)
        bench.connect(12)
        await until(lambda: sum(bench.handed) == 12)
        bench.lines[1].is_open = False
        bench.reception.rehand(bench.lines[1])
        await until(lambda: sum(bench.counts()) == 12)
        assert bench.counts()[1] == 0

    run(scenario)


def test_what_the_only_worker_had_not_read_waits_for_its_successor() -> None:
    async def scenario(bench: Bench) -> None:
        for line in bench.lines[1:]:
            line.is_open = False
        bench.connect(3)
        await until(lambda: sum(bench.handed) == 3)
        bench.lines[0].end()
        bench.reception.rehand(bench.lines[0])
        bench.connect(2)  # nobody is there: they wait in the kernel's queue
        bench.lines[0].is_open = True
        bench.work(0)
        await until(lambda: bench.counts()[0] == 5)
        assert not bench.ends[0].ended.is_set()  # the end was told to the dead one

    run(scenario)


def test_closing_hands_over_what_has_come_and_says_that_it_was_the_last() -> None:
    async def scenario(bench: Bench) -> None:
        bench.connect(6)
        bench.reception.close()
        bench.work(0, 1, 2)
        for end in bench.ends.values():
            await end.ended.wait()
        assert bench.counts() == [2, 2, 2]

    run(scenario)
