"""What happens when workers die, and when packages fail?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from gateway.errors import (
    BackendRefused,
    BackendUnavailable,
    NotReady,
)
from serving.torch_server.frames import Frame
from serving.torch_server.package import PackageRefused
from serving.torch_server.pool import pause_s
from tests.batching.virtual_time import run, settle
from tests.serving.torch_server.fakes import FakeWorkers, load_well
from tests.serving.torch_server.pools import (
    ask,
    asking,
    first_value,
    make_pool,
)


def test_a_crash_fails_its_batch_alone_and_the_queue_goes_on_with_a_new_worker() -> None:
    async def main() -> None:
        workers = FakeWorkers()
        pool = make_pool(workers)
        async with pool.running(), asking(pool, 0.0) as served, asking(pool, 1.0, 2.0) as tasks:
            workers.busy[0].finish()
            await settle()
            await served[0]
            workers.busy[0].die()
            await settle()
            lost = await tasks[0]
            assert isinstance(lost, BackendUnavailable)
            assert (
                "mlp/1: the worker that ran this batch died of SIGSEGV. The failure is the server's"
                in str(lost)
            )
            workers.busy[0].finish()
            assert await first_value(tasks[1]) == 2
            assert pool.restarts == 1
            assert len(workers.starts) == 2

    run(main)


def test_a_worker_that_died_idle_is_not_asked() -> None:
    async def main() -> None:
        workers = FakeWorkers()
        pool = make_pool(workers)
        async with pool.running():
            await settle()
            workers.living[0].die()
            async with asking(pool, 1.0) as (task,):
                workers.busy[0].finish()
                assert await first_value(task) == 1

    run(main)


def test_workers_that_never_answer_are_started_ever_more_seldom() -> None:
    async def main() -> None:
        workers = FakeWorkers()
        pool = make_pool(workers)
        async with pool.running():
            await settle()
            workers.dies_loading = True
            workers.living[0].die()
            await asyncio.sleep(5.0)
            gaps = np.diff(workers.starts).round(1).tolist()
            assert gaps == [0.0, 0.5, 1.0, 2.0]
            with pytest.raises(NotReady, match="died of SIGSEGV while it loaded"):
                await ask(pool, 0.0)
            workers.dies_loading = False
            await asyncio.sleep(5.0)
            assert pool.workers == 1

    run(main)


def test_pauses_double_up_to_half_a_minute() -> None:
    assert [pause_s(failures) for failures in range(6)] == [0.0, 0.0, 0.5, 1.0, 2.0, 4.0]
    assert pause_s(10_000) == 30.0


def test_a_package_that_fails_on_a_batch_says_why() -> None:
    async def main() -> None:
        workers = FakeWorkers()
        pool = make_pool(workers)
        async with pool.running(), asking(pool, 0.0) as (task,):
            workers.busy[0].finish(Frame("failed", {"reason": "no such index"}))
            refused = await task
            assert isinstance(refused, BackendRefused)
            assert "the package of mlp/1 failed: no such index" in str(refused)

    run(main)


def refuses(frame: Frame) -> Frame:
    assert frame.kind == "load"
    return Frame("refused", {"kind": "integrity", "reason": "sha256 differs"})


def fails_on_zeros(frame: Frame) -> Frame:
    return Frame("failed", {"reason": "no zeros"}) if frame.tensors else load_well(frame)


def answers_nonsense(frame: Frame) -> Frame:
    return Frame("answer", {}, (np.zeros(3),)) if frame.tensors else load_well(frame)


@pytest.mark.parametrize(
    ("at_load", "reason", "words"),
    [
        (None, "died", "died of SIGSEGV while it loaded the package"),
        (refuses, "integrity", "sha256 differs"),
        (fails_on_zeros, "contract", r"failed on zeros of \[\[1, 4\]\]: no zeros"),
        (answers_nonsense, "contract", "FP64"),
    ],
)
def test_a_package_that_does_not_load_and_warm_is_refused(
    at_load: Callable[[Frame], Frame] | None, reason: str, words: str
) -> None:
    async def main() -> None:
        workers = FakeWorkers()
        workers.dies_loading = at_load is None
        workers.at_load = at_load or load_well
        with pytest.raises(PackageRefused, match=words) as caught:
            async with make_pool(workers).running():
                pytest.fail("it must not be ready")
        assert caught.value.reason == reason
        assert workers.living == []
        assert len(workers.starts) == 1

    run(main)
