"""What does Ctrl-C mean now? While a command works, give up; while it only stays up, stop; twice, at once.

SIGTERM means the same, so that `kill`, a closed terminal's parent and a CI runner end a command as cleanly.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

__all__ = ["Interrupt", "run_interruptibly"]


class Interrupt:
    """The signals of one command. Invariant: each signal either ends a `wait` or cancels the command."""

    def __init__(self, task: asyncio.Task[int]) -> None:
        self._task = task
        self._waiting: asyncio.Event | None = None

    def on_signal(self) -> None:
        """End the wait, or cancel the command's task; its `finally` blocks clean up."""
        if self._waiting is not None and not self._waiting.is_set():
            self._waiting.set()
        else:
            self._task.cancel()

    async def wait(self) -> None:
        """Stay until the next signal, which then is the regular end and no failure."""
        self._waiting = asyncio.Event()
        await self._waiting.wait()


def run_interruptibly(command: Callable[[Interrupt], Awaitable[int]]) -> int:
    """Run a command on a loop of its own and return its status.

    Raises:
        KeyboardInterrupt: a signal came while it worked; it has cleaned up.
    """
    try:
        return asyncio.run(_run(command))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _run(command: Callable[[Interrupt], Awaitable[int]]) -> int:
    task = asyncio.current_task()
    assert task is not None, "asyncio.run runs a task"
    interrupt = Interrupt(task)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt.on_signal)
    return await command(interrupt)
