"""How do requests wait, leave, and end?"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import (
    DeadlineExceeded,
    NotReady,
    QueueFull,
)
from gateway.messages import Deadline
from serving.torch_server.pool import Answer, Pool
from tests.batching.virtual_time import run, settle
from tests.serving.torch_server.fakes import FakeWorkers, settings
from tests.serving.torch_server.pools import (
    Asked,
    ask,
    ask_forgiving,
    asking,
    first_value,
    make_pool,
)


def test_a_batch_comes_back_with_its_time() -> None:
    async def main() -> None:
        workers = FakeWorkers()
        pool = make_pool(workers)
        async with pool.running(), asking(pool, 7.0) as (task,):
            workers.busy[0].finish()
            answer = await task
        assert isinstance(answer, Answer)
        assert (answer.run_ms, answer.queue_s) == (2.0, 0.0)
        assert answer.outputs[0].tolist() == [[7.0] * 3] * 2
        assert workers.living == []

    run(main)


def test_batches_wait_in_order_for_the_next_idle_worker() -> None:
    async def main() -> None:
        workers = FakeWorkers()
        pool = make_pool(workers, settings(runners=2))
        async with pool.running():
            await settle()
            async with asking(pool, 0.0, 1.0, 2.0, 3.0) as tasks:
                assert "2 queued, 2 in flight, 2 of 2 workers" in repr(pool)
                for _ in tasks:
                    workers.busy[0].finish()
                    await settle()
                assert [frame.tensors[0][0, 0] for frame in workers.started] == [0, 1, 2, 3]
                values = [await first_value(task) for task in tasks]
                assert values == [0, 1, 2, 3]

    run(main)


def test_a_full_queue_rejects_at_once() -> None:
    async def main() -> None:
        workers = FakeWorkers()
        pool = make_pool(workers, settings(max_queued=2))
        async with pool.running(), asking(pool, 0.0, 1.0, 2.0):
            with pytest.raises(QueueFull, match="2 requests are queued, at most 2 may be"):
                await ask(pool, 3.0)
            workers.busy[0].finish()
            async with asking(pool, 4.0):
                assert pool.queued == 2

    run(main)


def test_who_leaves_the_queue_is_never_sent() -> None:
    async def main() -> None:
        workers = FakeWorkers()
        pool = make_pool(workers)
        async with pool.running(), asking(pool, 0.0, 1.0, 2.0) as tasks:
            tasks[1].cancel()
            workers.busy[0].finish()  # in the same breath: the leaver has not run yet
            await settle()
            workers.busy[0].finish()
            await settle()
            assert [frame.tensors[0][0, 0] for frame in workers.started] == [0, 2]
            assert pool.queued == 0

    run(main)


def test_who_leaves_in_flight_frees_the_worker_only_when_it_has_finished() -> None:
    async def main() -> None:
        workers = FakeWorkers()
        pool = make_pool(workers)
        async with pool.running(), asking(pool, 0.0, 1.0) as tasks:
            tasks[0].cancel()
            await settle()
            assert (pool.queued, pool.in_flight) == (1, 1)
            workers.busy[0].finish()
            await settle()
            workers.busy[0].finish()
            assert await first_value(tasks[1]) == 1

    run(main)


@pytest.mark.parametrize(("ahead", "stage"), [(0, "in flight"), (1, "queued")])
def test_a_deadline_that_passes_says_where(ahead: int, stage: str) -> None:
    async def main() -> None:
        workers = FakeWorkers()
        pool = make_pool(workers)
        async with pool.running(), asking(pool, *range(ahead)):
            deadline = Deadline.after(asyncio.get_running_loop().time(), 5.0)
            with pytest.raises(DeadlineExceeded, match=rf"after 5\.\d+ s, {stage}"):
                await ask(pool, 9.0, deadline)
            assert pool.queued == 0

    run(main)


def test_a_drain_waits_for_what_is_queued_and_in_flight_but_not_for_ever() -> None:
    async def main() -> None:
        workers = FakeWorkers()
        pool = make_pool(workers)
        async with pool.running(), asking(pool, 0.0, 1.0) as tasks:
            assert not await pool.drained(1.0)
            async with asyncio.TaskGroup() as group:
                drained = group.create_task(pool.drained(10.0))
                for _ in tasks:
                    await settle()
                    assert not drained.done()
                    workers.busy[0].finish()
            assert drained.result()
            assert await pool.drained(0.0)

    run(main)


def test_what_is_still_queued_at_the_end_is_told_so() -> None:
    async def main() -> None:
        pool = make_pool(FakeWorkers())
        async with asyncio.TaskGroup() as group:
            async with pool.running():
                tasks = [group.create_task(ask_forgiving(pool, value)) for value in (0.0, 1.0)]
                await settle()
            await settle()
            assert isinstance(await tasks[1], NotReady)
            tasks[0].cancel()  # the fake, unlike a process, does not tell that it was ended

    run(main)


STEPS = st.lists(st.sampled_from(["ask", "leave", "finish", "die", "wait"]), max_size=40)


@given(STEPS, st.integers(1, 3), st.integers(1, 3))
@example(["ask", "wait", "leave", "wait"], 1, 1)
@example(["ask", "wait", "leave", "wait", "die"], 1, 1)  # nothing runs after the worker died
def test_every_request_ends_and_no_worker_idles_while_one_waits(
    steps: list[str], runners: int, max_queued: int
) -> None:
    async def main() -> None:
        workers = FakeWorkers()
        pool = make_pool(workers, settings(runners, max_queued))
        async with asyncio.TaskGroup() as group, pool.running():
            await settle()
            tasks: list[Asked] = []
            for number, step in enumerate(steps):
                await _act(step, number, pool, (workers, group, tasks))
                assert pool.queued <= max_queued
                idle = len(workers.living) - len(workers.busy)
                assert not (pool.queued and idle and step == "wait")
            while workers.busy or any(not task.done() for task in tasks):
                for worker in workers.busy:
                    worker.finish()
                await asyncio.sleep(60.0)
            assert await pool.drained(0.0)
            await settle()  # a worker that died in the last step is missed only now
            assert (pool.queued, pool.in_flight) == (0, 0)

    run(main)


async def _act(
    step: str,
    number: int,
    pool: Pool,
    world: tuple[FakeWorkers, asyncio.TaskGroup, list[Asked]],
) -> None:
    workers, group, tasks = world
    if step == "ask":
        tasks.append(group.create_task(ask_forgiving(pool, float(number))))
    elif step == "leave" and tasks:
        tasks[number % len(tasks)].cancel()
    elif step == "finish" and workers.busy:
        workers.busy[0].finish()
    elif step == "die" and workers.living:
        workers.living[number % len(workers.living)].die()
    elif step == "wait":
        await asyncio.sleep(60.0)
