"""A running gateway in front of a peer, and what is put to it."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import httpx
import numpy as np

from gateway.app import Gateway
from gateway.codecs import oip_proto
from gateway.control.source import ConfigFile
from gateway.messages import InferRequest, InferResponse
from gateway.tensors import DTYPES, Datatype, Tensor
from tests.contracts.ways import Way
from tests.fakes.gateways import until
from tests.peers.models import ROOT

__all__ = ["Call", "Front", "assert_species", "edge_values", "flowers", "front", "rows"]

TOLERANCE = 5e-5

Call: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"


@dataclass
class Front:
    """A running gateway, and how to call it."""

    gateway: Gateway
    rest: httpx.AsyncClient
    channel: grpc.aio.Channel

    async def infer(self, model: str, *inputs: Tensor) -> InferResponse:
        """Over the Open Inference Protocol's gRPC, bit for bit."""
        request = oip_proto.encode_request(InferRequest(model=model, inputs=inputs))
        call: Call = self.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        return oip_proto.decode_response(await call(request, timeout=60))


@asynccontextmanager
async def front(settings: str, way: Way, folder: Path) -> AsyncIterator[Front]:
    """A gateway of these settings whose arms are all ready."""
    path = folder / "tandem.toml"
    path.write_text(settings)
    file = ConfigFile(path)
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(Gateway(file, file.load()))
        rest = f"http://{gateway.addresses['rest']}"
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=rest, timeout=60))
        options = [("grpc.max_receive_message_length", -1)]
        channel = grpc.aio.insecure_channel(gateway.addresses["grpc"], options)
        await stack.enter_async_context(channel)
        table = gateway.pipeline.table
        assert set(table.models) == set(way.models)
        await until(lambda: not not_ready(gateway))
        yield Front(gateway, client, channel)


def not_ready(gateway: Gateway) -> list[str]:
    """What the arms say that keeps them from being ready."""
    models = gateway.pipeline.table.models.values()
    return [arm.error for routes in models for arm in routes.arms.values() if not arm.is_ready]


@functools.cache
def _test_set() -> dict[str, np.ndarray[Any, Any]]:
    return dict(np.load(ROOT / "model_store" / "iris" / "1" / "test_set.npz"))


def rows(count: int = 30) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Flowers, and at most thirty of them."""
    return np.ascontiguousarray(_test_set()["input/x"][:count], np.float32)


def flowers(count: int = 30) -> Tensor:
    return Tensor("x", "FP32", rows(count))


def assert_species(logits: object, count: int = 30) -> None:
    expected = _test_set()["expected/logits"][:count]
    np.testing.assert_allclose(np.array(logits), expected, atol=TOLERANCE, rtol=TOLERANCE)


def edge_values(datatype: Datatype, way: Way) -> Tensor:
    """Two rows of the values where a datatype goes wrong first."""
    dtype: Any = DTYPES[datatype]
    if datatype == "BYTES":
        odd = b"\x00\xff" if way.exact else "caf\u00e9".encode()
        array = np.array([[b"", b"one"], [odd, b"x" * 300]], dtype=np.object_)
    elif datatype == "BOOL":
        array = np.array([[True, False], [False, True]])
    elif dtype.kind in "iu":
        limits = np.iinfo(dtype)
        array = np.array([[limits.min, limits.max], [0, 1]], dtype)
    else:
        largest = float(np.finfo(dtype).max)
        infinite = np.inf if way.exact else 0.5  # JSON has no word for it
        nan = np.nan if way.exact and way.has_nan else -1.5
        array = np.array([[infinite, nan], [-0.0, largest]], dtype)
    return Tensor(datatype.lower(), datatype, array)
