"""What does a worker ask of the others, and tell them? Both by way of the supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Self

import aiohttp
from fastapi import APIRouter, Response

from gateway.codecs.oip_statistics import ModelStatistics
from gateway.errors import NotReady
from gateway.workers.told import Family, Told, read_statistics, written_told

__all__ = ["Office", "told_routes"]

_TIMEOUT_S = 5.0


class Office:
    """The supervisor, as a worker asks it over the Unix socket at `path`."""

    _session: aiohttp.ClientSession

    def __init__(self, path: str) -> None:
        self._path = path

    async def __aenter__(self) -> Self:
        """Connections are made when they are needed."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        connector = aiohttp.UnixConnector(self._path)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def statistics(self) -> Sequence[ModelStatistics]:
        """Those of all workers together.

        Raises:
            NotReady: the supervisor does not answer.
        """
        try:
            async with self._session.get("http://office/admin/statistics") as reply:
                if reply.status == HTTPStatus.OK:
                    return read_statistics(await reply.read())
                raise NotReady(f"the supervisor answered {reply.status}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotReady(f"the supervisor does not answer: {error}") from error


def told_routes(
    families: Callable[[], tuple[Family, ...]], statistics: Callable[[], Sequence[ModelStatistics]]
) -> APIRouter:
    """What the supervisor asks a worker for: all that it has counted. `families` may run in a thread."""
    router = APIRouter()

    @router.get("/worker/told", include_in_schema=False)
    async def told() -> Response:
        found = tuple(statistics())  # on the loop, which counts them
        told = Told(families=await asyncio.to_thread(families), statistics=found)
        return Response(written_told(told), media_type="application/json")

    return router
