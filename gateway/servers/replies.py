"""What does a caller get when serving its request raises?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

from gateway.errors import GatewayError, NotReady
from gateway.http1.cycle import CLIENT_LEFT
from gateway.servers.exchange import Exchange
from gateway.servers.http_call import Reply
from gateway.servers.problems import body_of, headers_of, status_of, text_of

__all__ = ["error_reply", "internal", "replied", "without_frames"]

_log = logging.getLogger("tandem.rest")


async def replied(exchange: Exchange, reply: Awaitable[Reply]) -> Reply:
    """The reply, or that of the error in its place, which is noted in the exchange."""
    try:
        return await reply
    except GatewayError as error:
        exchange.error = without_frames(error)
    except asyncio.CancelledError as cancelled:
        if CLIENT_LEFT not in cancelled.args:
            exchange.error = NotReady("the gateway is stopping")
        raise
    except Exception as error:  # noqa: BLE001  # a supervisor: they get an answer, we the trace
        exchange.error = internal(error)
    return error_reply(exchange, exchange.error)


def without_frames(error: GatewayError) -> GatewayError:
    """The same error, without what would hold its exchange, and so the tensors, until a collection."""
    seen: BaseException | None = error
    while seen is not None:
        seen.__traceback__ = None
        seen = seen.__cause__ or seen.__context__
    return error


def internal(error: Exception) -> GatewayError:
    """What a caller is told of a failure of ours, which is logged."""
    _log.error("a request failed inside the gateway", exc_info=error)
    return GatewayError(f"internal error: {type(error).__name__}")


def error_reply(exchange: Exchange, error: GatewayError) -> Reply:
    """An error in the words and form of the exchange's dialect."""
    text = text_of(error, exchange.dialect, exchange.target)
    body = body_of(error, exchange.dialect, text)
    return Reply(status_of(error, exchange.dialect), body, headers=headers_of(error))
