"""How does an arm get its queue, its backend calls and its metrics, and how does it lose them again?

A lane is opened for each arm that has been described, and for each arm that shadows another; it lives as
long as nothing it was made from changes. Weights are not among those, so moving traffic moves no lane.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gateway.batching.key import BatchKey
from gateway.batching.limits import BatchLimits, Lease
from gateway.batching.queue import BatchQueue
from gateway.batching.record import BatchRecord
from gateway.codecs.trace_context import made_anew
from gateway.config import BackendConfig, BatchingConfig, Config, ShadowConfig
from gateway.control.answers import checked_outputs
from gateway.errors import BackendUnavailable, GatewayError
from gateway.messages import Deadline, InferRequest, Trace
from gateway.pipeline import Lane
from gateway.ports import Backend
from gateway.routing.sampling import is_sampled
from gateway.routing.table import Arm, RouteTable
from gateway.scene import Ranks, declared_ranks, ranks_of
from gateway.shadow.compare import Comparison
from gateway.shadow.mirror import Mirror, Mirrored, MirrorLimits, Outcome
from gateway.telemetry.metrics import ArmMetrics, Metrics
from gateway.tensors import Tensor

__all__ = ["Lanes"]

_log = logging.getLogger("tandem.lanes")

_MAX_DEADLY = 1024
_DEADLY_S = 60.0

Key = tuple[str, str, str]
"""Model, arm, role: "primary", or "shadow"."""

BackendOf = Callable[[str, BackendConfig], Backend]
LeaseOf = Callable[[Key], Lease | None]


@dataclass(frozen=True, slots=True)
class _Recipe:
    """Everything that a lane is made from; a lane is kept while its recipe stays equal."""

    arm: Arm
    backend: BackendConfig
    batching: BatchingConfig
    shadow: ShadowConfig | None = None


@dataclass(frozen=True, slots=True)
class _Open:
    recipe: _Recipe
    lane: Lane
    mirror: Mirror | None
    tasks: tuple[asyncio.Task[None], ...]

    def close(self) -> None:
        """Take no more; what the queue has accepted is still answered, what is mirrored is dropped."""
        if self.mirror is not None:
            self.tasks[1].cancel()
        self.lane.queue.close()


class Lanes:
    """The lanes that are open.

    Invariant: until a lane has been closed and is empty, its queue's `serve` runs as a task of `group`.
    """

    def __init__(
        self, group: asyncio.TaskGroup, metrics: Metrics, lease_of: LeaseOf | None = None
    ) -> None:
        self._group = group
        self._metrics = metrics
        self._lease_of = lease_of
        self._open: dict[Key, _Open] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @contextmanager
    def exchanged(
        self, config: Config, table: RouteTable, backend_of: BackendOf
    ) -> Iterator[tuple[Mapping[tuple[str, str], Lane], Mapping[tuple[str, str], Mirror]]]:
        """The lanes and mirrors of `table`; those no longer wanted are closed when the block ends."""
        wanted = dict(_recipes(config, table))
        before = self._open
        self._open = {
            key: before[key]
            if key in before and before[key].recipe == recipe
            else self._make(key, recipe, backend_of(recipe.arm.backend, recipe.backend))
            for key, recipe in wanted.items()
        }
        lanes = {key[:2]: found.lane for key, found in self._open.items() if key[2] == "primary"}
        mirrors = {key[:2]: found.mirror for key, found in self._open.items() if found.mirror}
        try:
            yield lanes, mirrors
        finally:
            self._close([found for found in before.values() if found not in self._open.values()])

    def close_mirrors(self) -> None:
        """Drop what is mirrored and not yet asked; the first thing to go in a drain."""
        for found in self._open.values():
            if found.mirror is not None:
                found.close()

    async def drain(self) -> None:
        """Close every lane, and wait until all that was accepted has been answered."""
        self._close(list(self._open.values()))
        self._open = {}
        await self.drained()

    async def drained(self) -> None:
        """Wait until every lane that is closing has ended."""
        if self._closing:
            await asyncio.wait(self._closing)

    def _close(self, lanes: list[_Open]) -> None:
        for found in lanes:
            found.close()
            self._closing.update(found.tasks)
            for task in found.tasks:
                task.add_done_callback(self._closing.discard)

    def _make(self, key: Key, recipe: _Recipe, backend: Backend) -> _Open:
        model, arm, role = key
        metrics = ArmMetrics(self._metrics, model, arm, role=role)
        deadly: set[Ranks] = set()
        runner = _Runner(recipe.arm, backend, metrics, deadly)
        described = recipe.arm.description
        limits = BatchLimits.of(recipe.batching, described.max_rows if described else None)
        lease = self._lease_of(key) if self._lease_of else None
        queue = BatchQueue(f"{model}: arm {arm}", limits, runner.run, runner.observe, lease=lease)
        metrics.queued_rows.set_function(lambda: queue.queued_rows)
        metrics.in_flight_batches.set_function(lambda: queue.in_flight)
        metrics.in_flight_limit.set_function(lambda: queue.in_flight_limit)
        tasks = [self._group.create_task(queue.serve())]
        mirror = None
        if recipe.shadow is not None:
            mirror = self._mirror(recipe, recipe.shadow, queue)
            tasks.append(self._group.create_task(mirror.serve()))
        lane = Lane(model=model, queue=queue, metrics=metrics, backend=backend, deadly=deadly)
        return _Open(recipe, lane, mirror, tuple(tasks))

    def _mirror(self, recipe: _Recipe, shadow: ShadowConfig, queue: BatchQueue) -> Mirror:
        arm = recipe.arm

        async def ask(mirrored: Mirrored, deadline: Deadline) -> tuple[Tensor, ...]:
            signature = arm.signature(mirrored.signature)
            key = BatchKey.of(
                version=arm.version,
                signature=signature.name,
                inputs=mirrored.inputs,
                batchable=signature.is_batchable,
                outputs=mirrored.wanted,
                parameters=mirrored.parameters,
            )
            if signature.sequence is not None:
                key = key.in_bucket(signature.sequence)
            served = await queue.submit(key, mirrored.inputs, mirrored.rows, deadline)
            return served.outputs

        def note(
            mirrored: Mirrored, outcome: Outcome, why: Comparison | GatewayError | None
        ) -> None:
            self._metrics.shadow.labels(arm.model, arm.name, outcome).inc()
            if outcome in ("mismatch", "error"):
                fields = {
                    "request_id": mirrored.request_id,
                    "model": arm.model,
                    "arm": mirrored.answered_by,
                    "shadow": arm.name,
                    "found": str(why)[:512],
                }
                _log.debug("shadow %s", outcome, extra={"fields": fields})

        limits = MirrorLimits(
            max_queued=shadow.max_queued,
            max_queued_bytes=shadow.max_queued_bytes,
            max_in_flight=shadow.max_in_flight,
            timeout_s=shadow.timeout_s,
            atol=shadow.atol,
            rtol=shadow.rtol,
        )

        def is_in_sample(request_id: str) -> bool:
            return is_sampled(request_id, shadow.sample_ratio, arm.model)

        return Mirror(limits, is_sampled=is_in_sample, ask=ask, note=note)


class _Runner:
    """Sends an arm's batches to its backend, and books them."""

    def __init__(self, arm: Arm, backend: Backend, metrics: ArmMetrics, deadly: set[Ranks]) -> None:
        self._arm = arm
        self._deadly = deadly
        self._backend = backend
        self._metrics = metrics

    async def run(
        self,
        key: BatchKey,
        inputs: tuple[Tensor, ...],
        rows: int,
        deadline: Deadline,
        *,
        traces: Sequence[Trace | None],
    ) -> tuple[Tensor, ...]:
        """Send one batch; the outputs come back in the order they were asked for."""
        trace = traces[0] if len(traces) == 1 else self._joined(traces)
        request = InferRequest(
            model=self._arm.backend_model,
            trace=trace,
            id="" if trace is None else trace.request_id,
            version=key.version,
            signature=key.signature,
            inputs=inputs,
            outputs=key.outputs,
            parameters=key.parameter_mapping() if key.parameters else {},
            as_is=key.as_is,
        )
        if key.as_is:
            return await self._run_misfit(key, request, deadline)
        response = await self._backend.infer(request, deadline)
        signature = self._arm.signature(key.signature)
        return checked_outputs(self._arm, signature, key.outputs, response.outputs, rows=rows)

    async def _run_misfit(
        self, key: BatchKey, request: InferRequest, deadline: Deadline
    ) -> tuple[Tensor, ...]:
        """Leave a misfit to the backend; if that is lost over it, those like it are refused for a while."""
        try:
            return (await self._backend.infer(request, deadline)).outputs
        except BackendUnavailable:
            ranks, wanted = ranks_of(key), declared_ranks(self._arm.signature(key.signature))
            if ranks != wanted and len(self._deadly) < _MAX_DEADLY:
                self._deadly.add(ranks)
                # Not for ever: it may have gone for another reason, and be back.
                asyncio.get_running_loop().call_later(_DEADLY_S, self._deadly.discard, ranks)
                fields = {"model": self._arm.model, "arm": self._arm.name, "ranks": str(ranks)}
                _log.error("a backend was lost over a misfit", extra={"fields": fields})
            raise

    def _joined(self, traces: Sequence[Trace | None]) -> Trace | None:
        """What a batch of several requests carries; the log tells at debug who they are."""
        if not any(traces):
            return None
        trace = made_anew(traces, os.urandom(24))
        if trace is not None and _log.isEnabledFor(logging.DEBUG):
            brought = [t for t in traces if t is not None]
            fields = {
                "model": self._arm.model,
                "arm": self._arm.name,
                "traceparent": trace.traceparent,
                "joins": ", ".join([f"{t.request_id} {t.traceparent}" for t in brought]),
            }
            _log.debug("a batch of several requests", extra={"fields": fields})
        return trace

    def observe(self, record: BatchRecord) -> None:
        """Book one batch that ended; of one that was never sent there is nothing to tell but a bug."""
        if record.was_sent:
            self._metrics.count_batch(record.departure, record.outcome)
        if record.rows:
            self._metrics.batch_rows.observe(record.rows)
            self._metrics.backend_seconds.observe(record.backend_s)
            if record.outcome == "ok":
                self._metrics.executions.note(record.rows, record.requests, record.backend_s)
            if record.positions:
                self._metrics.count_positions(record.positions, record.padding)
        if record.bug is not None:
            _log.error("a batch failed inside the gateway", exc_info=record.bug)


def _recipes(config: Config, table: RouteTable) -> Iterator[tuple[Key, _Recipe]]:
    for name, routes in table.models.items():
        model = config.models[name]
        for arm in routes.arms.values():
            if arm.description is None:
                continue
            settings = model.arms[arm.name]
            # Neither its weight nor what was last said of its backend changes what a lane does.
            recipe = _Recipe(
                replace(arm, weight=0.0, error=""),
                config.backends[arm.backend],
                settings.batching or model.batching,
            )
            yield (name, arm.name, "primary"), recipe
            for shadow in model.shadow:
                if shadow.arm == arm.name:
                    yield (name, arm.name, "shadow"), replace(recipe, shadow=shadow)
