"""How is what the demo found told to a person? Pure: findings in, lines out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.cli.demo.comparison import Agreement, ArmFigures, Ratio
from gateway.cli.demo.findings import Findings
from gateway.cli.demo.samples import CONCURRENCIES, SURFACES, USERS
from gateway.cli.terminal import Terminal, milliseconds, percent, seconds, table

__all__ = ["describe", "legend"]

_HEAD = (
    "requests", "rows", "batches", "rows/batch", "p50", "p95", "p99", "queue", "backend", "errors",
    "accuracy", "agree",
)  # fmt: skip


def describe(found: Findings, terminal: Terminal) -> list[str]:
    """The report of one model."""
    shares = "/".join(f"{share * 100:.0f}" for share in found.split.expected.values())
    title = (
        f"{found.model} · {found.requests:,} requests, {found.rows:,} rows in"
        f" {seconds(found.took_s)} · split {shares} by user"
    )
    rows = [[one.arm, *_cells(one, found.agreements.get(one.arm))] for one in found.arms]
    lines = [f" {terminal.bold(title)}"]
    lines += [f" {line}" for line in table(("", *_HEAD), rows)]
    lines += [f"   {name:<13} {text}" for name, text in _notes(found)]
    lines += [f"   {terminal.cross} {problem}" for problem in found.problems]
    return lines


def legend() -> str:
    """What the columns mean, and what to bear in mind."""
    callers = ", ".join(map(str, CONCURRENCIES))
    blocks = len(SURFACES) * len(CONCURRENCIES)
    return (
        f" Each model: {len(SURFACES)} protocols × {callers} callers = {blocks} blocks, {len(USERS)} users."
        " p50, p95, p99: as this client saw\n them; it shares the machine's cores with all servers."
        " queue, backend: medians, as the gateway saw them. accuracy,\n agree: of the whole test set,"
        " asked of each arm alone. Intervals: 95 %, over blocks. A shadow's arm also serves\n what is"
        " mirrored to it. ÷ says how times compare under this load,\n on this machine, each backend asked as said above."
    )


def _cells(one: ArmFigures, agreed: Agreement | None) -> list[str]:
    per_batch = f"{one.rows / one.batches:.1f}" if one.batches else "–"
    return [
        f"{one.requests:,}",
        f"{one.rows:,}",
        f"{one.batches:,}",
        per_batch,
        *(milliseconds(value) for value in (one.p50_s, one.p95_s, one.p99_s)),
        milliseconds(one.queue_s),
        milliseconds(one.backend_s),
        f"{one.errors:,}",
        f"{one.accuracy:.3f}",
        percent(agreed.same / agreed.rows) if agreed else "–",
    ]


def _notes(found: Findings) -> Iterable[tuple[str, str]]:
    for p50 in found.p50:
        p95 = next((one for one in found.p95 if one.arm == p50.arm), None)
        tail = f"   p95 {_interval(p95)}" if p95 else ""
        yield f"{p50.arm} ÷ {p50.baseline}", f"p50 {_interval(p50)}{tail}   {p50.blocks} blocks"
    if found.by_length:
        yield (
            "by length",
            "   ".join(
                f"≤ {length} tokens {_interval(one)}" for length, one in found.by_length.items()
            ),
        )
    for arm, one in found.agreements.items():
        yield "same answers", _agreed(arm, one)
    yield "steady", _steady(found)
    yield "split", _split(found)
    for arm, outcomes in found.shadows.items():
        yield "shadow", f"{arm}: {_counts(outcomes)}"
    yield (
        "batching",
        "   ".join(
            f"{concurrency} caller{'s' if concurrency > 1 else ''}: {rows:.1f} rows"
            for concurrency, rows in found.batch_rows.items()
        ),
    )
    middle = CONCURRENCIES[len(CONCURRENCIES) // 2]
    yield (
        f"p50 at {middle}",
        "   ".join(f"{surface} {milliseconds(value)}" for surface, value in found.surfaces.items()),
    )


def _interval(one: Ratio) -> str:
    return f"{one.estimate:.2f} [{one.low:.2f}, {one.high:.2f}]"


def _agreed(arm: str, one: Agreement) -> str:
    return f"{arm}: {one.same} of {one.rows} decisions, numbers at most {one.max_abs:.1e} apart"


def _steady(found: Findings) -> str:
    rows = sum(one.rows for one in found.steadiness.values())
    same = sum(one.same for one in found.steadiness.values())
    worst = max(one.max_abs for one in found.steadiness.values())
    return (
        f"{same:,} of {rows:,} rows decided under traffic as alone, whatever protocol and batch;"
        f" at most {worst:.1e} apart"
    )


def _split(found: Findings) -> str:
    split = found.split
    users = " · ".join(f"{arm} {count}" for arm, count in split.users.items())
    total = sum(split.requests.values())
    shares = " · ".join(
        f"{arm} {percent(count / total if total else None)}"
        for arm, count in split.requests.items()
    )
    kept = "every user kept one arm" if not split.moved else f"{len(split.moved)} users moved"
    return f"users {users}; requests {shares}; {kept}"


def _counts(outcomes: Mapping[str, int]) -> str:
    return (
        ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.items() if count) or "none"
    )
