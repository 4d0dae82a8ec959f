"""How is a question answered that asks for no prediction, but about a server or a model?

It is no exchange: it is not booked. Its id and its trace go back through `traced`.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.errors import GatewayError, InvalidRequest
from gateway.messages import Dialect, Target
from gateway.servers.grpc_calls import Call, refusal_of

__all__ = ["find_out", "tell"]

_MAX_QUESTION_BYTES: Final = 64 * 1024
"""What is asked about a model has names in it, and no tensors."""


async def tell(
    dialect: Dialect,
    method: Callable[[bytes], tuple[Target | None, Callable[[], bytes]]],
    data: bytes,
    _: Call,
) -> bytes:
    """Answer a question that needs no waiting: `method` reads it, and returns what will tell."""
    return await find_out(dialect, functools.partial(_at_once, method), data, _)


async def find_out(
    dialect: Dialect,
    method: Callable[[bytes], tuple[Target | None, Callable[[], Awaitable[bytes]]]],
    data: bytes,
    _: Call,
) -> bytes:
    """Answer a question that others must be asked about: `method` is as in `tell`, and what it returns waits."""
    target: Target | None = None
    try:
        if len(data) > _MAX_QUESTION_BYTES:
            raise InvalidRequest(
                f"got {len(data)} bytes, a question has at most {_MAX_QUESTION_BYTES}"
            )
        target, answer = method(data)
        return await answer()
    except GatewayError as error:
        raise refusal_of(error, dialect, target) from error


def _at_once(
    method: Callable[[bytes], tuple[Target | None, Callable[[], bytes]]], data: bytes
) -> tuple[Target | None, Callable[[], Awaitable[bytes]]]:
    target, answer = method(data)

    async def find_out() -> bytes:
        return answer()

    return target, find_out
