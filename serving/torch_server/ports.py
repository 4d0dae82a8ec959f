"""What does a pool need of a worker, be it a process or a test's fake?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

from serving.torch_server.frames import Buffer, Frame

__all__ = ["StartWorker", "Worker", "WorkerLost"]


class WorkerLost(Exception):
    """The worker went away before it answered; `await lost.how()` says how, within a moment."""

    def __init__(self, how: Callable[[], Awaitable[str]]) -> None:
        super().__init__()
        self.how = how


class Worker(Protocol):
    """One worker. It is asked one thing at a time.

    Attributes:
        on_idle: Called when an answer has come, after it was handed over.
        answered: How many answers have come.
    """

    on_idle: Callable[[], None]
    answered: int

    @property
    def is_lost(self) -> bool:
        """Whether it can be asked no more."""
        ...

    async def ask(self, frame: Frame, timeout_s: float) -> Frame:
        """Send a frame and wait for the answer; a worker that takes longer is killed.

        Raises:
            WorkerLost: it went away, or was killed for taking too long.
        """
        ...

    def call(
        self, buffers: Sequence[Buffer], answer: asyncio.Future[Frame], timeout_s: float
    ) -> None:
        """Send a frame without waiting; `answer` gets the answer or WorkerLost, unless it is done by then."""
        ...

    async def wait_gone(self) -> str:
        """Wait until the worker has ended and say how, for example `died of SIGSEGV`."""
        ...


# Starts a worker, and at the end of the block ends it.
StartWorker: TypeAlias = Callable[[], AbstractAsyncContextManager[Worker]]
