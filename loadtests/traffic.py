"""What does each user send, in which order, and is the answer right? Seeded: a run can be repeated.

Every call is encoded before the first is sent. The users of a process share one thread, so whatever the
client does between a request and its answer is added to the times of all the others.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.messages import InferRequest
from gateway.tensors import Tensor, datatype_of
from loadtests.answers import WrongAnswer, check
from loadtests.dialects import Dialect, Encoded, encode, read
from loadtests.samples import Subject
from model_store.held_out import Indices

__all__ = ["Call", "Traffic", "Visitor"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """Some rows of a test set, written in one dialect."""

    subject: Subject
    dialect: Dialect
    rows: Indices
    encoded: Encoded

    @property
    def name(self) -> str:
        """The line of Locust's table that it belongs to."""
        return f"{self.subject.model} {self.dialect}"

    def check(self, body: bytes, header_length: str | None = None) -> None:
        """Read a successful answer and compare it with what is expected.

        Raises:
            WrongAnswer: it is unreadable, or not what the model says of these rows.
        """
        subject = self.subject
        outputs = read(self.dialect, body, header_length, subject.outputs)
        check(subject.expected(self.rows), outputs, subject.tolerance)

    def fault(self, body: bytes, header_length: str | None = None) -> WrongAnswer | None:
        """What `check` finds wrong; None if nothing is."""
        try:
            self.check(body, header_length)
        except WrongAnswer as wrong:
            return wrong
        return None


class Traffic:
    """What the users of one process send."""

    def __init__(
        self, subjects: Sequence[Subject], dialects: Iterable[Dialect], *, seed: int = 0
    ) -> None:
        """Encode every row of every subject in every dialect."""
        self._seed = seed
        self._numbers = itertools.count()
        rng = random.Random(seed)
        groups = [(subject, subject.groups(rng)) for subject in subjects]
        self._calls: Mapping[Dialect, list[list[Call]]] = {
            dialect: [[_call(subject, dialect, rows) for rows in all_] for subject, all_ in groups]
            for dialect in dialects
        }

    def visitor(self, dialect: Dialect) -> Visitor:
        """The next user that speaks this dialect."""
        number = next(self._numbers)
        rng = random.Random(f"{self._seed}/{number}")
        return Visitor(f"user-{number}", self._calls[dialect], rng)


class Visitor:
    """One user: a unit, and calls without end, in rounds that ask every model once, in any order."""

    def __init__(self, unit: str, calls: Sequence[Sequence[Call]], rng: random.Random) -> None:
        """Begin somewhere in each model's calls, so that users do not all send the same rows."""
        self.unit = unit
        self._rng = rng
        self._models = [_from(rng.randrange(len(one)), one) for one in calls]
        self._round: list[itertools.cycle[Call]] = []

    def next_call(self) -> Call:
        """What to send now."""
        if not self._round:
            self._round = self._rng.sample(self._models, len(self._models))
        return next(self._round.pop())


def _from(start: int, calls: Sequence[Call]) -> itertools.cycle[Call]:
    return itertools.cycle([*calls[start:], *calls[:start]])


def _call(subject: Subject, dialect: Dialect, rows: Indices) -> Call:
    inputs = tuple(
        Tensor(name, datatype_of(array), array)
        for name, array in subject.held_out.take(rows).items()
    )
    request = InferRequest(model=subject.model, inputs=inputs)
    return Call(subject=subject, dialect=dialect, rows=rows, encoded=encode(dialect, request))
