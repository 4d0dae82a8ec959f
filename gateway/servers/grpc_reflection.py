"""What does the gRPC port offer? Server reflection tells clients that have no stubs, such as grpcurl.

The package that answers is gRPC's own; what it tells are the public names of the services. Its streams
are run as inference streams are, so that an idle one holds up no drain.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha.reflection import SERVICE_NAME, aio
from grpc_reflection.v1alpha.reflection_pb2 import (
    ServerReflectionRequest,
    ServerReflectionResponse,
)

from gateway.codecs.descriptors import public_pool
from gateway.servers.grpc_calls import Call, Messages, Stream
from gateway.servers.oip_stream import Streams

__all__ = ["REFLECTION", "Reflection"]

REFLECTION: Final = (SERVICE_NAME, "grpc.reflection.v1.ServerReflection")
"""One service under two names: the messages are the same, byte for byte."""


class Reflection:
    """The one method of the service."""

    def __init__(self, streams: Streams) -> None:
        pool, services = public_pool()
        self._servicer = aio.ReflectionServicer(services, pool)
        self._streams = streams

    def streams(self) -> dict[str, Stream]:
        """The method by its name."""
        return {"ServerReflectionInfo": self._stream}

    async def _stream(self, requests: Messages, call: Call) -> None:
        await self._streams.run(requests, call, self._answer)

    async def _answer(self, data: bytes) -> bytes:
        """The answer to one question; an error is an answer too."""
        try:
            asked = ServerReflectionRequest.FromString(data)
        except DecodeError:
            asked = ServerReflectionRequest()  # which is refused as it asks nothing
        told: AsyncIterator[ServerReflectionResponse] = self._servicer.ServerReflectionInfo(
            _only(asked), None
        )
        written: bytes = (await anext(told)).SerializeToString()
        return written


async def _only(asked: ServerReflectionRequest) -> AsyncIterator[ServerReflectionRequest]:
    yield asked
