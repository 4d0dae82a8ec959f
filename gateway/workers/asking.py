"""How does the supervisor ask its workers? Over HTTP, at a Unix socket of each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Self

import aiohttp
import orjson

from gateway.workers.crew import Crew
from gateway.workers.ledger import Ledger
from gateway.workers.told import read_told

__all__ = ["Reply", "Workers"]

_TIMEOUT_S: Final = 1.5  # less than a probe of Kubernetes waits (k8s/base: 2 s)
_HOST: Final = "http://worker"

_log = logging.getLogger("tandem.workers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A worker's answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Workers:
    """Those that serve now, to be asked. `paths` has a socket for each, by its number."""

    def __init__(self, crew: Crew, ledger: Ledger, paths: Sequence[str]) -> None:
        self._crew = crew
        self._ledger = ledger
        self._paths = paths
        self._sessions: list[aiohttp.ClientSession] = []
        self._learning = asyncio.Lock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Connections are made when they are needed."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        for path in self._paths:
            connector = aiohttp.UnixConnector(path)
            session = aiohttp.ClientSession(
                connector=connector, timeout=timeout, auto_decompress=False
            )
            self._sessions.append(await self._stack.enter_async_context(session))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def up(self) -> list[int]:
        """The numbers of those that serve, and have not fallen silent."""
        return [number for number in self._crew.up if number in self._crew.talking]

    async def ask(
        self, number: int, path: str, *, method: str = "GET", body: bytes | None = None
    ) -> Reply | None:
        """What one worker answers; None if it does not, in time."""
        try:
            asked = self._sessions[number].request(method, f"{_HOST}{path}", data=body)
            async with asked as found:
                return Reply(
                    status=found.status, headers=dict(found.headers), body=await found.read()
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            fields = {"worker": number, "path": path, "error": repr(error)}
            _log.warning("a worker did not answer", extra={"fields": fields})
            return None

    async def ask_all(self, path: str, numbers: Sequence[int] | None = None) -> dict[int, Reply]:
        """What those answer that do, by their numbers; of those that serve, unless others are named."""
        numbers = self.up if numbers is None else numbers
        async with asyncio.TaskGroup() as group:
            asked = {number: group.create_task(self.ask(number, path)) for number in numbers}
        replies = {number: task.result() for number, task in asked.items()}
        return {number: reply for number, reply in replies.items() if reply is not None}

    async def ask_json(self, path: str) -> dict[int, Any]:
        """As `ask_all`, of those that answer with status 200, and read."""
        replies = await self.ask_all(path)
        return {
            number: orjson.loads(reply.body)
            for number, reply in replies.items()
            if reply.status == HTTPStatus.OK
        }

    async def learn(self) -> None:
        """Have all that live told to the ledger, those that drain too.

        Of one that does not answer it keeps what it knew. One call at a time: of two answers that overtake
        each other the older would be kept, and a total would go back.
        """
        async with self._learning:
            pids = {number: self._crew.pid(number) for number in self._crew.talking}
            for number, reply in (await self.ask_all("/worker/told", [*pids])).items():
                # Not what one tells that is dead by now: its counts were buried with it.
                if reply.status == HTTPStatus.OK and self._crew.pid(number) == pids[number]:
                    self._ledger.note(number, read_told(reply.body))
