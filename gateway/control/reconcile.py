"""How does what is configured become what is served?

    Config ──┐
             ├─▶ routes_of (pure) ─▶ RouteTable ─▶ lanes opened ─▶ Scene installed ─▶ old lanes closed
    Facts  ──┘

Rules:
- A new configuration is looked at as a whole before anything changes; a bad one changes nothing.
- New lanes are open before the scene is swapped, old ones close after it; requests that an old lane has
  accepted are answered by it.
- What the backends say of their models is asked again and again: an arm becomes ready when its backend
  describes it, and stays in the table while the backend is away (its requests then fail, and are counted).
- A backend that has taken other models at a caller's word is asked at once, and nothing is believed that
  was asked before that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.config import BackendConfig, Config, ModelConfig
from gateway.control.fitting import with_sequence
from gateway.control.lanes import Lanes
from gateway.errors import GatewayError, UnknownModel
from gateway.messages import ModelDescription, VersionStatus
from gateway.pipeline import Pipeline, Scene
from gateway.ports import Backend, ExampleBackend
from gateway.routing.table import Arm, ModelRoutes, RouteTable, Shadow
from gateway.telemetry.metrics import Metrics

__all__ = ["Fact", "Reconciler", "routes_of"]

_log = logging.getLogger("tandem.control")

ASK_TIMEOUT_S = 5.0
ASK_EVERY_S = 5.0
ASK_UNREADY_EVERY_S = 0.5

BackendFactory = Callable[[str, BackendConfig], Backend]


@dataclass(frozen=True, slots=True)
class Fact:
    """What a backend last said of an arm: a description, or why there is none.

    `versions` is what a TF Serving told of every version it has had of the model.
    """

    description: ModelDescription | None
    error: str = ""
    is_away: bool = False
    versions: tuple[VersionStatus, ...] = ()


Facts = Mapping[tuple[str, str], Fact]
"""By model and arm."""

_NOTHING_YET = Fact(None, "its backend has not been asked yet")


def routes_of(config: Config, facts: Facts) -> RouteTable:
    """The table that this configuration and these facts make; pure."""
    return RouteTable(
        models={name: _model_routes(name, model, facts) for name, model in config.models.items()}
    )


def _model_routes(name: str, model: ModelConfig, facts: Facts) -> ModelRoutes:
    arms = {
        arm_name: _arm(name, arm_name, model, facts.get((name, arm_name), _NOTHING_YET))
        for arm_name in model.arms
    }
    return ModelRoutes(
        name=name,
        arms=arms,
        labels=model.labels,
        unit_headers=tuple(source.removeprefix("header:").lower() for source in model.split.unit),
        salt=model.split.salt,
        shadows=tuple(
            Shadow(arm=arms[shadow.arm], sample_ratio=shadow.sample_ratio)
            for shadow in model.shadow
        ),
    )


def _arm(model: str, name: str, config: ModelConfig, fact: Fact) -> Arm:
    arm, description, complaint = config.arms[name], fact.description, ""
    if description is not None:
        if not (arm.batching or config.batching).joins:
            description = description.without_rows()
        where = f"models.{model}.sequence"
        description, complaint = with_sequence(where, config.sequence, description)
    version = description.version if description is not None else ""
    pinned = None if arm.version is None else str(arm.version)
    return Arm(
        name=name,
        model=model,
        backend=arm.backend,
        backend_model=arm.model or model,
        weight=arm.weight,
        version=version if pinned is None else pinned,
        description=description,
        error=fact.error,
        complaint=complaint,
        told=tuple(told for told in fact.versions if pinned in (None, told.version)),
    )


class Reconciler:
    """Keeps what is served in step with the configuration and with what the backends say.

    Invariants: `_config` is the configuration in force, or None before the first; every backend of
    `_backends` is named by it; `_reloads` is how often a backend has been told to serve something else.
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        pipeline: Pipeline,
        lanes: Lanes,
        *,
        metrics: Metrics,
        make_backend: BackendFactory,
    ) -> None:
        self._group = group
        self._pipeline = pipeline
        self._lanes = lanes
        self._metrics = metrics
        self._make_backend = make_backend
        self._backends: dict[tuple[str, BackendConfig], Backend] = {}
        self._config: Config | None = None
        self._facts: dict[tuple[str, str], Fact] = {}
        self._told: dict[tuple[str, str], tuple[bool, str, str]] = {}
        self._changed = asyncio.Event()
        self._reloads = 0

    @property
    def config(self) -> Config | None:
        """The configuration in force."""
        return self._config

    async def apply(self, config: Config) -> None:
        """Put `config` in force: ask its backends once, then swap the scene."""
        facts = await self._ask_since_reload(config)
        self._forget_arms(config)
        self._config, self._facts = config, dict(facts)
        self._publish(config)
        self._retire_backends(config)
        self._changed.set()

    async def run(self) -> None:
        """Ask the backends again, until cancelled: soon while an arm is not ready, else now and then."""
        while True:
            self._changed.clear()
            unready = any(fact.error for fact in self._facts.values())
            try:
                async with asyncio.timeout(ASK_UNREADY_EVERY_S if unready else ASK_EVERY_S):
                    await self._changed.wait()
            except TimeoutError:
                await self._refresh()

    async def look_again(self) -> None:
        """Ask every backend what it serves, because one has been told to serve something else."""
        self._reloads += 1
        await self._refresh()

    def backend(self, name: str, config: BackendConfig) -> Backend:
        """The adapter for a backend of a configuration, made when it is first wanted.

        Raises:
            BackendUnavailable: a TLS file cannot be read.
        """
        key = (name, config)
        if key not in self._backends:
            self._backends[key] = self._make_backend(name, config)
        return self._backends[key]

    async def aclose(self) -> None:
        """Close every backend; lanes must have ended before."""
        for backend in self._backends.values():
            await backend.aclose()
        self._backends.clear()

    async def _refresh(self) -> None:
        config = self._config
        if config is None:
            return
        facts = await self._ask_since_reload(config)
        if config is not self._config:
            return  # a new configuration came in while we asked
        kept = {
            key: _newer(self._facts.get(key, _NOTHING_YET), fact) for key, fact in facts.items()
        }
        if kept != self._facts:
            self._facts = kept
            self._publish(config)

    async def _ask_since_reload(self, config: Config) -> Facts:
        while True:
            reloads = self._reloads
            facts = await self._ask_all(config)
            if reloads == self._reloads:
                return facts

    async def _ask_all(self, config: Config) -> Facts:
        keys = [(name, arm) for name, model in config.models.items() for arm in model.arms]
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._ask(config, *key)) for key in keys]
        return {key: task.result() for key, task in zip(keys, asked, strict=True)}

    async def _ask(self, config: Config, model: str, arm: str) -> Fact:
        settings = config.models[model].arms[arm]
        version = None if settings.version is None else str(settings.version)
        try:
            # Making it may fail too, as long as a certificate's file is not there.
            backend = self.backend(settings.backend, config.backends[settings.backend])
            async with asyncio.timeout(ASK_TIMEOUT_S):
                versions = await _versions(backend, settings.model or model)
                try:
                    description = await backend.describe(settings.model or model, version)
                except UnknownModel as error:
                    return Fact(None, str(error), versions=versions)
                return Fact(description, versions=versions)
        except GatewayError as error:
            return Fact(None, str(error), is_away=True)
        except TimeoutError:
            text = f"backend {settings.backend} did not answer in {ASK_TIMEOUT_S:g} s"
            return Fact(None, text, is_away=True)

    def _publish(self, config: Config) -> None:
        table = routes_of(config, self._facts)
        with self._lanes.exchanged(config, table, self.backend) as (lanes, mirrors):
            self._pipeline.install(Scene(table=table, lanes=lanes, mirrors=mirrors))
        for routes in table.models.values():
            for arm in routes.arms.values():
                self._metrics.arm_ready.labels(arm.model, arm.name).set(arm.is_ready)
                self._metrics.arm_weight.labels(arm.model, arm.name).set(arm.weight)
                self._tell(arm)

    def _tell(self, arm: Arm) -> None:
        """Log an arm's state when it has changed; its error's text may differ at every probe."""
        state = (arm.is_ready, arm.version, arm.complaint)
        if self._told.get((arm.model, arm.name)) == state:
            return
        self._told[arm.model, arm.name] = state
        fields = {"model": arm.model, "arm": arm.name, "version": arm.version, "error": arm.error}
        _log.info("arm is ready" if state[0] else "arm is not ready", extra={"fields": fields})
        if arm.complaint:
            fields["error"] = arm.complaint
            _log.error("arm is served without what does not fit it", extra={"fields": fields})

    def _forget_arms(self, config: Config) -> None:
        for model, arm in self._facts:
            if model not in config.models or arm not in config.models[model].arms:
                self._metrics.forget_arm(model, arm)
                self._told.pop((model, arm), None)

    def _retire_backends(self, config: Config) -> None:
        """Close the backends that `config` does not name, once their lanes have ended."""
        wanted = set(config.backends.items())
        retired = [self._backends.pop(key) for key in list(self._backends) if key not in wanted]
        if retired:
            self._group.create_task(self._close_after_lanes(retired))

    async def _close_after_lanes(self, backends: list[Backend]) -> None:
        await self._lanes.drained()
        for backend in backends:
            await backend.aclose()


def _newer(before: Fact, now: Fact) -> Fact:
    """What we know after asking again: a backend that is away does not make us forget its model.

    One that answers that it does not have the model does: the arm is not ready until it has it again.
    """
    if now.is_away and before.description is not None:
        return Fact(before.description, now.error, versions=before.versions)
    return now


async def _versions(backend: Backend, model: str) -> tuple[VersionStatus, ...]:
    """What a TF Serving tells of the model's versions, () if it never had any or cannot say.

    Other servers are not asked: they list what can be had, not what has become of it. What keeps one from
    answering also keeps it from describing the model, and is told there.
    """
    if not isinstance(backend, ExampleBackend):
        return ()
    try:
        return await backend.versions(model)
    except GatewayError:
        return ()
