"""What did the client send, and no more of it than we are willing to hold?"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

from gateway.errors import BodyTooLarge, CallerLeft, GatewayError, InvalidRequest, Unsupported

__all__ = ["Hold", "Receive", "Send", "inflate", "read_body"]

DISCARD_BYTES = 64 * 1024 * 1024
DISCARD_S = 2.0
INFLATED_INLINE_BYTES = 1024
"""Of compressed body: they make at most 1 MiB, within a millisecond or two. More leaves the event loop."""

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Hold: TypeAlias = Callable[[int], None]


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], limit: int, hold: Hold
) -> bytes:
    """The whole body, inflated when it came compressed; at most `limit` bytes before and after.

    `hold` is told of every byte that is kept, as soon as it is.

    Raises:
        BodyTooLarge: by its declared length, before any of it is read, or while reading.
        QueueFull: `hold` has no room for it.
        CallerLeft: the client disconnected before the end.
        InvalidRequest, Unsupported: the compression is broken, or not gzip or deflate.
    """
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared[:20]) > limit:
        if b"expect" not in headers:  # a client that asks first is told no before it sends anything
            await _discard(receive)
        raise _too_large(f"{declared[:20].decode()} bytes declared", limit)
    encoding = headers.get(b"content-encoding")
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")  # in one piece, as most come
        if len(body) > limit:
            raise _too_large(f"more than {limit} bytes", limit)
        hold(len(body))
    else:
        body = await _read(message, receive, limit, hold)
    if encoding is None:
        return body
    if len(body) <= INFLATED_INLINE_BYTES:
        plain = inflate(body, encoding, limit)
    else:  # zlib lets go of the interpreter's lock
        plain = await asyncio.to_thread(inflate, body, encoding, limit)
    hold(len(plain))
    return plain


async def _read(message: Message, receive: Receive, limit: int, hold: Hold) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise CallerLeft(f"the client left after {size} bytes of its body")
        part: bytes = message.get("body", b"")
        has_more: bool = message.get("more_body", False)
        size += len(part)
        try:
            if size > limit:
                raise _too_large(f"more than {limit} bytes", limit)
            hold(len(part))
        except GatewayError:
            if has_more:
                await _discard(receive)
            raise
        if not has_more:
            return b"".join([*parts, part])  # the part itself, if it is the only one
        parts.append(part)
        message = await receive()


async def _discard(receive: Receive) -> None:
    """Read on for a while without keeping anything.

    Closing a connection with unread bytes resets it, and the reset can overtake the answer: a client
    that sends before it reads would see a broken pipe in place of our 413. So we listen on, within
    bounds; a client that sends still more than that has only itself to blame.
    """
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_S):
            while size < DISCARD_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return


_NONE = (b"identity", b"")


def inflate(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Undo gzip or deflate (zlib), holding at most `limit` bytes."""
    names = [name for part in encoding.split(b",") if (name := part.strip().lower()) not in _NONE]
    if not body or not names:
        return body
    name = b",".join(names)
    if name not in (b"gzip", b"x-gzip", b"deflate"):
        raise Unsupported(
            f"got {encoding[:64].decode('latin-1')!r}, wanted gzip or deflate",
            path="content-encoding",
        )
    # 16 + MAX_WBITS reads a gzip header, MAX_WBITS a zlib one.
    engine = zlib.decompressobj(zlib.MAX_WBITS if name == b"deflate" else 16 + zlib.MAX_WBITS)
    try:
        plain = engine.decompress(body, limit + 1)
    except zlib.error as exc:
        raise InvalidRequest(f"cannot be inflated: {exc}", path="body") from exc
    if len(plain) > limit:
        raise _too_large(f"more than {limit} bytes after inflating {len(body)}", limit)
    if not engine.eof:
        raise InvalidRequest("the compressed body ends too early", path="body")
    return plain


def _too_large(got: str, limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"got {got}, at most {limit} are taken (limits.max_body_bytes)", path="body"
    )
