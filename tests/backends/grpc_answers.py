"""What a method of a gRPC server in this process may answer, whichever protocol it is of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

__all__ = ["Answer", "always", "refusing"]

Answer: TypeAlias = Callable[[bytes, Any], Awaitable[bytes]]


def always(answer: bytes) -> Answer:
    """The same answer to everybody."""

    async def method(_request: bytes, _context: Any) -> bytes:
        await asyncio.sleep(0)
        return answer

    return method


def refusing(code: grpc.StatusCode, text: str) -> Answer:
    """The same error for everybody."""

    async def method(_request: bytes, context: Any) -> bytes:
        await context.abort(code, text)
        raise AssertionError("abort raises")

    return method
