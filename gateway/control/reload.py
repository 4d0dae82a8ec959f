"""Who is told when a caller wants a TensorFlow Serving to serve other models, and when does it show?

The backend that `forwards_reload`, if one is configured so. When it has answered, what it serves is asked
for and in force before the caller hears of it, as it is in TensorFlow Serving itself.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway.config import BackendConfig, Config
from gateway.control.reconcile import Reconciler
from gateway.errors import BackendRefused, QueueFull, Unsupported
from gateway.messages import Deadline, Trace
from gateway.ports import Reloadable

__all__ = ["Reloads"]


class Reloads:
    """Takes reloads, one at a time: several replicas could take two in different orders."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler
        self._is_under_way = False

    async def reload(self, data: bytes, deadline: Deadline, *, trace: Trace | None = None) -> bytes:
        """Pass one ReloadConfigRequest on, and give the answer back as it came.

        A caller that leaves does not take it back; what has come of it is then seen in the reconciler's
        next round.

        Raises:
            Unsupported: no backend is configured so; nothing was sent.
            QueueFull: another one is under way; nothing was sent.
            BackendError: as `Reloadable.reload`.
        """
        name, settings = _reloaded(self._reconciler.config)
        if self._is_under_way:
            raise QueueFull(
                "another HandleReloadConfigRequest is under way, one at a time is taken"
            )
        backend = self._reconciler.backend(name, settings)
        assert isinstance(backend, Reloadable), "the configuration was checked for that"
        self._is_under_way = True
        try:
            answer = await backend.reload(data, deadline, trace=trace)
            await self._look_again(deadline)
        except BackendRefused:  # perhaps after it took a model that it then could not load
            await self._look_again(deadline)
            raise
        finally:
            self._is_under_way = False
        return answer

    async def _look_again(self, deadline: Deadline) -> None:
        # Too late to see what is done is not too late to say that it is done.
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline.at):
                await self._reconciler.look_again()


def _reloaded(config: Config | None) -> tuple[str, BackendConfig]:
    """The backend that reloads are for."""
    for name, backend in config.backends.items() if config is not None else ():
        if backend.forwards_reload:
            return name, backend
    raise Unsupported(
        "Tandem's models are set in its own configuration file, which is read again when it changes;"
        " backends.NAME.forwards_reload = true there passes this call on to that TensorFlow Serving"
    )
