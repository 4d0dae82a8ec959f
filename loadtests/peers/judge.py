"""Are the answers right? Number by number, against what the store says of each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from loadtests.open_loop import Answer
from loadtests.peers.questions import Questions

__all__ = ["Verdict", "judge"]

OK = 200
Read: TypeAlias = Callable[[bytes], list[float]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many answers were read, how many were wrong, and the first fault found."""

    checked: int
    wrong: int
    example: str = ""


def judge(answers: Sequence[Answer | None], questions: Questions, read: Read) -> Verdict:
    """Compare every 200; answer `n` is that of row `n % rows`. Others are errors, and counted elsewhere."""
    rows: dict[int, list[float]] = {}
    unreadable = ""
    width = questions.expected.shape[1]
    good = [(n, a) for n, a in enumerate(answers) if a is not None and a.status == OK]
    for number, answer in good:
        try:
            row = read(answer.body)
        except (KeyError, TypeError, ValueError, IndexError) as exc:
            unreadable = f"{type(exc).__name__}: {exc} in {answer.body[:200]!r}"
            continue
        if len(row) == width:
            rows[number] = row
        else:
            unreadable = f"{len(row)} numbers for {width} in {answer.body[:200]!r}"
    wrong = _wrong(rows, questions)
    example = unreadable or (
        f"row {wrong[0] % len(questions.rows)}: other numbers" if wrong else ""
    )
    return Verdict(len(good), len(good) - len(rows) + len(wrong), example)


def _wrong(rows: dict[int, list[float]], questions: Questions) -> list[int]:
    if not rows:
        return []
    numbers = np.array(list(rows))
    got = np.array(list(rows.values()), np.float64)
    right = questions.expected[numbers % len(questions.rows)].astype(np.float64)
    allowed = questions.tolerance.atol + questions.tolerance.rtol * np.abs(right)
    # "Not near" rather than "far": NaN is neither.
    wrong: list[int] = numbers[~(np.abs(got - right) <= allowed).all(axis=1)].tolist()
    return wrong
