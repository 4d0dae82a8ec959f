"""A child process on the event loop: its end, and what it writes.

It is started in one step that cannot be cancelled half-way, so there is always somebody to end it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from serving.torch_server.logs import log

__all__ = ["Child"]

_READ_BYTES = 1 << 16
_MAX_LINE_BYTES = 4096
_MAX_LOGGED_LINES = 200


class Child:
    """The process. What it writes becomes log lines, and its last words tell why it died.

    Attributes:
        on_end: Called once, when it has ended.

    Invariants: once `_ended` is set, the process is reaped, all it wrote was read, and no reader is left.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], *, env: Mapping[str, str], pass_fd: int
    ) -> None:
        self.on_end: Callable[[], None] = _do_nothing
        self._name = name
        self._partial = b""
        self._last_lines: deque[str] = deque(maxlen=3)
        self._logged = 0
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            pass_fds=(pass_fd,),
            start_new_session=True,  # Ctrl-C is for the server, which ends its workers itself
            bufsize=0,
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        os.set_blocking(self._output, False)
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._output, self._read)
        self._loop.add_reader(self._pidfd, self._reap)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def kill(self) -> None:
        """End it now, if it has not ended."""
        self._process.kill()

    async def wait_ended(self, timeout_s: float) -> bool:
        """Wait until it has ended; False if that took too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()
        return self._ended.is_set()

    def describe_end(self) -> str:
        """How it ended, and its last words: `died of SIGABRT (terminate called ...)`."""
        words = f" ({'; '.join(self._last_lines)})" if self._last_lines else ""
        return _describe_status(self._process.poll()) + words

    def close(self) -> None:
        """End it if need be, and let go of it."""
        if self._ended.is_set():
            return
        self.kill()
        # Only an uninterruptible system call keeps a killed process; then it is left to the kernel.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self._reap()

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process.poll()
        self._read()
        self._loop.remove_reader(self._output)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._take_line(self._partial)
        self._ended.set()
        self.on_end()

    def _read(self) -> None:
        try:
            data = os.read(self._output, _READ_BYTES)
        except BlockingIOError:
            return
        if not data:  # it closed its end; left alone, the event loop would call again and again
            self._loop.remove_reader(self._output)
        *lines, self._partial = (self._partial + data).split(b"\n")
        self._partial = self._partial[-_MAX_LINE_BYTES:]
        for line in lines:
            self._take_line(line)

    def _take_line(self, line: bytes) -> None:
        text = line[:_MAX_LINE_BYTES].decode(errors="replace").strip()
        if not text:
            return
        self._last_lines.append(text[:200])
        self._logged += 1
        if self._logged <= _MAX_LOGGED_LINES:
            log("worker_output", worker=self._name, line=text)


def _do_nothing() -> None:
    pass


def _describe_status(status: int | None) -> str:
    if status is None:
        return "hung up"
    if status >= 0:
        return f"exited with status {status}"
    return f"died of {signal.Signals(-status).name}"
