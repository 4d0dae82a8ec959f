"""However a conversation is cut into pieces, it is understood as it was written."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.http1.protocol import BoundedProtocol
from tests.http1.wire import Receive, Send, answer, body_of, piece, run, serving, start

CONVERSATIONS = 60


async def echo(scope: Any, receive: Receive, send: Send) -> None:
    """The request's own words: whole, in pieces, or before its body was read."""
    if "early" in scope["path"]:
        await answer(send, orjson.dumps([scope["path"], ""]))
        return
    said = orjson.dumps([scope["path"], (await body_of(receive)).decode()])
    if "pieces" in scope["path"]:
        await send(start(headers=[(b"content-length", b"%d" % len(said))]))
        await send(piece(said[:3], more=True))
        await send(piece(said[3:]))
    else:
        await answer(send, said)


def a_request(rng: random.Random, index: int) -> tuple[bytes, list[str]]:
    """What to send, and what will be understood."""
    path = f"/{index}/{rng.choice(['', 'pieces', 'early', '%2B'])}"
    body = "ab" * rng.choice([0, 1, 10, 1000, 50_000])
    shape = rng.choice(["get", "length", "chunks"])
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\n"
    if shape == "get":
        head, body = f"GET {path} HTTP/1.1\r\nhost: x\r\n", ""
        sent = head + "\r\n"
    elif shape == "length":
        sent = f"{head}content-length: {len(body)}\r\n\r\n{body}"
    else:
        size = rng.choice([7, 1000, 70_000])
        chunks = [body[at : at + size] for at in range(0, len(body), size)]
        framed = "".join(f"{len(chunk):x};e=1\r\n{chunk}\r\n" for chunk in chunks)
        sent = f"{head}transfer-encoding: chunked\r\n\r\n{framed}0\r\n\r\n"
    return sent.encode(), [path.replace("%2B", "+"), "" if "early" in path else body]


def in_pieces(rng: random.Random, text: bytes) -> list[bytes]:
    """The text, cut anywhere."""
    cuts = sorted(rng.choices(range(len(text) + 1), k=rng.choice([0, 1, 5, 40])))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@pytest.mark.parametrize("protocol", [BoundedProtocol, HttpToolsProtocol])
def test_a_conversation_in_pieces(protocol: type[HttpToolsProtocol]) -> None:
    async def scenario() -> None:
        rng = random.Random(1)
        async with serving(echo, protocol) as listener:
            for _ in range(CONVERSATIONS):
                requests = [a_request(rng, index) for index in range(rng.randrange(1, 8))]
                async with listener.connected() as client:
                    await client.send(*in_pieces(rng, b"".join(sent for sent, _ in requests)))
                    for _, understood in requests:
                        status, said = await client.answer()
                        assert (status, orjson.loads(said)) == (200, understood)

    run(scenario())
