"""In which order is everybody measured? One after another, round by round, so that a busy minute hits all alike."""

from __future__ import annotations

import json
import subprocess
import sys
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

__all__ = ["Options", "measure"]

OFFLINE_S = 3.0
MINILM_OPEN = 2  # times as long: it answers a hundredth as often


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to measure, and for how long.

    Attributes:
        peers: Tandem among them.
        connections: Of the closed loops.
        shares: Of a server's capacity, as offered in the open loops.
        seconds: Of one measurement with iris; minilm's take longer.
        rounds: With iris; minilm takes half as many, rounded up.
    """

    peers: Sequence[Peer]
    models: Sequence[Model]
    variants: Sequence[Variant]
    connections: Sequence[int]
    shares: Sequence[float]
    seconds: int
    rounds: int
    scope: Scope


def measure(options: Options) -> list[Row]:
    """All rows; each is told on standard error as it comes."""
    rows: list[Row] = []
    for model in options.models:
        asked, rate = _offline(model, options)
        rows += [rate, *_settings(model, options)]
        for subject, number in _order(model, options):
            loops = [_closed(model, n, number, options.seconds) for n in options.connections]
            rows += _measured(subject, asked, loops, options.scope)
        figures = Figures.of(model, rows)
        for peer in options.peers:
            if options.shares and peer.name in figures.servers():
                subject = Subject(peer, model, _variant(figures.better(peer.name)))
                rates = _rates(peer.name, figures, options.shares)
                rows += _measured(subject, asked, _open(model, rates, options), options.scope)
    return rows


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


def _order(model: Model, options: Options) -> Iterator[tuple[Subject, int]]:
    """Who is measured in which round; another begins each time."""
    rounds = options.rounds if model == "iris" else (options.rounds + 1) // 2
    for number in range(rounds):
        start = number % len(options.peers)
        for peer in [*options.peers[start:], *options.peers[:start]]:
            for variant in options.variants:
                yield Subject(peer, model, variant), number


def _closed(model: Model, connections: int, number: int, seconds: int) -> ClosedLoop:
    # minilm needs seconds to answer each of many callers once.
    longer = 1 if model == "iris" else min(max(connections // 32, 1), 4)
    return ClosedLoop(connections, seconds * longer, number)


def _open(model: Model, rates: Mapping[str, float], options: Options) -> list[OpenLoop]:
    seconds = options.seconds * (1 if model == "iris" else MINILM_OPEN)
    return [OpenLoop(what, rate, seconds) for what, rate in rates.items()]


def _variant(name: str) -> Variant:
    (found,) = (variant for variant in VARIANTS if variant == name)
    return found


def _measured(
    subject: Subject, asked: Questions, loops: Sequence[ClosedLoop | OpenLoop], scope: Scope
) -> list[Row]:
    """The rows of one start of one server; of one that fails, a row that says so."""
    found: list[Row] = []
    try:
        with session(subject, asked, scope) as running:
            for row in _checked(running, loops):
                print(_line(row), file=sys.stderr, flush=True)
                found.append(row)
    except NotServing as exc:
        print(f"{subject.row}: {exc}", file=sys.stderr)
        found.append({**subject.row, "loop": "failed", "why": str(exc).split("\n")[0]})
    return found


def _checked(running: Session, loops: Sequence[ClosedLoop | OpenLoop]) -> Iterator[Row]:
    yield running.check()
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
