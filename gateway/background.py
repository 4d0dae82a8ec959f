"""Which tasks run behind the work of a block, and end with it?"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context
from types import TracebackType
from typing import Any, TypeVar

__all__ = ["BackgroundTasks"]

_T = TypeVar("_T")


class BackgroundTasks(asyncio.TaskGroup):
    """A task group whose tasks run in the background: when its block ends, they are cancelled.

    A task that fails still ends the block with its error, as in any group.
    """

    def __init__(self) -> None:
        super().__init__()
        self._running: set[asyncio.Task[Any]] = set()

    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[_T]:
        """As in any group; the task is cancelled when the block ends."""
        task = super().create_task(coro, name=name, context=context)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def __aexit__(
        self,
        et: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        for task in self._running:
            task.cancel()
        await super().__aexit__(et, exc, tb)
