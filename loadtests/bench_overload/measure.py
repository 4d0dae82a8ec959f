"""What does one server do at its capacity, below and above it, and when too much has ended?"""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loadtests.bench_overload.arms import MODEL, VARIANT, Arm
from loadtests.bench_overload.figures import OK, outcome, recovery_s
from loadtests.bench_overload.load import surge
from loadtests.open_loop import Offered, offer, poisson
from loadtests.open_loop.arrivals import Times
from loadtests.peers.judge import judge
from loadtests.peers.peer import Peer, Server, started
from loadtests.peers.questions import Questions
from loadtests.results import Row

__all__ = ["Plan", "measure"]

START_S = 120.0
SETTLE_S = 60.0
PATIENT_S = 60.0  # the deadline while the capacity is found
IN_PARALLEL = 64  # callers of the closed loop that finds it
CONNECTIONS = 4096
GRACE_S = 3.0
WARM_RATIO = 0.2  # of each run, not counted
AFTER = 0.5  # load after a surge


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How each server is measured.

    Attributes:
        loads: Multiples of its own capacity.
        seconds: Of each load, and of finding the capacity.
        surge_load, surge_s, after_s: An overload, how long, and for how long it is watched after that.
        deadline_s: When an answer is too late.
        seed: Of the arrivals.
    """

    loads: Sequence[float]
    seconds: float
    surge_load: float
    surge_s: float
    after_s: float
    deadline_s: float
    seed: int = 1


def measure(
    arm: Arm, questions: Questions, plan: Plan, *, scratch: Path, show: Callable[[Row], None]
) -> list[Row]:
    """Start a server, measure it and stop it; rows are shown as they come.

    What it can do is found out without a deadline: those who then are too late would be missing in it.
    """
    rows: list[Row] = []
    patient = dataclasses.replace(plan, deadline_s=PATIENT_S)
    with _ready(arm, arm.peer, questions, patient, scratch=scratch) as subject:
        capacity = subject.capacity_per_s()
    with _ready(arm, arm.peer_for(plan.deadline_s), questions, plan, scratch=scratch) as subject:
        for load in plan.loads:
            rows.append(subject.steady(load, capacity))
            show(rows[-1])
        if plan.surge_s:
            rows.append(subject.surge(capacity))
            show(rows[-1])
    return rows


@contextmanager
def _ready(
    arm: Arm, peer: Peer, questions: Questions, plan: Plan, *, scratch: Path
) -> Iterator[_Subject]:
    cores = sorted(os.sched_getaffinity(0))
    with started(peer, MODEL, VARIANT, scratch=scratch, cores=cores) as server:
        subject = _Subject(arm, server, questions, plan)
        subject.settle(START_S)
        yield subject


class _Subject:
    """A running server under one plan."""

    def __init__(self, arm: Arm, server: Server, questions: Questions, plan: Plan) -> None:
        self._arm = arm
        self._server = server
        self._questions = questions
        self._plan = plan
        self._requests = arm.requests(questions, plan.deadline_s)

    def settle(self, patience_s: float) -> None:
        """Wait until nothing is left of what was asked before; ends the program if that takes too long."""
        until = time.monotonic() + patience_s
        quick = 0
        while quick < 3:  # noqa: PLR2004  # in a row
            self._server.check()
            alone = self._offer(np.zeros(1), connections=1, grace_s=5.0)
            answer = alone.answers[0]
            is_quick = answer is not None and answer.status == OK
            quick = quick + 1 if is_quick and alone.answered_s[0] < self._plan.deadline_s else 0
            if time.monotonic() > until:
                sys.exit(f"{self._arm.title} does not answer: {answer}")
            if not quick:
                threading.Event().wait(0.1)

    def capacity_per_s(self) -> float:
        """Answers a second to callers in parallel who each wait for theirs."""
        pilot = self._closed(4 * IN_PARALLEL)
        return self._closed(max(int(pilot * self._plan.seconds), 4 * IN_PARALLEL))

    def _closed(self, number: int) -> float:
        found = self._offer(np.zeros(number), connections=IN_PARALLEL, grace_s=60.0)
        bad = [answer for answer in found.answers if answer is None or answer.status != OK]
        if bad:
            sys.exit(f"{self._arm.title} answered {bad[0]} to {IN_PARALLEL} callers")
        answered = np.sort(found.answered_s)
        begin = len(answered) // 5  # the first batches are not full yet
        return (len(answered) - 1 - begin) / float(answered[-1] - answered[begin])

    def steady(self, load: float, capacity_per_s: float) -> Row:
        """One load, for a while."""
        plan = self._plan
        due = poisson(rate_per_s=load * capacity_per_s, seconds=plan.seconds, seed=plan.seed)
        found = self._offer(due)
        since_s = WARM_RATIO * plan.seconds
        row = self._row(found, "steady", load, (since_s, plan.seconds))
        self.settle(SETTLE_S)
        return {**row, "capacity_per_s": capacity_per_s, "recovery_s": None}

    def surge(self, capacity_per_s: float) -> Row:
        """An overload, and what comes after it; the figures are of the time after it."""
        plan = self._plan
        phases = [
            (plan.surge_load * capacity_per_s, plan.surge_s),
            (AFTER * capacity_per_s, plan.after_s),
        ]
        found = self._offer(surge(phases, seed=plan.seed))
        after = (plan.surge_s, plan.surge_s + plan.after_s)
        back_s = recovery_s(found, plan.deadline_s, since_s=after[0], until_s=after[1])
        row = self._row(found, "after a surge", plan.surge_load, after)
        return {**row, "capacity_per_s": capacity_per_s, "recovery_s": back_s}

    def _row(self, found: Offered, phase: str, load: float, span: tuple[float, float]) -> Row:
        result = outcome(found, self._plan.deadline_s, since_s=span[0], until_s=span[1])
        verdict = judge(found.answers, self._questions, self._arm.peer.form.read)
        if verdict.wrong:
            print(f"{self._arm.title}: {verdict.wrong} wrong: {verdict.example}", file=sys.stderr)
        summary = found.summary()
        return {
            "phase": phase,
            "load": load,
            **dataclasses.asdict(result),
            "wrong": verdict.wrong,
            "late_p99_ms": summary.late_p99_ms,
            "valid": summary.valid,
        }

    def _offer(
        self, due: Times, *, connections: int = CONNECTIONS, grace_s: float = GRACE_S
    ) -> Offered:
        return offer(
            self._server.address, self._requests, due, connections=connections, grace_s=grace_s
        )
