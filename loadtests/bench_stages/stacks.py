"""How many microseconds of a request's CPU does each stage have, by the stacks that were sampled? Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from loadtests.bench_stages.stages import Frame, Stage, stage_of

__all__ = ["Sampled", "read", "shared_out"]

_LINE = re.compile(r"thread \((\w+)\)(?:: [^;]*)?;(.+) (\d+)")
_FRAME = re.compile(r"(.*?) \(([^()]*?)(?::\d+)?\)")


@dataclass(frozen=True, slots=True)
class Sampled:
    """A stack, outermost call first, and how often it was seen.

    Attributes:
        thread: Its number in /proc; where the profiler knew only another, it is in no list of threads.
    """

    thread: int
    stack: tuple[Frame, ...]
    times: int


def read(text: str) -> list[Sampled]:
    """What py-spy wrote with `--format raw --threads`.

    Raises:
        ValueError: a line is in no such form.
    """
    return [_sampled(line) for line in text.splitlines() if line]


def _sampled(line: str) -> Sampled:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"no stack of a thread: {line!r}")
    stack = tuple([_frame(part) for part in found[2].split(";")])
    return Sampled(int(found[1], 0), stack, int(found[3]))


def _frame(text: str) -> Frame:
    found = _FRAME.fullmatch(text)
    return Frame(text, "") if found is None else Frame(found[1], found[2])


def shared_out(
    sampled: Iterable[Sampled], cpu_s_of: Mapping[int, float], requests: int
) -> dict[Stage, float]:
    """Microseconds of CPU a request, by stage; they add up to what all threads used.

    A thread's CPU goes to stages as its samples do, so that a thread which mostly sleeps, and was seen as it woke up,
    weighs what it used. Threads that were never seen have no Python in them: they are gRPC's own.

    Args:
        sampled: The stacks of one process.
        cpu_s_of: Seconds of CPU by the number of the thread, of the same process.
        requests: How many were answered with that CPU.
    """
    seen: defaultdict[int, Counter[Stage]] = defaultdict(Counter)
    for one in sampled:
        seen[one.thread][stage_of(one.stack)] += one.times
    found: defaultdict[Stage, float] = defaultdict(float)
    for thread, cpu_s in cpu_s_of.items():
        times = seen[thread] or Counter({"gRPC core": 1})
        for stage, count in times.items():
            found[stage] += cpu_s * count / times.total() / requests * 1e6
    return dict(found)
