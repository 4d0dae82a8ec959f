"""What did an arm's answered batches and failed requests cost? What statistics ask, and Prometheus does not.

Exact counts by batch size belong to the Open Inference Protocol's statistics; as a metric they would be a
series for every size. They belong to the event loop's thread, and live as long as the process.
"""

from __future__ import annotations

__all__ = ["Execution", "Executions"]


class Execution:
    """Answered batches of one size: how many, and seconds at the backend in all."""

    __slots__ = ("count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0


class Executions:
    """One arm's, since the process began.

    Attributes:
        by_rows: By the rows of a batch; as many as batches have sizes, so at most `max_batch_rows` and one.
        requests, request_s: Requests in answered batches, and the seconds of each one's batch in all.
        failed_s: Seconds that requests took which ended in an error.
        last_answered: When the last request was answered, on the clock of deadlines; None for never.
    """

    __slots__ = ("by_rows", "failed_s", "last_answered", "request_s", "requests")

    def __init__(self) -> None:
        self.by_rows: dict[int, Execution] = {}
        self.requests = 0
        self.request_s = 0.0
        self.failed_s = 0.0
        self.last_answered: float | None = None

    def note(self, rows: int, requests: int, seconds: float) -> None:
        """Note one batch that the backend answered."""
        found = self.by_rows.get(rows)
        if found is None:
            found = self.by_rows[rows] = Execution()
        found.count += 1
        found.seconds += seconds
        self.requests += requests
        self.request_s += seconds * requests
