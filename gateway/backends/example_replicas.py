"""How do several TensorFlow Servings answer questions about examples, and take other models while they run?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from gateway.backends.replicas import Replicas
from gateway.backends.taken import all_taken
from gateway.codecs.named_model import model_named
from gateway.errors import GatewayError
from gateway.messages import Deadline, ExampleMethod, Trace
from gateway.ports import Backend, ExampleBackend, Reloadable

__all__ = ["ExampleReplicas"]


class ExampleReplicas(Replicas):
    """Replicas that all answer questions about examples, and all take other models while they run."""

    async def ask(
        self,
        method: ExampleMethod,
        data: bytes,
        deadline: Deadline,
        *,
        trace: Trace | None = None,
    ) -> bytes:
        """Put one question to one replica; see `ports.ExampleBackend.ask` for what is raised."""

        def call(index: int) -> Awaitable[bytes]:
            replica = self._replicas[index]
            assert isinstance(replica, ExampleBackend), "else these are plain replicas"
            return replica.ask(method, data, deadline, trace=trace)

        return await self._ask(model_named(data, self._roster.lacking), deadline, call)

    async def reload(self, data: bytes, deadline: Deadline, *, trace: Trace | None = None) -> bytes:
        """Send every replica another configuration; see `all_taken` for what comes of it."""

        async def told(replica: Backend) -> bytes | GatewayError:
            assert isinstance(replica, Reloadable), "else these are plain replicas"
            try:
                return await replica.reload(data, deadline, trace=trace)
            except GatewayError as error:
                return error

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(told(replica)) for replica in self._replicas]
        return all_taken(
            dict(zip(self._roster.addresses, [task.result() for task in tasks], strict=True))
        )
