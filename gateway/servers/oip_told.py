"""What do we tell of a model's statistics and configuration, in either form of the Open Inference Protocol?

Statistics are the sum over the arms that serve a version, in every dialect and in every worker, since the gateway
began; what shadows were asked is not in them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from gateway.codecs.oip_model_config import BatchingTold
from gateway.codecs.oip_statistics import BatchSize, ModelStatistics, Spent
from gateway.errors import UnknownModel
from gateway.messages import ModelDescription, Target
from gateway.pipeline import Pipeline
from gateway.servers.exchange import Desk
from gateway.servers.statuses import describe_target, versions_of
from gateway.telemetry.executions import Execution
from gateway.telemetry.metrics import ArmMetrics

__all__ = [
    "EXTENSIONS",
    "Clock",
    "batching_of",
    "configuration_of",
    "statistics_here",
    "statistics_of",
]

EXTENSIONS = (
    "binary_tensor_data",
    "model_configuration",
    "model_repository(index)",
    "parameters",
    "statistics",
)

Clock = Callable[[], float]


async def statistics_of(desk: Desk, model: str, version: str | None) -> list[ModelStatistics]:
    """The statistics of one version, of all of a model, or of all models for "".

    Raises:
        UnknownModel: the model or the version is not served here.
        NotReady: those of the other workers cannot be had.
    """
    told = statistics_here(desk.pipeline, model, version, desk.clock)
    if desk.everywhere is None:
        return told
    all_of_it = {(one.name, one.version): one for one in await desk.everywhere()}
    return [all_of_it.get((one.name, one.version), one) for one in told]


def statistics_here(
    pipeline: Pipeline, model: str, version: str | None, clock: Clock
) -> list[ModelStatistics]:
    """As `statistics_of`, of this process alone.

    Raises:
        UnknownModel: the model or the version is not served here.
    """
    table = pipeline.table
    names = [model] if model else sorted(table.models)
    told = []
    for name in names:
        known = versions_of(table.model(name))
        if version is not None and version not in known:
            raise UnknownModel(f"got version {version}, versions served: {list(known)}")
        wanted = known if version is None else (version,)
        told += [_of_version(pipeline, name, one, clock) for one in wanted]
    return told


def configuration_of(
    pipeline: Pipeline, target: Target
) -> tuple[ModelDescription, tuple[str, ...], BatchingTold]:
    """What `oip_model_config` writes of the arm that `target` leads to.

    Raises:
        UnknownModel, NotReady: as `RouteTable.resolve`.
    """
    description = describe_target(pipeline.table, target)
    return (
        description,
        versions_of(pipeline.table.model(target.model)),
        batching_of(pipeline, target),
    )


def batching_of(pipeline: Pipeline, target: Target) -> BatchingTold:
    """How the arm that `target` leads to batches.

    Raises:
        UnknownModel, NotReady: as `RouteTable.resolve`.
    """
    arm = pipeline.table.resolve(target).arm
    limits = pipeline.scene.lanes[arm.model, arm.name].queue.limits
    return BatchingTold(limits.max_batch_rows, limits.max_delay_s)


def _of_version(pipeline: Pipeline, model: str, version: str, clock: Clock) -> ModelStatistics:
    scene = pipeline.scene
    arms = [
        scene.lanes[model, arm.name].metrics
        for arm in scene.table.model(model).arms.values()
        if arm.version == version and (model, arm.name) in scene.lanes
    ]
    executions = [arm.executions for arm in arms]
    answered = [one.last_answered for one in executions if one.last_answered is not None]
    outcomes = [arm.outcomes() for arm in arms]
    by_rows = _by_rows(arms)
    return ModelStatistics(
        name=model,
        version=version,
        last_answered_ms=_wall_ms(max(answered), clock) if answered else 0,
        rows=int(sum(arm.rows.total for arm in arms)),
        batches=sum(size.computed.count for size in by_rows),
        success=Spent(
            sum(ok for ok, _ in outcomes), sum(arm.request_seconds.total for arm in arms)
        ),
        fail=Spent(sum(bad for _, bad in outcomes), sum(one.failed_s for one in executions)),
        queued=Spent(
            sum(sum(arm.queue_seconds.counts) for arm in arms),
            sum(arm.queue_seconds.total for arm in arms),
        ),
        computed=Spent(
            sum(one.requests for one in executions), sum(one.request_s for one in executions)
        ),
        by_rows=by_rows,
    )


def _by_rows(arms: Iterable[ArmMetrics]) -> list[BatchSize]:
    sizes: defaultdict[int, list[Execution]] = defaultdict(list)
    for arm in arms:
        for rows, execution in arm.executions.by_rows.items():
            sizes[rows].append(execution)
    return [
        BatchSize(rows, Spent(sum(e.count for e in found), sum(e.seconds for e in found)))
        for rows, found in sorted(sizes.items())
    ]


def _wall_ms(moment: float, clock: Clock) -> int:
    """A moment of our clock in milliseconds since 1970."""
    return round((datetime.now(UTC).timestamp() - (clock() - moment)) * 1e3)
