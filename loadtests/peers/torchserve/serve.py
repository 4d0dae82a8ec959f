"""The handler that TorchServe's worker loads, from the archive's `served.py`."""

from __future__ import annotations

from typing import Any

from loadtests.peers.served import rows_of


class Served:
    """What a worker calls: `initialize` once, then `handle` with a list of requests."""

    def initialize(self, context: Any) -> None:
        """Load the model that the archive is named for."""
        self._answer = rows_of(context.manifest["model"]["modelName"])

    def handle(self, requests: list[dict[str, Any]], context: Any) -> list[Any]:
        """One answer for every request."""
        del context
        return [{"y": row} for row in self._answer([request["body"] for request in requests])]
