"""What happened, for whoever reads the log: one JSON object a line."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import Protocol, TextIO

__all__ = ["EventLog", "Report"]


class Report(Protocol):
    """Where a module reports what happened: `report("listening", port=8500)`."""

    def __call__(self, event: str, /, **fields: object) -> None:
        """Record one event with its fields."""
        ...


class EventLog:
    """Writes every event as one line; any thread may report."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, event: str, /, **fields: object) -> None:
        """Write one event: its UTC time, its name, then the fields."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event}
        text = json.dumps({**line, **fields}, default=str)
        with self._lock:
            self._stream.write(text + "\n")
            self._stream.flush()
