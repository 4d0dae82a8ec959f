"""One worker process, as the server sees it: start it, ask it, notice when it is gone.

A frame goes through a socket pair on the event loop. Measured on two cores, there and back: 55 µs for one
row of 16 bytes and 70 µs for 8 KiB in, 48 KiB out, against 100 and 145 µs with a thread per worker. Shared
memory was no faster on such tensors, and 2 ms faster on 19 MB (1 ms against 3), at the price of a protocol
for its reuse.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

from serving.torch_server.frames import BrokenFrame, Buffer, Frame, FrameReader, encode_frame
from serving.torch_server.logs import log
from serving.torch_server.ports import WorkerLost

__all__ = ["WorkerProcess", "start_worker"]

_ROOT = Path(__file__).resolve().parents[2]
_MAX_LINE_BYTES = 4096
_MAX_LOGGED_LINES = 200
_STOP_S = 2.0
_SOCKET_BYTES = 4 << 20

# What a worker needs of the environment; the rest, secrets included, is no business of a package.
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
_PASSED_ON_PREFIXES = ("CUDA_", "NVIDIA_", "OMP_", "KMP_", "MKL_", "GOMP_")


@asynccontextmanager
async def start_worker(name: str, threads: int, scratch: Path) -> AsyncIterator[WorkerProcess]:
    """Start a worker process, and at the end of the block stop it and remove what it unpacked.

    Args:
        name: Model and version, for logs.
        threads: Intra-op threads.
        scratch: A folder; the worker gets one of its own in it.
    """
    ours, theirs = socket.socketpair()
    folder = scratch / f"worker-{theirs.fileno()}-{os.urandom(4).hex()}"
    worker = WorkerProcess(name)
    loop = asyncio.get_running_loop()
    try:
        with theirs:
            folder.mkdir(mode=0o700)
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
            await loop.create_unix_connection(lambda: worker, sock=ours)
            await loop.subprocess_exec(
                lambda: worker.child,
                *(sys.executable, "-m", "serving.torch_server.worker"),
                *(str(theirs.fileno()), str(os.getpid())),
                stdin=subprocess.DEVNULL,
                env=_environment(threads, folder),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        yield worker
    finally:
        try:
            await worker.stop()
        finally:
            ours.close()
            shutil.rmtree(folder, ignore_errors=True)


def _environment(threads: int, folder: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    return kept | {
        "AOTI_RUNTIME_CHECK_INPUTS": "1",
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": str(_ROOT),
        "PYTHONUNBUFFERED": "1",
        "HOME": str(folder),
        "TMPDIR": str(folder),
    }


class WorkerProcess(asyncio.BufferedProtocol):
    """The server's end of the socket pair, and the process behind it.

    Invariants: at most one call is pending; when the worker is lost none is, and every later one fails.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.child = _Child(name)
        self.on_idle: Callable[[], None] = _do_nothing
        self.answered = 0
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._pending: asyncio.Future[Frame] | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._lost = asyncio.Event()
        self._killed_for = ""

    @property
    def is_lost(self) -> bool:
        """Whether it can be asked no more."""
        return self._lost.is_set()

    async def ask(self, frame: Frame, timeout_s: float) -> Frame:
        """Send a frame and wait for the answer; a worker that takes longer is killed.

        Raises:
            WorkerLost: it went away, or was killed for taking too long.
        """
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self.call(encode_frame(frame), answer, timeout_s)
        return await answer

    def call(
        self, buffers: Sequence[Buffer], answer: asyncio.Future[Frame], timeout_s: float
    ) -> None:
        """Send a frame; `answer` gets the answer or WorkerLost, `on_idle` is called when it came."""
        if self._transport is None or self._lost.is_set():
            answer.set_exception(WorkerLost(self.wait_gone))
            return
        self._pending = answer
        overdue = f"was killed: no answer in {timeout_s:g} s"
        self._watchdog = asyncio.get_running_loop().call_later(timeout_s, self.kill, overdue)
        self._transport.writelines(buffers)

    def kill(self, why: str) -> None:
        """End the process now; what is pending fails with WorkerLost."""
        self._killed_for = why
        self.child.kill()
        if self._transport is not None:
            self._transport.abort()

    async def wait_gone(self) -> str:
        """Wait until the process has ended and say how, for example `died of SIGSEGV`."""
        await self._lost.wait()
        how = await self.child.wait_ended()
        return self._killed_for or how

    async def stop(self) -> None:
        """End the process: hang up and give it a moment, then kill it."""
        if self._transport is not None:
            self._transport.close()
        try:
            await self.child.wait_closed()
        finally:
            self.child.kill()
        await self.child.wait_closed()
        self.child.close()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # the protocol's signature
        """Where the next bytes belong."""
        return self._reader.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` came."""
        try:
            frame = self._reader.advance(nbytes)
        except BrokenFrame as exc:
            self.kill(f"was killed: it sent a broken frame: {exc}")
            return
        if frame is not None:
            self._settle(frame)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # as above
        """The process ended, or one side hung up."""
        self._lost.set()
        if (answer := self._take_pending()) is not None and not answer.done():
            answer.set_exception(WorkerLost(self.wait_gone))

    def _settle(self, frame: Frame) -> None:
        answer = self._take_pending()
        if answer is None:
            self.kill("was killed: it answered without being asked")
            return
        self.answered += 1
        if not answer.done():  # else the caller left while it ran
            answer.set_result(frame)
        self.on_idle()

    def _take_pending(self) -> asyncio.Future[Frame] | None:
        answer, self._pending = self._pending, None
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        return answer


def _do_nothing() -> None:
    pass


class _Child(asyncio.SubprocessProtocol):
    """The process itself: what it writes becomes log lines, and its last words tell why it died."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._transport: asyncio.SubprocessTransport | None = None
        self._closed = asyncio.Event()
        self._partial = b""
        self._last_lines: deque[str] = deque(maxlen=3)
        self._logged = 0

    @property
    def pid(self) -> int | None:
        """The process id; None before it started."""
        return self._transport.get_pid() if self._transport is not None else None

    def kill(self) -> None:
        """End it now, if it has not ended."""
        if self._transport is not None:
            with suppress(ProcessLookupError):
                self._transport.kill()

    def close(self) -> None:
        """Let go of it and its pipes."""
        if self._transport is not None:
            self._transport.close()

    async def wait_closed(self) -> None:
        """Wait, for a while, until the process has ended and all it wrote was read."""
        if self._transport is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await self._closed.wait()

    async def wait_ended(self) -> str:
        """How it ended. One that hung up is given a moment to end by itself, then killed."""
        await self.wait_closed()
        if not self._closed.is_set():
            self.kill()
            await self.wait_closed()
        status = self._transport.get_returncode() if self._transport is not None else None
        words = f" ({'; '.join(self._last_lines)})" if self._last_lines else ""
        return _describe_status(status) + words

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002  # both pipes are one
        *lines, self._partial = (self._partial + data).split(b"\n")
        self._partial = self._partial[-_MAX_LINE_BYTES:]
        for line in lines:
            self._take_line(line[:_MAX_LINE_BYTES].decode(errors="replace").strip())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the protocol's signature
        self._take_line(self._partial.decode(errors="replace").strip())
        self._closed.set()

    def _take_line(self, line: str) -> None:
        if not line:
            return
        self._last_lines.append(line[:200])
        self._logged += 1
        if self._logged <= _MAX_LOGGED_LINES:
            log("worker_output", worker=self._name, line=line)


def _describe_status(status: int | None) -> str:
    if status is None:
        return "hung up"
    if status >= 0:
        return f"exited with status {status}"
    return f"died of {signal.Signals(-status).name}"
