"""A TensorFlow Serving that takes other models while it runs, and a gateway before it, with a client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gateway.app import Gateway
from gateway.codecs import tfs_proto
from gateway.control.source import ConfigFile
from gateway.messages import InferRequest, InferResponse, ModelDescription, Target, VersionStatus
from gateway.tensors import Tensor
from tests.addresses import free_port
from tests.backends.tfs_server import serving
from tests.fakes.arithmetic import FLOATS
from tests.fakes.gateways import LISTEN, sample

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
TAKEN = b"\n\x00"
REFUSED = "Illegal to list model a multiple times in config list"
X = Tensor("x", "FP32", np.array([[1, 2, 3, 4]], np.float32))


@dataclass
class Server:
    """A TensorFlow Serving whose list of models is one letter each; `X` in the list is refused.

    Attributes:
        models: What it serves.
        reloads, traces: The lists that it was sent, and the `traceparent` with each.
        reload_waits: What the answer to a reload waits for.
        next_description_waits: What the next description waits for, when it has been made.
        held: That somebody waits.
        left: That a caller of a reload has left.
        descriptions: How many were asked for.
        refuses: Whether it takes no list at all.
    """

    models: set[str] = field(default_factory=lambda: {"a", "b"})
    reloads: list[bytes] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    reload_waits: asyncio.Event | None = None
    next_description_waits: asyncio.Event | None = None
    held: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    descriptions: int = 0
    refuses: bool = False

    async def predict(self, data: bytes, context: Any) -> bytes:
        request = tfs_proto.decode_request(data)
        await self._check(request.model, context)
        answer = InferResponse(
            model=request.model, version="1", outputs=(Tensor("y", "FP32", X.array),)
        )
        return tfs_proto.encode_response(answer)

    async def describe(self, data: bytes, context: Any) -> bytes:
        self.descriptions += 1
        model = tfs_proto.decode_metadata_request(data).model
        await self._check(model, context)
        answer = ModelDescription(
            model=model, version="1", platform="", signatures={"serving_default": FLOATS}
        )
        waits, self.next_description_waits = self.next_description_waits, None
        if waits is not None:
            self.held.set()
            await waits.wait()
        return tfs_proto.encode_metadata(answer)

    async def versions(self, data: bytes, _: Any) -> bytes:
        model = tfs_proto.decode_status_request(data).model
        there, gone = (VersionStatus(version="1", state=state) for state in ("AVAILABLE", "END"))
        return tfs_proto.encode_status((there if model in self.models else gone,))

    async def reload(self, data: bytes, context: Any) -> bytes:
        self.reloads.append(data)
        self.traces.append(dict(context.invocation_metadata()).get("traceparent", ""))
        if self.reload_waits is not None:
            self.held.set()
            try:
                await self.reload_waits.wait()
            except asyncio.CancelledError:
                self.left.set()
                raise
        if b"X" in data or self.refuses:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, REFUSED)
        self.models = set(data.decode())
        return TAKEN

    async def _check(self, model: str, context: Any) -> None:
        if model not in self.models:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such model")

    @asynccontextmanager
    async def at(self) -> AsyncIterator[str]:
        answers = {
            "Predict": self.predict,
            "GetModelMetadata": self.describe,
            "GetModelStatus": self.versions,
            "HandleReloadConfigRequest": self.reload,
        }
        async with serving(answers) as address:
            yield address


@dataclass
class Caller:
    """A client of a gateway in front of servers."""

    gateway: Gateway
    channel: grpc.aio.Channel

    async def ask(self, method: str, data: bytes, *metadata: tuple[str, str]) -> bytes:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(method)
        return await call(data, metadata=metadata, timeout=30)

    async def error(self, method: str, data: bytes, *metadata: tuple[str, str]) -> tuple[str, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.ask(method, data, *metadata)
        return caught.value.code().name, caught.value.details() or ""

    async def state(self, model: str) -> str:
        data = tfs_proto.encode_status_request(Target(model=model))
        return tfs_proto.decode_status(await self.ask(STATUS, data))[0].state

    def count(self, reason: str) -> float:
        return sample(self.gateway, "tandem_requests_total", dialect="tfs_grpc", reason=reason)


def predicting(model: str) -> bytes:
    return tfs_proto.encode_request(InferRequest(model=model, inputs=(X,)))


def describing(model: str) -> bytes:
    return tfs_proto.encode_metadata_request(Target(model=model))


def against(
    path: Path,
    servers: Sequence[Server],
    scenario: Callable[[Caller], Awaitable[None]],
    setting: str = "forwards_reload = true",
) -> None:
    """Play a scenario before a gateway of models a, b and c at these servers, replicas of each other."""

    async def play() -> None:
        async with AsyncExitStack() as stack:
            addresses = [await stack.enter_async_context(server.at()) for server in servers]
            first, *more = addresses or [f"127.0.0.1:{free_port()}"]
            models = "".join(f'[models.{name}.arms.tf]\nbackend = "tf"\n' for name in "abc")
            file = path / "tandem.toml"
            file.write_text(
                f'{LISTEN}[backends.tf]\nkind = "tfserving"\naddress = "{first}"\n'
                f"replicas = {more}\n{setting}\n{models}"
            )
            config = ConfigFile(file)
            gateway = await stack.enter_async_context(Gateway(config, config.load()))
            channel = grpc.aio.insecure_channel(gateway.addresses["grpc"])
            await scenario(Caller(gateway, await stack.enter_async_context(channel)))

    asyncio.run(play())
