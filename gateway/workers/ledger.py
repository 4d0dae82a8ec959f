"""What was counted, by the workers that live and by those that have died?"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.codecs.oip_statistics import ModelStatistics
from gateway.workers.merging import counted, merged_families, merged_statistics
from gateway.workers.told import Family, Told

__all__ = ["Ledger"]


class Ledger:
    """The newest that each worker told, and the sum of what the dead ones had counted.

    Invariant: a worker's counts are in `_living` or in `_dead`, never in both, so that the totals never
    go back, and nothing is counted twice. What a worker counted between the last time it told and its
    death is lost.
    """

    def __init__(self) -> None:
        self._living: dict[int, Told] = {}
        self._dead = Told()

    def __repr__(self) -> str:
        return f"<Ledger of workers {sorted(self._living)}>"

    def note(self, worker: int, told: Told) -> None:
        """Take what a living worker tells, in place of what it told before."""
        self._living[worker] = told

    def bury(self, worker: int) -> None:
        """Keep what a worker that has ended had counted; its gauges are gone with it."""
        told = self._living.pop(worker, None)
        if told is not None:
            self._dead = Told(
                families=merged_families([self._dead.families, counted(told.families)]),
                statistics=merged_statistics([self._dead.statistics, told.statistics]),
            )

    def families(self, own: Iterable[Family] = ()) -> tuple[Family, ...]:
        """All metrics together, with those of the supervisor's `own`."""
        living = [told.families for told in self._living.values()]
        return merged_families([*living, self._dead.families, own])

    def statistics(self) -> tuple[ModelStatistics, ...]:
        """All statistics together."""
        living = [told.statistics for told in self._living.values()]
        return merged_statistics([*living, self._dead.statistics])
