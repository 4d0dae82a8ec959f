"""What is written down? JSON, one object a line, on standard error.

Rules:
- A line never holds a tensor, a header's value or a key; only names, numbers and error texts.
- Writing never blocks the event loop: lines go through a bounded queue to a thread; a full queue drops
  the line and counts it.
- Successes are sampled by the request's id; errors are kept, at most `ERRORS_PER_S` a second, and what
  was left out is counted in the next line, so that a flood of refusals cannot become a flood of writes.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal, TextIO, TypeAlias

import orjson

__all__ = ["RequestLog", "json_logging"]

ERRORS_PER_S = 20

Value: TypeAlias = str | int | float | bool | None
LevelName: TypeAlias = Literal["debug", "info", "warning", "error"]

_MAX_QUEUED_LINES = 10_000


class _JsonLines(logging.Formatter):
    """One JSON object: `at`, `level`, `event`, and what the caller put in `extra={"fields": …}`."""

    def __init__(self, fields: Mapping[str, Value]) -> None:
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Value] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **self._fields,
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class _DroppingQueueHandler(logging.handlers.QueueHandler):
    """Drops and counts when the queue is full, where the standard one would print a traceback."""

    def __init__(self, lines: queue.Queue[logging.LogRecord], dropped: Callable[[], None]) -> None:
        super().__init__(lines)
        self._lines = lines
        self._dropped = dropped

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record  # formatted by the thread; the record stays in this process

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait(record)
        except queue.Full:
            self._dropped()


@contextmanager
def json_logging(
    level: LevelName,
    dropped: Callable[[], None],
    stream: TextIO | None = None,
    *,
    fields: Mapping[str, Value] | None = None,
) -> Iterator[None]:
    """Send every log record of the process to `stream` (standard error) as JSON, until the block ends.

    `fields` are in every line.
    """
    lines: queue.Queue[logging.LogRecord] = queue.Queue(_MAX_QUEUED_LINES)
    writer = logging.StreamHandler(stream or sys.stderr)
    writer.setFormatter(_JsonLines(fields or {}))
    listener = logging.handlers.QueueListener(lines, writer)
    entry = _DroppingQueueHandler(lines, dropped)
    root = logging.getLogger()
    before, before_level = root.handlers[:], root.level
    root.handlers[:] = [entry]
    root.setLevel(level.upper())
    listener.start()
    try:
        yield
    finally:
        listener.stop()
        root.handlers[:] = before
        root.setLevel(before_level)


class RequestLog:
    """Decides which requests get a line, and writes it.

    Invariant: at most `ERRORS_PER_S` error lines in any one-second window that starts with a line.
    """

    def __init__(self, success_sample_ratio: float, clock: Callable[[], float]) -> None:
        self._sampled_below = success_sample_ratio * 2**32
        self._clock = clock
        self._log = logging.getLogger("tandem.requests")
        self._window_start = float("-inf")
        self._in_window = 0
        self._left_out = 0

    def wants(self, request_id: str, *, ok: bool) -> bool:
        """Whether this request gets a line; to be asked once for each request."""
        if ok:
            # A checksum spreads ids well enough to choose log lines, and costs next to nothing.
            return zlib.crc32(request_id.encode()) < self._sampled_below
        now = self._clock()
        if now - self._window_start >= 1.0:
            self._window_start, self._in_window = now, 0
        if self._in_window >= ERRORS_PER_S:
            self._left_out += 1
            return False
        self._in_window += 1
        return True

    def write(self, *, ok: bool, fields: Mapping[str, Value]) -> None:
        """Write one line about a request that `wants` agreed to."""
        extra: dict[str, Value] = dict(fields)
        if not ok and self._left_out:
            extra["error_lines_left_out"], self._left_out = self._left_out, 0
        self._log.log(logging.INFO if ok else logging.WARNING, "request", extra={"fields": extra})
