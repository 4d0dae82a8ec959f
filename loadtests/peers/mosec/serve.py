"""mosec with one model: `serve.py MODEL PORT SETTINGS`, the settings as JSON. Its documentation's batched worker."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import msgspec
from mosec import Runtime, Server, Worker

from loadtests.peers.served import Row, rows_of

MODEL, PORT, SETTINGS = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])

BATCHING = SETTINGS["max_batch_size"] > 1


class Served(Worker):  # type: ignore[misc]  # not in the gateway's environment, where mypy runs
    """One batch at a time; JSON both ways by the standard library, mosec's default."""

    def __init__(self) -> None:
        super().__init__()
        self._answer = rows_of(MODEL)

    def forward(self, data: Any) -> Any:
        """One answer for every request; without batching, mosec hands over the only one."""
        rows: list[Row] = data if BATCHING else [data]
        answers = self._answer(rows)
        return answers if BATCHING else answers[0]


class Fast(Served):
    """The same with the JSON of msgspec, which mosec's documentation recommends."""

    def deserialize(self, data: bytes) -> Any:
        """A request's body."""
        return msgspec.json.decode(data)

    def serialize(self, data: Any) -> bytes:
        """An answer's body."""
        body: bytes = msgspec.json.encode(data)
        return body


if __name__ == "__main__":
    # mosec starts its workers as new processes, which read this command line again; it reads its own options
    # from variables, too.
    os.environ |= {
        "MOSEC_ADDRESS": "127.0.0.1",
        "MOSEC_PORT": PORT,
        "MOSEC_TIMEOUT": str(int(SETTINGS.get("timeout_s", 60) * 1000)),
        "MOSEC_LOG_LEVEL": "warning",
    }
    runtime = Runtime(
        Fast if SETTINGS["json"] == "msgspec" else Served,
        num=1,
        max_batch_size=SETTINGS["max_batch_size"],
        max_wait_time=SETTINGS["max_wait_time_ms"],
    )
    server = Server()
    server.register_runtime({"/inference": [runtime]})
    server.run()
