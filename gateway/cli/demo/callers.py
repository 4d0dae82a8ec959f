"""How does a client send tensors to the gateway, in each dialect over each protocol, and read the answer?

aiohttp carries HTTP: 0.08 ms of CPU for a small call on one core, where httpx takes 1.0 ms, which on a
machine that the servers share would be most of what is measured.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

import aiohttp
import grpc
import numpy as np
import orjson

from gateway.cli.demo.samples import Surface
from gateway.cli.grpc_call import CODECS, METHODS, Dialect
from gateway.codecs import oip_json
from gateway.messages import InferRequest
from gateway.tensors import Array, Tensor, datatype_of

__all__ = ["Answered", "Call", "CallFailed", "Caller", "open_callers"]

_TIMEOUT_S = 60.0
_HEADER_LENGTH = "Inference-Header-Content-Length"
_NO_LIMIT = -1

# Encoded already: to be sent when the clock runs.
Call: TypeAlias = Callable[[], Awaitable["Answered"]]


class CallFailed(Exception):
    """The gateway answered with an error, or not at all."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer as it arrived: what headers or trailing metadata say of it, and how to read its bytes."""

    facts: Mapping[str, str]
    read: Callable[[], Mapping[str, Array]]


class Caller(Protocol):
    """A client of one surface."""

    def prepare(
        self,
        model: str,
        inputs: Mapping[str, Array],
        outputs: tuple[str, ...],
        facts: Mapping[str, str],
    ) -> Call:
        """Encode a call. `outputs` are the model's, `facts` the headers. Awaiting it may raise CallFailed."""
        ...


@asynccontextmanager
async def open_callers(rest: str, grpc_address: str) -> AsyncIterator[Mapping[Surface, Caller]]:
    """A client of each surface of the gateway at these addresses; they share their connections."""
    options = [
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_receive_message_length", _NO_LIMIT),
        ("grpc.max_send_message_length", _NO_LIMIT),
    ]
    async with (
        aiohttp.ClientSession(
            f"http://{rest}",
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
        ) as session,
        grpc.aio.insecure_channel(grpc_address, options=options) as channel,
    ):
        yield {
            "TFS REST": _Rest(session, _tfs),
            "TFS gRPC": _Grpc(channel, "tfs"),
            "OIP REST": _Rest(session, partial(_oip, binary=False)),
            "OIP REST binary": _Rest(session, partial(_oip, binary=True)),
            "OIP gRPC": _Grpc(channel, "oip"),
        }


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request over REST, and how to read what is answered: from the headers and the body."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    read: Callable[[Mapping[str, str], bytes], Mapping[str, Array]]


class _Rest:
    """A dialect over REST; `encode` makes the request."""

    def __init__(
        self, session: aiohttp.ClientSession, encode: Callable[[InferRequest], _Sent]
    ) -> None:
        self._session = session
        self._encode = encode

    def prepare(
        self,
        model: str,
        inputs: Mapping[str, Array],
        outputs: tuple[str, ...],
        facts: Mapping[str, str],
    ) -> Call:
        sent = self._encode(_request(model, inputs, outputs))
        headers = {**facts, **sent.headers}

        async def call() -> Answered:
            found, answer = await _post(self._session, sent.path, sent.body, headers)
            return Answered(found, lambda: sent.read(found, answer))

        return call


def _tfs(request: InferRequest) -> _Sent:
    """`POST /v1/models/…:predict` with `instances`."""
    lists = {tensor.name: tensor.array.tolist() for tensor in request.inputs}
    rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    instances = next(iter(lists.values())) if len(lists) == 1 else rows
    return _Sent(
        f"/v1/models/{request.model}:predict",
        orjson.dumps({"instances": instances}),
        {},
        lambda _, answer: _predictions(answer, request.outputs),
    )


def _oip(request: InferRequest, *, binary: bool) -> _Sent:
    """`POST /v2/models/…/infer`, tensors as JSON or as raw bytes after it."""
    body, length = oip_json.encode_request(request, binary=binary)
    headers = {} if length is None else {_HEADER_LENGTH: str(length)}
    return _Sent(f"/v2/models/{request.model}/infer", body, headers, _tensors)


class _Grpc:
    """`Predict` or `ModelInfer`."""

    def __init__(self, channel: grpc.aio.Channel, dialect: Dialect) -> None:
        self._encode, self._decode = CODECS[dialect]
        self._method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            METHODS[dialect], None, None
        )

    def prepare(
        self,
        model: str,
        inputs: Mapping[str, Array],
        outputs: tuple[str, ...],
        facts: Mapping[str, str],
    ) -> Call:
        message = self._encode(_request(model, inputs, outputs))
        metadata = tuple(facts.items())

        async def call() -> Answered:
            running = self._method(message, timeout=_TIMEOUT_S, metadata=metadata)
            try:
                answer = await running
                trailing = await running.trailing_metadata()
            except grpc.aio.AioRpcError as exc:
                raise CallFailed(f"{exc.code().name}: {exc.details()}") from exc
            found = {key: value for key, value in trailing if isinstance(value, str)}
            return Answered(found, lambda: _arrays(self._decode(answer).outputs))

        return call


def _request(model: str, inputs: Mapping[str, Array], outputs: tuple[str, ...]) -> InferRequest:
    tensors = tuple(Tensor(name, datatype_of(array), array) for name, array in inputs.items())
    return InferRequest(model=model, inputs=tensors, outputs=outputs)


async def _post(
    session: aiohttp.ClientSession, path: str, body: bytes, headers: Mapping[str, str]
) -> tuple[Mapping[str, str], bytes]:
    try:
        async with session.post(path, data=body, headers=headers) as response:
            answer = await response.read()
            if response.status != 200:  # noqa: PLR2004 - HTTP's OK
                text = answer[:300].decode(errors="replace")
                raise CallFailed(f"HTTP {response.status}: {text}")
            return response.headers, answer
    except (aiohttp.ClientError, TimeoutError) as exc:
        raise CallFailed(f"{type(exc).__name__}: {exc}") from exc


def _predictions(answer: bytes, outputs: tuple[str, ...]) -> Mapping[str, Array]:
    rows = orjson.loads(answer)["predictions"]
    if len(outputs) == 1:
        return {outputs[0]: np.asarray(rows)}
    return {name: np.asarray([row[name] for row in rows]) for name in outputs}


def _tensors(headers: Mapping[str, str], answer: bytes) -> Mapping[str, Array]:
    length = headers.get(_HEADER_LENGTH)
    return _arrays(
        oip_json.decode_response(answer, None if length is None else int(length)).outputs
    )


def _arrays(tensors: tuple[Tensor, ...]) -> Mapping[str, Array]:
    return {tensor.name: tensor.array for tensor in tensors}
