"""How does an inference get from its bytes over REST to its answer's?

Most requests arrive in one piece, or are large and received in place: `InferRoutes` is offered those, and answers
them in a task of their own. What it leaves (other ways to send a body) comes as an ASGI application's.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from starlette.types import Receive, Scope, Send

from gateway.codecs import oip_json
from gateway.errors import (
    BodyTooLarge,
    CallerLeft,
    GatewayBusy,
    GatewayError,
    InvalidRequest,
    Unsupported,
)
from gateway.messages import Deadline, InferRequest
from gateway.values import value_class
from serving.torch_server.inference import Inference
from serving.torch_server.logs import log
from serving.torch_server.settings import Settings

__all__ = ["InferRoutes", "InferenceReply", "read_body", "refused"]

_JSON: Final = b"application/json"
_OCTETS: Final = b"application/octet-stream"
_HEADER_LENGTH: Final = b"inference-header-content-length"
_UNUSUAL: Final = frozenset((b"content-encoding", b"expect", b"transfer-encoding"))
_MAX_DIGITS: Final = 18
_PATH: Final = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")


@value_class()
class InferenceReply:
    """An answer, all but its head's lengths and date."""

    status: int
    body: bytes
    content_type: bytes = _JSON
    headers: Sequence[tuple[bytes, bytes]] = ()


@value_class()
class _Head:
    model: str
    version: str | None
    json_bytes: int | None  # of the body, None for all


class _Client(Protocol):
    def answer(self, reply: InferenceReply, request_id: str) -> None: ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]: ...


class _Held:
    """Room for a body: `--max-body-bytes` is all that bounds it."""

    def release(self) -> None:
        """Nothing: it is freed with the body."""


class _Errand:
    __slots__ = ("_task",)

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def abandon(self) -> None:
        """The client has left: what is queued is given up, and counted."""
        # Behind its first step: a task that is cancelled before that counts nothing.
        asyncio.get_running_loop().call_soon(self._task.cancel)


class InferRoutes:
    """`POST /v2/models/M[/versions/V]/infer`."""

    def __init__(self, inference: Inference, settings: Settings) -> None:
        self._inference = inference
        self._default_timeout_s = settings.default_timeout_s
        self._max_body_bytes = settings.max_body_bytes

    # What gateway.http1 asks before the application.

    def read(self, scope: Mapping[str, Any]) -> _Head | None:
        """The head of an inference whose body may be taken as it comes; None for anything else."""
        place = _PATH.fullmatch(scope["path"]) if scope["method"] == "POST" else None
        headers = dict(scope["headers"])
        if place is None or not _UNUSUAL.isdisjoint(headers):
            return None
        try:
            return _Head(place[1], place[2], _json_bytes(headers))
        except InvalidRequest:
            return None  # the application says so

    def hold(self, head: _Head, size: int) -> _Held | None:  # noqa: ARG002  # the protocol's
        """Room for a large body, None if it is too large."""
        return _Held() if size <= self._max_body_bytes else None

    def begin(
        self, head: _Head, body: bytes | memoryview, client: _Client, held: _Held | None = None
    ) -> _Errand | None:
        """Answer a request in a task; None, and nothing is done, if its body is too large."""
        if held is None and len(body) > self._max_body_bytes:
            return None
        return _Errand(client.spawn(self._serve(head, body, client)))

    async def _serve(self, head: _Head, body: bytes | memoryview, client: _Client) -> None:
        client.answer(await self._answer(head, body), "")

    # What FastAPI routes here.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The same as an ASGI application, which notices when its client leaves."""
        try:
            body = await read_body(scope, receive, self._max_body_bytes)
            where = scope["path_params"]
            head = _Head(where["model"], where.get("version"), _json_bytes(dict(scope["headers"])))
        except CallerLeft:
            return
        except GatewayError as exc:
            await _send(refused(exc), send)
            return
        reply: InferenceReply | None = None
        try:
            async with asyncio.TaskGroup() as group:
                watcher = group.create_task(_watch_caller(receive))
                reply = await self._answer(head, body)
                watcher.cancel()
        except* CallerLeft:
            pass  # it was counted when it was cancelled, and nobody reads an answer
        if reply is not None:
            await _send(reply, send)

    async def _answer(self, head: _Head, body: bytes | memoryview) -> InferenceReply:
        deadline = Deadline.after(asyncio.get_running_loop().time(), self._default_timeout_s)
        form = oip_json.OutputForm()

        def read() -> InferRequest:
            nonlocal form
            request, form = oip_json.decode_request(
                cast("bytes", body), head.json_bytes, model=head.model, version=head.version
            )
            return request

        try:
            response = await self._inference.infer(read, deadline)
            content, json_bytes = oip_json.encode_response(response, form)
        except GatewayError as exc:
            return refused(exc)
        except Exception as exc:  # noqa: BLE001  # they get an answer, the log the reason
            log("internal_error", level="error", reason=f"{type(exc).__name__}: {exc}")
            return InferenceReply(
                500, oip_json.encode_error("internal error: see the server's log")
            )
        if json_bytes is None:
            return InferenceReply(200, content)
        return InferenceReply(200, content, _OCTETS, ((_HEADER_LENGTH, b"%d" % json_bytes),))


def refused(exc: GatewayError) -> InferenceReply:
    """An error as the protocol writes it."""
    body = oip_json.encode_error(str(exc))
    if isinstance(exc, GatewayBusy):
        retry = (b"retry-after", b"%d" % math.ceil(exc.retry_after_s))
        return InferenceReply(exc.http_status, body, _JSON, (retry,))
    return InferenceReply(exc.http_status, body)


async def read_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes:
    """The whole body of a request.

    Raises:
        BodyTooLarge, Unsupported: it is over `max_bytes`, or compressed.
        CallerLeft: nobody is going to send the rest.
    """
    encoding = dict(scope["headers"]).get(b"content-encoding", b"identity")
    if encoding != b"identity":
        raise Unsupported(f"got Content-Encoding {encoding.decode('latin-1')!r}, none is spoken")
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft("the client left while it sent its request")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > max_bytes:
            raise BodyTooLarge(f"got more than {max_bytes} bytes")
        more = message.get("more_body", False)
    return b"".join(parts)


async def _watch_caller(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise CallerLeft("the client left before its answer")


async def _send(reply: InferenceReply, send: Send) -> None:
    own = [(b"content-type", reply.content_type), (b"content-length", b"%d" % len(reply.body))]
    headers = [*own, *reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def _json_bytes(headers: Mapping[bytes, bytes]) -> int | None:
    text = headers.get(_HEADER_LENGTH)
    if text is None:
        return None
    if not text.isdigit() or len(text) > _MAX_DIGITS:
        said = text.decode("latin-1")
        raise InvalidRequest(
            f"got {said!r}, wanted a number of bytes", path=_HEADER_LENGTH.decode()
        )
    return int(text)
