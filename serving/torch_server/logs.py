"""What does the server write to standard error? One JSON object a line, one line an event."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

__all__ = ["log", "set_up_logs"]

_LOGGER = logging.getLogger("tandem.torch_server")

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def log(
    event: str,
    *,
    level: Literal["info", "warning", "error"] = "info",
    **fields: str | float | bool | Sequence[str] | None,
) -> None:
    """Write one event. `event` is a name from a fixed set; what varies goes into the fields."""
    _LOGGER.log(_LEVELS[level], event, extra={"fields": fields})


def set_up_logs() -> None:
    """Send all logging of this process, libraries included, to standard error as JSON lines."""
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[stream], force=True)
    _LOGGER.setLevel(logging.INFO)


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
