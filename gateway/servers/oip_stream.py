"""How does one gRPC stream carry many requests, with a bound on those that are under way?

Requests of a stream are answered side by side, so that they can share batches, and the answers leave in
the order of the requests, as Triton sends them. A client that writes faster than it is answered is read
no further; gRPC's own flow control then stops it.

Rules:
- At most `MAX_IN_FLIGHT` requests of one stream are being answered, or answered and not yet sent.
- A client that leaves cancels the method, and with it every request of the stream.
- When the gateway drains, a stream reads no more, answers what it has read, and ends with UNAVAILABLE:
  else an idle one would hold up the drain until its time is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

from gateway.servers.grpc_calls import Call, Messages, Refusal

__all__ = ["MAX_IN_FLIGHT", "Streams"]

MAX_IN_FLIGHT: Final = 64

Answer: TypeAlias = Callable[[bytes], Coroutine[Any, Any, bytes]]
"""Gives one message its answer; raises nothing."""


class Streams:
    """The streams that are open."""

    def __init__(self) -> None:
        self._ending = asyncio.Event()

    @property
    def are_ending(self) -> bool:
        """Whether streams shall end."""
        return self._ending.is_set()

    def end(self) -> None:
        """End every stream, now and from now on."""
        self._ending.set()

    async def ended(self) -> None:
        """Wait until streams shall end."""
        await self._ending.wait()

    async def run(self, requests: Messages, call: Call, answer: Answer) -> None:
        """Serve one stream until its client has no more requests.

        A cancelled call leaves nothing behind.

        Raises:
            Refusal: the gateway drains.
        """
        stream = _Stream(requests, answer)
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(stream.read(group))
            watch = group.create_task(self._stop(reader, stream))
            while (task := await stream.pending.get()) is not None:
                await call.write(await task)
                stream.room.release()
            watch.cancel()
        if self._ending.is_set():
            raise Refusal("UNAVAILABLE", "the gateway is draining")

    async def _stop(self, reader: asyncio.Task[None], stream: _Stream) -> None:
        await self._ending.wait()
        if reader.cancel():  # False: it has told the end itself
            stream.pending.put_nowait(None)


class _Stream:
    """One stream: what it reads, and the answers that are not sent yet, in order; None is the end."""

    def __init__(self, requests: Messages, answer: Answer) -> None:
        self._requests = requests
        self._answer = answer
        self.room = asyncio.Semaphore(MAX_IN_FLIGHT)
        # As many as there is room for, and the end.
        self.pending: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(MAX_IN_FLIGHT + 1)

    async def read(self, group: asyncio.TaskGroup) -> None:
        """Take requests, as there is room for them, until the client has no more."""
        await self.room.acquire()
        async for data in self._requests:
            self.pending.put_nowait(group.create_task(self._answer(data)))
            await self.room.acquire()
        self.pending.put_nowait(None)
