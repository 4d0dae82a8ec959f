"""Is every event one line of JSON?"""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

from serving.tf_serving.events import EventLog


def test_an_event_is_one_line_with_its_time_and_its_fields() -> None:
    stream = io.StringIO()
    EventLog(stream)("listening", port=8500, path=Path("/m"), text="two\nlines")
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert datetime.fromisoformat(event.pop("time")).utcoffset() == timedelta(0)
    assert event == {"event": "listening", "port": 8500, "path": "/m", "text": "two\nlines"}


def test_threads_do_not_write_into_each_others_lines() -> None:
    stream = io.StringIO()
    log = EventLog(stream)
    with ThreadPoolExecutor(8) as threads:
        for number in range(400):
            threads.submit(log, "event", number=number)
    numbers = [json.loads(line)["number"] for line in stream.getvalue().splitlines()]
    assert sorted(numbers) == list(range(400))
