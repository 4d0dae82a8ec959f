"""What do SIGTERM and SIGINT mean to a process that serves? The first one: finish. The second: at once."""

from __future__ import annotations

import asyncio
import signal

__all__ = ["stop_asked"]


def stop_asked() -> asyncio.Event:
    """An event that the first signal sets; a second one cancels the task that is running now."""
    asked = asyncio.Event()
    task = asyncio.current_task()
    assert task is not None, "a coroutine that runs has a task"

    def on_signal() -> None:
        if asked.is_set():
            task.cancel()
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return asked
