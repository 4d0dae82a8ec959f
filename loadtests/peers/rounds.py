"""In which order is everybody measured? One after another, round by round, so that a busy minute hits all alike."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from loadtests.bench.processes import ROOT
from loadtests.peers.figures import OFFLINE, US, Figures
from loadtests.peers.peer import VARIANTS, Model, NotServing, Peer, Variant
from loadtests.peers.questions import Questions, questions
from loadtests.peers.session import ClosedLoop, OpenLoop, Scope, Session, Subject, session
from loadtests.peers.targets import half_of
from loadtests.results import Row

__all__ = ["Options", "measure", "measured"]

OFFLINE_S = 3.0
WHY = 300  # characters of a failure in the report
MINILM_OPEN = 2  # times as long: it answers a hundredth as often
WARM: Mapping[Model, ClosedLoop] = {
    "iris": ClosedLoop(connections=64, seconds=2, round=0),
    "minilm": ClosedLoop(connections=16, seconds=2, round=0),
}
"""What every server is put under before it is measured, for everyone alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to measure, and for how long.

    Attributes:
        peers: Tandem among them.
        connections: Of the closed loops with each model.
        shares: Of a server's capacity, as offered in the open loops.
        seconds: Of one measurement with iris; minilm's take longer.
        rounds: With iris; minilm takes half as many, rounded up.
    """

    peers: Sequence[Peer]
    models: Sequence[Model]
    variants: Sequence[Variant]
    connections: Mapping[Model, Sequence[int]]
    shares: Sequence[float]
    seconds: int
    rounds: int
    scope: Scope


def measure(options: Options) -> Iterator[Sequence[Row]]:
    """The rows of one start of one server after the other; each is told on standard error as it comes.

    Nothing runs between two of them, so that what there is by then can be kept.
    """
    known: dict[Model, Questions] = {}
    for model in options.models:
        known[model], rate = _offline(model, options)
        yield [rate, *_settings(model, options)]
    rows: list[Row] = []
    for subject, number in _order(options):
        model = subject.model
        loops = [_closed(model, n, number, options.seconds) for n in options.connections[model]]
        rows += (found := measured(subject, known[model], loops, options.scope))
        yield found
    for model in options.models:
        yield [_offline(model, options)[1]]  # again: the machine's speed changes
    for model in options.models:
        for subject, rates in _offers(Figures.of(model, rows), options):
            yield measured(subject, known[model], _open(model, rates, options), options.scope)


def _offers(figures: Figures, options: Options) -> Iterator[tuple[Subject, Mapping[str, float]]]:
    """Who is asked in the open loops at which rates: everybody who answered anything, at its better variant."""
    for peer in options.peers:
        if options.shares and peer.name in figures.servers():
            variant = _variant(figures.better(peer.name))
            rates = _rates(peer.name, figures, options.shares)
            if rates:
                yield Subject(peer, _model(figures.model), variant), rates


def _settings(model: Model, options: Options) -> list[Row]:
    """How each server is set, so that what is rendered is what was measured."""
    return [
        {
            **Subject(peer, model, variant).row,
            "loop": "settings",
            "title": peer.title,
            "settings": ", ".join(f"`{k}` {v}" for k, v in peer.settings[variant][model].items())
            or "defaults",
        }
        for peer in options.peers
        for variant in options.variants
    ]


def _order(options: Options) -> Iterator[tuple[Subject, int]]:
    """Who is measured in which round; another begins each time."""
    passes = [
        (number, model)
        for number in range(options.rounds)
        for model in options.models
        if number < _rounds(model, options)
    ]
    for place, (number, model) in enumerate(passes):
        first = place * len(options.peers) // len(passes)
        for peer in [*options.peers[first:], *options.peers[:first]]:
            for variant in options.variants:
                yield Subject(peer, model, variant), number


def _rounds(model: Model, options: Options) -> int:
    return options.rounds if model == "iris" else (options.rounds + 1) // 2


def _closed(model: Model, connections: int, number: int, seconds: int) -> ClosedLoop:
    # minilm needs seconds to answer each of many callers once, and a batch under way at the end does not count.
    longer = 1 if model == "iris" else min(max(connections // 8, 1), 4)
    return ClosedLoop(connections, seconds * longer, number)


def _open(model: Model, rates: Mapping[str, float], options: Options) -> list[OpenLoop]:
    seconds = options.seconds * (1 if model == "iris" else MINILM_OPEN)
    return [OpenLoop(what, rate, seconds) for what, rate in rates.items()]


def _variant(name: str) -> Variant:
    (found,) = (variant for variant in VARIANTS if variant == name)
    return found


def _model(name: str) -> Model:
    (found,) = (model for model in WARM if model == name)
    return found


def measured(
    subject: Subject, asked: Questions, loops: Sequence[ClosedLoop | OpenLoop], scope: Scope
) -> list[Row]:
    """The rows of one start of one server; of one that fails also a row that says why.

    One that fails before it is measured is started once more: another program may have taken its port.
    """
    began = time.monotonic()
    found = _tried(subject, asked, loops, scope)
    if [row["loop"] for row in found] == ["failed"]:
        found = _tried(subject, asked, loops, scope)
    print(f"{subject.row}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return found


def _tried(
    subject: Subject, asked: Questions, loops: Sequence[ClosedLoop | OpenLoop], scope: Scope
) -> list[Row]:
    found: list[Row] = []
    try:
        with session(subject, asked, scope) as running:
            for row in _checked(running, WARM[subject.model], loops):
                print(_line(row), file=sys.stderr, flush=True)
                found.append(row)
    # A peer's failure is a row of the report, and the others are still measured.
    except (NotServing, OSError, ValueError, subprocess.SubprocessError) as exc:
        print(f"{subject.row}: {exc}", file=sys.stderr, flush=True)
        found.append({**subject.row, "loop": "failed", "why": _told(exc)})
    return found


def _told(exc: Exception) -> str:
    """What it says, and of a log that it quotes the last words."""
    (first, *more) = str(exc).strip().split("\n")
    said = f"{first} {more[-1]}" if more else first
    return f"{type(exc).__name__}: {said}"[:WHY]


def _checked(
    running: Session, warm: ClosedLoop, loops: Sequence[ClosedLoop | OpenLoop]
) -> Iterator[Row]:
    yield running.check()
    running.warm(warm)
    for loop in loops:
        yield running.measure(loop)
    yield running.check()


def _rates(server: str, figures: Figures, shares: Sequence[float]) -> Mapping[str, float]:
    """Its own shares; Tandem is also asked at half of what each of the others can do."""
    own = figures.capacity(server)
    rates = {f"{share:g} of {server}": share * own for share in shares}
    if server == US:
        rates |= {half_of(p): figures.capacity(p) / 2 for p in figures.servers() if p != US}
    return {what: rate for what, rate in rates.items() if rate}


def _offline(model: Model, options: Options) -> tuple[Questions, Row]:
    """The questions with all their answers, and the most rows a second without a server."""
    asked = questions(ROOT / "model_store", model)
    answers = options.scope.scratch / f"{model}.npy"
    told = {
        "model": model,
        "rows": asked.rows,
        "expected": asked.expected.tolist(),
        "atol": asked.tolerance.atol,
        "rtol": asked.tolerance.rtol,
        "answers": str(answers),
        "seconds": OFFLINE_S,
    }
    python = ROOT / ".venv-torch" / "bin" / "python"
    cores = ",".join(map(str, options.scope.cores))
    ran = subprocess.run(
        ["taskset", "-c", cores, python, "-m", "loadtests.peers.offline"],  # noqa: S607
        input=json.dumps(told), cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ran.returncode:
        sys.exit(f"offline: {ran.stderr[-2000:]}")
    row: Row = {"server": OFFLINE, "model": model, "loop": OFFLINE, "per_s": float(ran.stdout)}
    print(_line(row), file=sys.stderr, flush=True)
    return asked.with_expected(np.load(answers)), row


def _line(row: Row) -> str:
    return "  ".join(
        f"{name}={value:.5g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in row.items()
    )
