"""Which goals does Tandem have beside its peers, and which did it reach? Pure, from the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loadtests.peers.figures import US, Figures
from loadtests.results import Row, Target

__all__ = ["half_of", "targets"]

# Each server at its better variant.
BEST_AT_64 = 1.0
OTHERS_AT_64 = 4.0
BEST_AT_16 = 2.0
P99_RATIO = 0.5
OFFLINE_RATIO = 0.95


def half_of(server: str) -> str:
    """The name of the rate at half of a server's capacity."""
    return f"0.5 of {server}"


def targets(rows: Sequence[Row]) -> list[Target]:
    """All of them; those that the rows do not answer have no figure."""
    return [*_iris(Figures.of("iris", rows)), *_minilm(Figures.of("minilm", rows))]


def _iris(figures: Figures) -> Iterator[Target]:
    peers = _peers(figures)
    best = _best(figures, peers, 64)
    yield _faster(figures, 64, best, BEST_AT_64)
    for peer in peers:
        if peer != best:
            yield _faster(figures, 64, peer, OTHERS_AT_64)
    yield _faster(figures, 16, _best(figures, peers, 16), BEST_AT_16)
    got = _divided(_at_64(figures, f"{US}-tfserving"), _at_64(figures, "tfserving"))
    yield Target("iris: requests/s of 64 callers, TF Serving behind Tandem ÷ by itself", got, 1.0)
    for peer in peers or ["a peer"]:
        got = _divided(
            _p99(figures, US, half_of(peer)),
            _p99(figures, peer, half_of(peer)),
        )
        what = f"iris: p99 at half of {peer}'s capacity ÷ {peer}'s there"
        yield Target(what, got, P99_RATIO, "lower")


def _minilm(figures: Figures) -> Iterator[Target]:
    ours = figures.capacity(US) if US in figures.servers() else None
    got = _divided(ours, figures.offline())
    yield Target("minilm: rows/s ÷ the offline maximum", got, OFFLINE_RATIO)
    p99_ms = [figures.best(peer, 64, "p99_ms") for peer in _peers(figures)]
    lowest = min((value for value in p99_ms if value is not None), default=None)
    ours = figures.best(US, 64, "p99_ms") if US in figures.servers() else None
    what = "minilm: p99 of 64 callers ÷ the lowest of a peer (below 1, an SLO between them is ours alone)"
    yield Target(what, _divided(ours, lowest), 1.0, "lower")


def _peers(figures: Figures) -> list[str]:
    return [server for server in figures.servers() if not server.startswith((US, "tfserving"))]


def _best(figures: Figures, peers: Sequence[str], connections: int) -> str | None:
    measured = [peer for peer in peers if figures.best(peer, connections) is not None]
    return max(measured, key=lambda p: figures.best(p, connections) or 0.0, default=None)


def _faster(figures: Figures, connections: int, peer: str | None, wanted: float) -> Target:
    ours = figures.best(US, connections) if US in figures.servers() else None
    theirs = None if peer is None else figures.best(peer, connections)
    what = f"iris: requests/s of {connections} callers ÷ those of {peer or 'the best peer'}"
    return Target(what, _divided(ours, theirs), wanted)


def _at_64(figures: Figures, server: str) -> float | None:
    return figures.best(server, 64) if server in figures.servers() else None


def _p99(figures: Figures, server: str, rate: str) -> float | None:
    row = figures.open(server, rate)
    value = None if row is None or not row["valid"] else row["p99_ms"]
    return float(value) if isinstance(value, int | float) else None


def _divided(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or not theirs else ours / theirs
