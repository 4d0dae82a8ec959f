"""What is asked of one running server? Correctness first and last, and load in between; each measurement a row."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loadtests.bench.processes import pause
from loadtests.open_loop import Answer, offer, poisson, post
from loadtests.peers.closed import Closed, closed
from loadtests.peers.judge import Verdict, judge
from loadtests.peers.peer import Model, NotServing, Peer, Server, Variant, started
from loadtests.peers.questions import Questions, padded
from loadtests.results import Row

__all__ = ["ClosedLoop", "OpenLoop", "Scope", "Session", "Subject", "session"]

READY_S = 90.0
LOOK_EVERY_S = 0.3
ANSWER_S = 40.0  # no answer takes longer, or it counts as none
CHECK_CONNECTIONS = 32
WARM_RATIO = 0.2  # of an open-loop run, not counted
SEED = 4


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: a peer, a model and a variant."""

    peer: Peer
    model: Model
    variant: Variant

    @property
    def row(self) -> Row:
        """What every row about it begins with."""
        return {"server": self.peer.name, "variant": self.variant, "model": self.model}


@dataclass(frozen=True, slots=True)
class Scope:
    """Where everything runs: the cores that servers and load share, and a folder for their files."""

    cores: Sequence[int]
    scratch: Path


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """So many callers that wait for their answers, for so long; which round of it this is."""

    connections: int
    seconds: int
    round: int


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """So many rows a second from callers who do not wait for each other; `what` says where the rate comes from."""

    what: str
    rate_per_s: float
    seconds: float


class Session:
    """A running server that has given a right answer."""

    def __init__(self, subject: Subject, server: Server, asked: Questions, scope: Scope) -> None:
        """Write every request, in the server's form."""
        peer = subject.peer
        multiple = int(peer.settings[subject.variant][subject.model].get("client_pads_to", 1))
        self._subject = subject
        self._server = server
        self._asked = asked
        self._scope = scope
        self._path = peer.path.format(model=subject.model)
        self._bodies = [peer.form.write(padded(row, multiple)) for row in asked.rows]
        self._requests = [post(self._path, body) for body in self._bodies]

    def check(self) -> Row:
        """Every row once, many at a time, so that batches mix them; all must be answered, and right."""
        due = np.zeros(len(self._requests))
        offered = offer(
            self._server.address,
            self._requests,
            due,
            connections=CHECK_CONNECTIONS,
            grace_s=ANSWER_S,
        )
        verdict = self._judge(offered.answers)
        errors = len(offered.answers) - verdict.checked
        return {**self._subject.row, "loop": "check", "errors": errors, **_judged(verdict)}

    def warm(self, loop: ClosedLoop) -> None:
        """Put it under load that is not measured.

        Raises:
            NotServing: the server has ended, or no longer answers.
            subprocess.SubprocessError: it cannot be connected to.
        """
        self._load(loop)
        self._drain()

    def measure(self, loop: ClosedLoop | OpenLoop) -> Row:
        """Put the server under load, and wait until it is done with what callers left behind.

        Raises:
            NotServing: the server has ended, or no longer answers.
            subprocess.SubprocessError: it cannot be connected to.
        """
        row = self._closed(loop) if isinstance(loop, ClosedLoop) else self._open(loop)
        self._drain()
        return row

    def await_right(self) -> None:
        """Ask until the answer is right.

        Raises:
            NotServing: that takes too long, or the server has ended.
        """
        until = time.monotonic() + READY_S
        last: Answer | None = None
        while time.monotonic() < until:
            self._server.check()
            offered = offer(
                self._server.address, self._requests[:1], np.zeros(1), connections=1, grace_s=3
            )
            last = offered.answers[0]
            verdict = self._judge(offered.answers)
            if verdict.checked and not verdict.wrong:
                return
            pause(LOOK_EVERY_S)
        raise NotServing(f"no right answer in {READY_S:g} s; the last: {last}")

    def _closed(self, loop: ClosedLoop) -> Row:
        before = self._server.cpu_s()
        ran = self._load(loop)
        used_s, found = self._server.cpu_s() - before, ran.load
        return {
            **self._subject.row,
            "loop": "closed",
            "connections": loop.connections,
            "round": loop.round,
            "per_s": ran.good_per_s,
            "p50_ms": found.p50_ms if found.requests else None,
            "p99_ms": found.p99_ms if found.requests else None,
            "errors": found.errors,
            "cpu_us": used_s / max(found.requests, 1) * 1e6,
            "generator_busy": ran.busy_ratio,
        }

    def _load(self, loop: ClosedLoop) -> Closed:
        return closed(
            self._server.address,
            self._path,
            self._bodies,
            connections=loop.connections,
            seconds=loop.seconds,
            cores=self._scope.cores,
            scratch=self._scope.scratch,
        )

    def _open(self, loop: OpenLoop) -> Row:
        due = poisson(rate_per_s=loop.rate_per_s, seconds=loop.seconds, seed=SEED)
        offered = offer(self._server.address, self._requests, due, grace_s=2 * loop.seconds)
        warm_s = WARM_RATIO * loop.seconds
        told = offered.summary(warm_s=warm_s)
        return {
            **self._subject.row,
            "loop": "open",
            "rate": loop.what,
            "wanted_per_s": loop.rate_per_s,
            "requests": int((due >= warm_s).sum()),
            "answered_per_s": told.answered_per_s,
            "p50_ms": told.p50_ms,
            "p90_ms": told.p90_ms,
            "p99_ms": told.p99_ms,
            "errors": told.errors,
            "unanswered": told.unanswered,
            "late_p99_ms": told.late_p99_ms,
            "generator_busy": told.busy_ratio,
            "valid": told.valid,
            **_judged(self._judge(offered.answers)),
        }

    def _drain(self) -> None:
        # A lone request comes after all that was left behind.
        offered = offer(
            self._server.address, self._requests[:1], np.zeros(1), connections=1, grace_s=ANSWER_S
        )
        self._server.check()
        if offered.answers[0] is None:
            raise NotServing(f"no answer {ANSWER_S:g} s after the load")

    def _judge(self, answers: Sequence[Answer | None]) -> Verdict:
        verdict = judge(answers, self._asked, self._subject.peer.form.read)
        if verdict.wrong:
            print(f"{self._subject.row}: {verdict.wrong} wrong: {verdict.example}", file=sys.stderr)
        return verdict


@contextmanager
def session(subject: Subject, asked: Questions, scope: Scope) -> Iterator[Session]:
    """Start the server, and wait until it answers right.

    Raises:
        NotServing: it does not.
    """
    with started(
        subject.peer,
        subject.model,
        subject.variant,
        scratch=scope.scratch,
        cores=scope.cores,
    ) as server:
        running = Session(subject, server, asked, scope)
        running.await_right()
        yield running


def _judged(verdict: Verdict) -> Row:
    return {"checked": verdict.checked, "wrong": verdict.wrong}
