"""Which versions are held, and in what phase?

Reads the store again and again, asks `registry` what to do, and does it: one task for each version, from
its load to its end. A version is found for a request only while it is ready; requests that have found it
are finished before its workers stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, assert_never

from gateway.errors import GatewayError, NotReady, UnknownModel
from serving.torch_server.contract import Contract
from serving.torch_server.frames import Frame
from serving.torch_server.logs import log
from serving.torch_server.metrics import Metrics, VersionMetrics, VersionState
from serving.torch_server.package import PackageRefused, choose_device
from serving.torch_server.pool import Pool, PoolSettings
from serving.torch_server.process import start_worker
from serving.torch_server.registry import Key, Load, Phase, Unload, choose_versions, next_actions
from serving.torch_server.settings import Settings
from serving.torch_server.store_watch import Stored, StoreReader

__all__ = ["Fleet", "Served"]

_LOADS_AT_ONCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A version that can be asked."""

    model: str
    version: str
    platform: str
    contract: Contract
    pool: Pool
    metrics: VersionMetrics


@dataclass(slots=True)
class _Held:
    """One version, from the moment it is to be loaded until it is gone."""

    key: Key
    phase: Phase = Phase.LOADING
    reason: str = ""  # why it was refused: the metric label, and
    problem: str = ""  # the text
    served: Served | None = None
    task: asyncio.Task[None] | None = None
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def describe(self) -> str:
        return f"{self.phase.value}: {self.problem}" if self.problem else self.phase.value


class Fleet:
    """The versions of the server.

    Invariants: each held version has one task of `run`'s group; `_newest` and `_by_version` name exactly
    the versions in phase READY.
    """

    def __init__(self, settings: Settings, metrics: Metrics, scratch: Path) -> None:
        self._settings = settings
        self._metrics = metrics
        self._scratch = scratch
        self._store = StoreReader(settings.model_store)
        self._held: dict[Key, _Held] = {}
        self._newest: dict[str, Served] = {}
        self._by_version: dict[tuple[str, str], Served] = {}
        self._loads = asyncio.Semaphore(_LOADS_AT_ONCE)
        self._changed = asyncio.Event()
        self._has_settled = False
        self._closing = False
        self._store_problem = ""
        self._pool_settings = PoolSettings(
            runners=settings.runners,
            max_queued=settings.max_queued,
            load_timeout_s=settings.load_timeout_s,
            run_timeout_s=settings.run_timeout_s,
        )
        metrics.watch(self.states)

    async def run(self) -> None:
        """Follow the store until `close`, then until every version has let go of its workers."""
        async with asyncio.TaskGroup() as group:
            while not self._closing:
                if (stored := await self._read_store()) is not None:
                    self._act(stored, group)
                await self._wait_for_change()
            for held in tuple(self._held.values()):
                self._let_go(held)

    def close(self) -> None:
        """Finish what is accepted, then let `run` end."""
        self._closing = True
        self._changed.set()

    def find(self, model: str, version: str | None) -> Served:
        """The version to ask: the newest that is ready if none is named.

        Raises:
            UnknownModel: no such model, or no such version of it.
            NotReady: there is, but it cannot be asked now; with the reason.
        """
        served = self._by_version.get((model, version)) if version else self._newest.get(model)
        if served is None:
            raise self._why_not(model, version)
        return served

    def versions(self, model: str) -> tuple[str, ...]:
        """The versions of a model that can be asked, ascending."""
        return tuple(version for name, version in self._by_version if name == model)

    @property
    def is_ready(self) -> bool:
        """Whether what the store held at first has settled, and something of what is held can be asked."""
        return self._has_settled and (not self._held or bool(self._newest))

    def states(self) -> Iterator[VersionState]:
        """What is true of every held version now, by model and version."""
        for key in sorted(self._held):
            held = self._held[key]
            pool = held.served.pool if held.served else None
            yield VersionState(
                model=key.model,
                version=str(key.version),
                phase=held.phase.value,
                reason=held.reason,
                problem=held.problem or (pool.trouble if pool else ""),
                queued=pool.queued if pool else 0,
                in_flight=pool.in_flight if pool else 0,
                workers=pool.workers if pool else 0,
                restarts=pool.restarts if pool else 0,
            )

    async def _read_store(self) -> Mapping[Key, Stored] | None:
        try:
            stored = await asyncio.to_thread(self._store.read)
        except OSError as exc:
            # What is held serves on: a store that cannot be read does not say that it is empty.
            if str(exc) != self._store_problem:
                log("store_unreadable", level="error", reason=str(exc))
            self._store_problem = str(exc)
            return None
        self._store_problem = ""
        return stored

    def _act(self, stored: Mapping[Key, Stored], group: asyncio.TaskGroup) -> None:
        settings = self._settings
        wanted = choose_versions(
            stored, models=settings.models, latest_versions=settings.latest_versions
        )
        for action in next_actions(wanted, {key: held.phase for key, held in self._held.items()}):
            match action:
                case Load(key):
                    self._held[key] = held = _Held(key)
                    held.task = group.create_task(self._hold(held, stored[key]))
                case Unload(key):
                    self._let_go(self._held[key])
                case _:
                    assert_never(action)
        self._note_phases()

    async def _wait_for_change(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.poll_s):
                await self._changed.wait()
        self._changed.clear()

    def _let_go(self, held: _Held) -> None:
        held.closing.set()
        if held.phase is Phase.REFUSED:
            del self._held[held.key]
        elif held.phase is Phase.LOADING and held.task is not None:
            held.task.cancel()

    async def _hold(self, held: _Held, stored: Stored) -> None:
        """The life of one version, from its load to its end."""
        try:
            served = held.served = self._prepare(stored)
            async with AsyncExitStack() as stack:
                async with self._loads:
                    await stack.enter_async_context(served.pool.running())
                self._enter(held, Phase.READY)
                await held.closing.wait()
                self._enter(held, Phase.UNLOADING)
                if not await served.pool.drained(self._settings.drain_timeout_s):
                    log("drain_timed_out", level="error", version=served.pool.name)
        except PackageRefused as exc:
            held.reason, held.problem = exc.reason, str(exc)
            self._enter(held, Phase.REFUSED)
            return
        del self._held[held.key]
        log("version_unloaded", model=held.key.model, version=str(held.key.version))
        self._changed.set()

    def _prepare(self, stored: Stored) -> Served:
        model, version = stored.key.model, str(stored.key.version)
        name = f"{model}/{version}"
        if stored.manifest is None:
            raise PackageRefused("manifest", stored.problem)
        artifact = stored.manifest.artifacts["torch"]
        contract = Contract.of(model, stored.manifest.signature)
        order = {
            "folder": str(stored.folder),
            "entry": artifact.entry,
            "files": {name: asdict(record) for name, record in artifact.files.items()},
            "device": choose_device(self._settings.device, artifact.device),
            "threads": self._settings.threads,
        }
        return Served(
            model=model,
            version=version,
            platform=artifact.platform,
            contract=contract,
            pool=Pool(
                contract,
                Frame("load", order),
                self._pool_settings,
                name=name,
                start=partial(start_worker, name, self._settings.threads, self._scratch),
            ),
            metrics=self._metrics.of_version(model, version),
        )

    def _enter(self, held: _Held, phase: Phase) -> None:
        held.phase = phase
        model, version = held.key.model, str(held.key.version)
        if phase in (Phase.READY, Phase.REFUSED):
            self._metrics.count_load(model, version, held.reason or "ready")
        level: Literal["info", "error"] = "error" if phase is Phase.REFUSED else "info"
        log(
            f"version_{phase.value.lower()}",
            level=level,
            model=model,
            version=version,
            reason=held.problem,
        )
        self._note_phases()
        self._changed.set()  # what may go, and what may come, depends on it

    def _note_phases(self) -> None:
        ready = [key for key in sorted(self._held) if self._held[key].phase is Phase.READY]
        served = [held.served for key in ready if (held := self._held[key]).served is not None]
        self._newest = {each.model: each for each in served}
        self._by_version = {(each.model, each.version): each for each in served}
        self._has_settled |= all(held.phase is not Phase.LOADING for held in self._held.values())

    def _why_not(self, model: str, version: str | None) -> GatewayError:
        if not self._has_settled and not any(key.model == model for key in self._held):
            return NotReady("the server is still reading its model store")
        held = [self._held[key] for key in sorted(self._held) if key.model == model]
        if not held:
            known = ", ".join(sorted({key.model for key in self._held})) or "none"
            return UnknownModel(f"got model {model!r}, models here: {known}")
        if version is not None:
            known = ", ".join(str(each.key.version) for each in held)
            held = [each for each in held if str(each.key.version) == version]
            if not held:
                return UnknownModel(f"model {model!r} has no version {version!r}, it has: {known}")
        told = "; ".join(f"version {each.key.version} is {each.describe()}" for each in held)
        return NotReady(f"model {model!r} cannot be asked: {told}")
