"""A process of ours ended by itself: is it started again, and after how long?

- The first start is not repeated: what fails before it ever was ready fails for a reason that a person
  has to see to (a wrong file, a missing library).
- After that each failure in a row doubles the wait, and too many in a row are the end of it.
- Having been ready for a while starts the row anew: a crash a day is no crash loop.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Patience", "Record", "Verdict", "after_failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often, and how soon, a process is started again.

    Attributes:
        first_wait_s: Before the first restart of a row; each further one waits twice as long.
        longest_wait_s: The most that a wait grows to.
        max_failures: So many failures in a row, and it is not started again.
        steady_s: Whatever was ready for so long has its earlier failures forgotten.
    """

    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0
    max_failures: int = 5
    steady_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a process has behind it: failures in a row, restarts in all, whether it was ever ready."""

    failures: int = 0
    restarts: int = 0
    was_ready: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The record with the newest failure, and the seconds to wait; None: it is not started again."""

    record: Record
    wait_s: float | None


def after_failure(record: Record, ready_s: float | None, patience: Patience) -> Verdict:
    """Decide on a process that has just ended by itself.

    Args:
        record: What it had behind it when it was started.
        ready_s: The seconds for which it was ready this time, None if it never was.
        patience: How often, and how soon.
    """
    is_steady = ready_s is not None and ready_s >= patience.steady_s
    failures = 1 if is_steady else record.failures + 1
    was_ready = record.was_ready or ready_s is not None
    if not was_ready or failures >= patience.max_failures:
        kept = Record(failures=failures, restarts=record.restarts, was_ready=was_ready)
        return Verdict(record=kept, wait_s=None)
    after = Record(failures=failures, restarts=record.restarts + 1, was_ready=True)
    wait_s = min(patience.longest_wait_s, patience.first_wait_s * 2.0 ** (failures - 1))
    return Verdict(record=after, wait_s=wait_s)
