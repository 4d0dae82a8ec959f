"""The service that `bentoml serve` loads; which model, and how it is batched, comes in variables."""

from __future__ import annotations

import json
import os
from typing import Any

import bentoml

from loadtests.peers.served import rows_of

MODEL = os.environ["PEER_MODEL"]
SETTINGS = json.loads(os.environ["PEER_SETTINGS"])


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Served:
    """One worker; requests that wait are joined along their list."""

    def __init__(self) -> None:
        self._answer = rows_of(MODEL)

    @bentoml.api(  # type: ignore[untyped-decorator]
        batchable=SETTINGS["max_batch_size"] > 1,
        max_batch_size=max(SETTINGS["max_batch_size"], 2),  # refuses 1 even without batching
        max_latency_ms=SETTINGS["max_latency_ms"],
    )
    def predict(self, rows: list[dict[str, Any]]) -> list[list[float]]:
        """One batch, or the one row of a request."""
        return self._answer(rows)
