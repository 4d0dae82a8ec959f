"""A shortcut that answers what it is told to, when it is told to, and an application that says the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from gateway.http1.cycle import ANSWER
from gateway.http1.direct import DirectCycle
from gateway.servers.http_call import Reply
from tests.http1.wire import Listener, Receive, Send, body_of, serving

__all__ = ["Short", "post", "said_of", "shortened"]

TYPE = b"text/plain"


def post(path: bytes, body: bytes, *more: bytes) -> bytes:
    lines = [b"POST %b HTTP/1.1" % path, b"host: x", *more, b"content-length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body])


def said_of(path: bytes, body: bytes) -> bytes:
    return b"%b got %b" % (path, body)


async def app(scope: Any, receive: Receive, send: Send) -> None:
    """The same answers as `Short`, as an application; to GET it answers before it has the body."""
    body = await body_of(receive) if scope["method"] != "GET" else b""
    told = said_of(scope["raw_path"], body)
    await send(
        {"type": ANSWER, "status": 200, "body": told, "content_type": TYPE, "request_id": b"-"}
    )


class Errand:
    def __init__(self, short: Short) -> None:
        self._short = short

    def abandon(self) -> None:
        self._short.abandoned += 1


class Held:
    """Room for a body."""

    def __init__(self, short: Short) -> None:
        self._short = short

    def release(self) -> None:
        self._short.holding -= 1
        self._short.released += 1


class Short:
    """Takes every POST: answers those under /now at once, under /soon later, under /task in a task.

    Those under /held wait for `release`; those under /not are given back after a look at the body. There is
    room for large bodies, except under /full.
    """

    def __init__(self) -> None:
        self.read_paths: list[bytes] = []
        self.taken = 0
        self.abandoned = 0
        self.holding = 0
        self.released = 0
        self.held: list[tuple[DirectCycle, Reply]] = []

    def read(self, scope: Mapping[str, Any]) -> bytes | None:
        if scope["method"] != "POST" or dict(scope["headers"]).keys() & {b"expect"}:
            return None
        path: bytes = scope["raw_path"]
        self.read_paths.append(path)
        return path

    def hold(self, head: bytes, _size: int) -> Held | None:
        if head.startswith(b"/full"):
            return None
        self.holding += 1
        return Held(self)

    def begin(
        self, head: bytes, body: bytes | memoryview, client: DirectCycle, held: Held | None = None
    ) -> Errand | None:
        if head.startswith(b"/not"):
            return None
        self.taken += 1
        self.holding -= held is not None
        reply = Reply(200, said_of(head, bytes(body)), TYPE)
        if head.startswith(b"/soon"):
            asyncio.get_running_loop().call_soon(client.answer, reply, "-")
        elif head.startswith(b"/task"):
            client.spawn(self._answer_later(client, reply))
        elif head.startswith(b"/held"):
            self.held.append((client, reply))
        else:
            client.answer(reply, "-")
        return Errand(self)

    async def _answer_later(self, client: DirectCycle, reply: Reply) -> None:
        await asyncio.sleep(0.001)
        client.answer(reply, "-")

    def release(self) -> None:
        for client, reply in self.held:
            client.answer(reply, "-")
        self.held.clear()


@asynccontextmanager
async def shortened(
    short: Short | None, *, read_timeout_s: float = 30.0
) -> AsyncIterator[Listener]:
    async with serving(app, read_timeout_s=read_timeout_s) as listener:
        listener.server._server.config.http.shortcut = short  # type: ignore[union-attr]
        yield listener
