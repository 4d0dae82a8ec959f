"""An ASGI server of a few lines: what an application receives is a list, what it sends another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.servers.body import Message

__all__ = ["Message", "Wire", "pieces", "scope"]


def scope(path: str, *headers: tuple[bytes, bytes], method: str = "POST") -> Message:
    return {
        "type": "http",
        "http_version": "2",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/grpc"), (b"te", b"trailers"), *headers],
        "extensions": {"http.response.trailers": {}},
    }


def pieces(*bodies: bytes) -> list[Message]:
    """A request's body in these pieces."""
    last = len(bodies) - 1
    return [
        {"type": "http.request", "body": body, "more_body": at < last}
        for at, body in enumerate(bodies)
    ]


@dataclass
class Wire:
    """What comes in, then nothing more for ever; and what went out."""

    coming: Sequence[Message]
    sent: list[Message] = field(default_factory=list)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._left = list(self.coming)

    async def receive(self) -> Message:
        if not self._left:
            await asyncio.get_running_loop().create_future()
        return self._left.pop(0)

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        self.answered.set()

    @property
    def body(self) -> bytes:
        return b"".join(m["body"] for m in self.sent if m["type"] == "http.response.body")

    @property
    def head(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def status(self) -> dict[bytes, bytes]:
        """The headers in which the call's status is: the trailers, or the head that says it all."""
        last = self.sent[-1]
        return dict(last["headers"]) if last["type"] == "http.response.trailers" else self.head
