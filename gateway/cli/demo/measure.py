"""What can be observed of one model behind the gateway? From warm-up through all blocks to the evidence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.calls import metric_sums
from gateway.cli.demo.callers import Caller, CallFailed
from gateway.cli.demo.comparison import Numbers
from gateway.cli.demo.findings import Evidence
from gateway.cli.demo.samples import Surface, plan_blocks
from gateway.cli.demo.traffic import Sent, Subject, answer_all, run_block, warm_up
from gateway.cli.terminal import CommandError, Terminal
from gateway.config import ModelConfig
from model_store.held_out import TEST_SET, HeldOut
from model_store.manifest import Manifest, ManifestError, versions

__all__ = ["Candidate", "measure", "open_candidate"]

_SETTLE_S = 5.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A model with a test set, about to be measured. The tolerance is the parity gate's."""

    subject: Subject
    config: ModelConfig
    atol: float
    rtol: float


def open_candidate(store: Path, model: str, config: ModelConfig) -> Candidate:
    """Read the newest version's test set and manifest.

    Raises:
        CommandError: they are missing or damaged.
    """
    built = versions(store, model)
    if not built:
        raise CommandError(f"{store / model}: no version is built; run `make store`")
    folder = store / model / str(built[-1])
    try:
        manifest = Manifest.load(folder)
        held_out = HeldOut.load(folder / TEST_SET)
    except (ManifestError, OSError, KeyError, ValueError) as exc:
        raise CommandError(f"{folder}: no usable test set: {exc}") from exc
    headers = [unit.removeprefix("header:").lower() for unit in config.split.unit]
    subject = Subject(
        model=model,
        held_out=held_out,
        outputs=tuple(entry.name for entry in manifest.signature.outputs),
        unit_header=headers[0] if headers else "x-tandem-unit",
    )
    return Candidate(
        subject=subject,
        config=config,
        atol=manifest.parity.atol,
        rtol=manifest.parity.rtol,
    )


async def measure(
    candidate: Candidate,
    callers: Mapping[Surface, Caller],
    admin: str,
    *,
    scale: float,
    terminal: Terminal,
) -> Evidence:
    """Send one model's traffic and return all that was seen.

    Raises:
        CommandError: an arm did not answer before there was any load.
    """
    subject, config = candidate.subject, candidate.config
    name = subject.model
    try:
        await warm_up(subject, callers, list(config.arms))
        terminal.status(f"{name}: the whole test set, {subject.held_out.rows} rows, to every arm")
        reference = await _ask_all(subject, callers, list(config.arms))
    except CallFailed as exc:
        raise CommandError(f"{name} does not answer, without any load: {exc}") from exc
    before = await _counts(admin, name)
    begun = time.perf_counter()
    sent = await _run_blocks(candidate, callers, scale, terminal)
    took_s = time.perf_counter() - begun
    terminal.status(f"{name}: waiting for the shadow")
    after = await _settled_counts(admin, name)
    return Evidence(
        subject=subject,
        config=config,
        sent=sent,
        reference=reference,
        batches={
            arm: after.batches.get(arm, 0) - before.batches.get(arm, 0) for arm in config.arms
        },
        shadows={key: count - before.shadows.get(key, 0) for key, count in after.shadows.items()},
        atol=candidate.atol,
        rtol=candidate.rtol,
        took_s=took_s,
    )


async def _ask_all(
    subject: Subject, callers: Mapping[Surface, Caller], arms: list[str]
) -> dict[str, Numbers]:
    """Every arm's answers to the whole test set, asked side by side; CallFailed if one is missing."""
    try:
        async with asyncio.TaskGroup() as group:
            asked = {arm: group.create_task(answer_all(subject, callers, arm)) for arm in arms}
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return {arm: task.result() for arm, task in asked.items()}


async def _run_blocks(
    candidate: Candidate, callers: Mapping[Surface, Caller], scale: float, terminal: Terminal
) -> list[Sent]:
    blocks = plan_blocks(candidate.subject.held_out, scale=scale)
    sent: list[Sent] = []
    for index, block in enumerate(blocks):
        terminal.status(
            f"{candidate.subject.model}: block {index + 1} of {len(blocks)},"
            f" {block.surface} with {block.concurrency} callers"
        )
        sent += await run_block(candidate.subject, index, block, callers[block.surface])
    return sent


@dataclass(frozen=True, slots=True)
class _Counts:
    """What the gateway has counted: primary batches by arm, mirrored requests by shadow and outcome."""

    batches: Mapping[str, int]
    shadows: Mapping[tuple[str, str], int]


async def _counts(admin: str, model: str) -> _Counts:
    batches = await asyncio.to_thread(
        metric_sums, admin, "tandem_batches_total", "model", "arm", "role"
    )
    shadows = await asyncio.to_thread(
        metric_sums, admin, "tandem_shadow_total", "model", "arm", "outcome"
    )
    return _Counts(
        {
            arm: int(n)
            for (name, arm, role), n in batches.items()
            if (name, role) == (model, "primary")
        },
        {(arm, outcome): int(n) for (name, arm, outcome), n in shadows.items() if name == model},
    )


async def _settled_counts(admin: str, model: str) -> _Counts:
    """The counts once the shadow has had time for what was mirrored: two readings in a row agree."""
    counts = await _counts(admin, model)
    deadline = asyncio.get_running_loop().time() + _SETTLE_S
    while asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_LOOK_EVERY_S)
        before, counts = counts, await _counts(admin, model)
        if counts == before:
            break
    return counts
