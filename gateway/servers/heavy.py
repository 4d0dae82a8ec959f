"""Where is work done that would keep the event loop from everybody else? In a process of its own.

Reading and writing large JSON holds the interpreter's lock, so a thread would not help. `HeavyWork` gives
such work to one worker process, one piece at a time; `HEAVY_BYTES` says what is large.

Why not `concurrent.futures`: one dead worker breaks its whole pool, running work cannot be ended, and
its pickling of a large body holds the lock as long as reading it would.

Rules:
- Nothing is started before the first heavy request, which waits some 0.3 s longer for that.
- Work whose caller leaves or whose deadline passes is ended by killing the worker: nothing else ends
  a parser. The next piece of work starts another. Work that waits is not touched by any of this.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Final, ParamSpec, TypeVar, cast

from gateway.errors import DeadlineExceeded, GatewayError, NotReady, QueueFull
from gateway.messages import Deadline
from gateway.servers.heavy_wire import COUNT, Part, dump, load, sizes_of, written
from gateway.telemetry.metrics import Metrics
from gateway.tensors import Tensor

__all__ = ["HEAVY_BYTES", "HEAVY_ELEMENTS", "PLAIN_BYTES", "HeavyWork", "are_heavy"]

HEAVY_BYTES: Final = 16 * 1024
"""JSON that is longer leaves the event loop to be read, unless it is plain.

Measured: 16 KiB of small numbers take 0.5 ms to read, of NaN 3 ms, of the worst that a caller can think
of 14 ms. The way to the worker and back takes 0.2 ms, and more than that on a busy core.
"""

PLAIN_BYTES: Final = 128 * 1024
"""Long lists of numbers that read quickly (`codecs.json_numbers`) leave the event loop from here.

Measured: so many bytes take 0.2 ms to read, at worst 2 ms; as much to find out that they are not plain.
"""

HEAVY_ELEMENTS: Final = 8 * 1024
"""Tensors of more elements leave the event loop to be written as JSON; two bytes of a string count as one.

Measured: so many numbers take 0.05 to 0.4 ms, NaN 1.3 ms, strings that are no UTF-8 as much.
"""

_CHUNK_BYTES = 256 * 1024
_EARLY_BYTES = 64 * 1024
_LINE_BYTES = 1024 * 1024  # that may wait in the kernel, where it allows so much: fewer turns at it

_log = logging.getLogger("tandem.heavy")

_P = ParamSpec("_P")
_T = TypeVar("_T")


def are_heavy(tensors: Iterable[Tensor]) -> bool:
    """Whether the tensors are too large to be written as JSON on the event loop."""
    weight = 0
    for tensor in tensors:
        array = tensor.array
        weight += array.size
        if tensor.datatype == "BYTES" and weight <= HEAVY_ELEMENTS:
            weight += 3 * array.size + sum(map(len, array.ravel().tolist())) // 2
    return weight > HEAVY_ELEMENTS


class HeavyWork:
    """A worker process, and the callers that wait for it in the order they came.

    Invariant: whoever holds `_turn` is the only one that talks to the worker, and leaves it idle or dead.
    """

    def __init__(self, metrics: Metrics, *, max_queued: int) -> None:
        self._metrics = metrics
        self._max_queued = max_queued
        self._queued = 0
        self._turn = asyncio.Lock()
        self._worker: _Worker | None = None
        self._killed: list[_Worker] = []
        self._closed = False
        metrics.heavy_queued.set_function(lambda: self._queued)

    def __repr__(self) -> str:
        return f"<HeavyWork {self._queued} queued, {self._worker or 'no worker'}>"

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id, None when there is none now."""
        return None if self._worker is None else self._worker.pid

    async def run(
        self,
        deadline: Deadline,
        function: Callable[_P, _T],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """What `function` returns in the worker process. It and its arguments must be picklable.

        A cancelled caller leaves nothing behind: its work is dropped, or ended.

        Raises:
            QueueFull: `limits.max_heavy_queued` is reached; rejected at once.
            DeadlineExceeded: the deadline passed before it was done.
            NotReady: the gateway is stopping.
            GatewayError: the function's own, or the worker died of it.
            RuntimeError: the function failed in another way; holds the trace.
        """
        outcome = "cut_short"
        if self._queued >= self._max_queued:
            self._metrics.heavy_jobs.labels("refused").inc()
            raise QueueFull(
                f"got one more than the {self._max_queued} large bodies that may wait to be read or"
                " written (limits.max_heavy_queued)"
            )
        self._queued += 1
        try:
            async with asyncio.timeout_at(deadline.at), self._turn:
                went_well, value = await self._ask((function, args, kwargs), deadline)
            outcome = "done"
        except TimeoutError:
            raise _too_late() from None
        except WorkerDied as error:
            outcome = "died"
            _log.error("a worker process died", extra={"fields": {"error": str(error)}})
            raise
        finally:
            self._queued -= 1
            self._metrics.heavy_jobs.labels(outcome).inc()
        if went_well:
            return cast("_T", value)
        if isinstance(value, GatewayError):
            raise value
        raise RuntimeError(f"in the worker process: {value}")

    def close(self) -> None:
        """End the worker; when this returns, no process is left. Waits for the kernel only."""
        self._closed = True
        if self._worker is not None and self._turn.locked():
            self._worker.process.kill()  # who talks to it notices, and closes the socket
            self._worker.process.wait()
        else:
            self._kill()
        for worker in self._killed:
            worker.process.wait()
        self._killed.clear()

    async def _ask(self, message: object, deadline: Deadline) -> tuple[bool, object]:
        if self._closed:
            raise NotReady("the gateway is stopping")
        if deadline.at <= asyncio.get_running_loop().time():
            raise _too_late()  # rather than start what would be killed at once
        try:
            return await self._ready_worker().ask(message)
        except BaseException as error:
            # Whatever it was: nobody knows what the worker is in the middle of.
            self._kill()
            if isinstance(error, ConnectionError):
                raise WorkerDied from error
            raise

    def _ready_worker(self) -> _Worker:
        self._killed = [worker for worker in self._killed if worker.process.poll() is None]
        if self._worker is not None and self._worker.process.poll() is not None:
            self._kill()  # it died while it had nothing to do
        if self._worker is None:
            self._worker = _Worker()
        return self._worker

    def _kill(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._killed.append(self._worker)  # until the kernel has buried it
            self._worker = None


class WorkerDied(GatewayError):
    """The worker process went away in the middle of the work; the bug is ours, or memory ran out."""

    def __init__(self) -> None:
        super().__init__("the process that was reading or writing this large body died")


class _Worker:
    """A worker process and the socket to it."""

    def __init__(self) -> None:
        self._early = bytearray()
        self._line, theirs = socket.socketpair()
        self._line.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        for end in (self._line, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LINE_BYTES)
        here = str(Path.cwd())
        with theirs:
            # In a session of its own, where Ctrl-C does not reach it. Standard error is ours.
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-P", "-m", "gateway.servers.heavy_worker", str(os.getpid())],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p or here for p in sys.path)},
            )

    def __repr__(self) -> str:
        return f"worker {self.pid}"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def kill(self) -> None:
        """End it at once."""
        self._line.close()
        self.process.kill()

    async def ask(self, message: object) -> tuple[bool, object]:
        """Send one message, and wait for the answer; ConnectionError if the worker is gone."""
        loop = asyncio.get_running_loop()
        parts = await _with_pauses(dump(message))
        for piece in written(parts):
            await loop.sock_sendall(self._line, piece)
        del parts, piece
        count = COUNT.unpack(await self._receive(COUNT.size))[0]
        sizes = sizes_of(await self._receive(8 * count))
        answer: list[Part] = [await self._receive(size) for size in sizes]
        return cast("tuple[bool, object]", await _with_pauses(load(answer)))

    async def _receive(self, size: int) -> bytearray:
        """The next bytes of the answer; what came with them is kept for the next call."""
        data, self._early = self._early[:size], self._early[size:]
        if len(data) == size:
            return data
        if size < _EARLY_BYTES:
            return await self._receive_some(data, size)
        return await self._receive_long(data, size)

    async def _receive_some(self, data: bytearray, size: int) -> bytearray:
        loop = asyncio.get_running_loop()
        while len(data) < size:
            got = await loop.sock_recv(self._line, _EARLY_BYTES)
            if not got:
                raise _closed()
            data += got
        self._early = data[size:]
        del data[size:]
        return data

    async def _receive_long(self, data: bytearray, size: int) -> bytearray:
        loop = asyncio.get_running_loop()
        at = len(data)
        whole = bytearray(size)
        whole[:at] = data
        view = memoryview(whole)
        while at < size:
            got = await loop.sock_recv_into(self._line, view[at : at + _CHUNK_BYTES])
            if not got:
                raise _closed()
            at += got
            await asyncio.sleep(0)  # data that is there already is taken without a pause
        return whole


def _closed() -> ConnectionError:
    return ConnectionError("the worker closed its end")


async def _with_pauses(steps: Generator[None, None, _T]) -> _T:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: _T = stop.value
            return result
        await asyncio.sleep(0)


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed while a large body was read or written")
