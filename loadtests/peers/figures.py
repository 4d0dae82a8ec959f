"""What do the rows of a report say of a server? Pure: medians over rounds, its better variant, its capacity."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadtests.results import Row

__all__ = ["EARLY", "OFFLINE", "US", "Figures"]

EARLY = "ended early"  # the setting that says why
US = "tandem"
OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class Figures:
    """The rows of one model."""

    model: str
    rows: Sequence[Row]

    @classmethod
    def of(cls, model: str, rows: Iterable[Row]) -> Figures:
        """Those of `model` among all rows of a report."""
        return cls(model, [row for row in rows if row["model"] == model])

    def servers(self, loop: str = "closed") -> list[str]:
        """Who was measured, in the order in which they were first."""
        return list(dict.fromkeys(str(row["server"]) for row in self.rows if row["loop"] == loop))

    def title(self, server: str) -> str:
        """As its makers call it."""
        told = {row["server"]: row["title"] for row in self.rows if row["loop"] == "settings"}
        return str(told.get(server, server))

    def variants(self, server: str) -> list[str]:
        """Its variants, in the same order."""
        found = self._closed(server)
        return list(dict.fromkeys(str(row["variant"]) for row in found))

    def connections(self) -> list[int]:
        """The numbers of callers, ascending."""
        found = {int(row["connections"] or 0) for row in self.rows if row["loop"] == "closed"}
        return sorted(found)

    def closed(
        self, server: str, variant: str, connections: int, measure: str = "per_s"
    ) -> float | None:
        """The median of its rounds; None where it was not measured."""
        return _median(
            row[measure]
            for row in self._closed(server)
            if (row["variant"], row["connections"]) == (variant, connections)
        )

    def better(self, server: str) -> str:
        """The variant with more rows a second from 64 callers, or the number measured that is nearest to it."""
        number = min(self.connections(), key=lambda n: (abs(n - 64), n))
        return max(self.variants(server), key=lambda name: self.closed(server, name, number) or 0.0)

    def best(self, server: str, connections: int, measure: str = "per_s") -> float | None:
        """Of its better variant."""
        return self.closed(server, self.better(server), connections, measure)

    def capacity(self, server: str) -> float:
        """The most rows a second of its better variant, from any number of callers."""
        variant = self.better(server)
        return max(self.closed(server, variant, n) or 0.0 for n in self.connections())

    def open(self, server: str, rate: str) -> Row | None:
        """The open-loop row at the rate of this name, if it was measured."""
        found = [
            row
            for row in self.rows
            if row["loop"] == "open" and (row["server"], row["rate"]) == (server, rate)
        ]
        return found[-1] if found else None

    def offline(self) -> float | None:
        """Rows a second of the model without any server."""
        return _median(row["per_s"] for row in self.rows if row["loop"] == OFFLINE)

    def _closed(self, server: str) -> list[Row]:
        return [row for row in self.rows if (row["loop"], row["server"]) == ("closed", server)]


def _median(values: Iterable[object]) -> float | None:
    found = [float(value) for value in values if isinstance(value, int | float)]
    return statistics.median(found) if found else None
