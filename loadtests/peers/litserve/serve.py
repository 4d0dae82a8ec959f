"""LitServe with one model: `serve.py MODEL PORT SETTINGS`, the settings as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import litserve

from loadtests.peers.served import Row, rows_of

MODEL, PORT, SETTINGS = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])

BATCHING = SETTINGS["max_batch_size"] > 1


class Served(litserve.LitAPI):  # type: ignore[misc]  # not in the gateway's environment, where mypy runs
    """What LitServe calls: `setup` once in its worker, then `predict` with a list of requests."""

    def setup(self, device: str) -> None:
        """Load the model."""
        del device
        self._answer = rows_of(MODEL)

    def batch(self, inputs: list[Row]) -> list[Row]:
        """They stay a list: rows differ in length."""
        return inputs

    def predict(self, x: Any) -> list[list[float]]:
        """One batch; without batching, LitServe hands over the only row, and takes its answer as it is."""
        rows: list[Row] = x if BATCHING else [x]
        return self._answer(rows)

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        """It is a list already."""
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        """The answer's JSON."""
        return {"y": output if BATCHING else output[0]}


if __name__ == "__main__":
    api = Served(
        max_batch_size=SETTINGS["max_batch_size"], batch_timeout=SETTINGS["batch_timeout_s"]
    )
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        timeout=SETTINGS.get("timeout_s", 60),
        fast_queue=SETTINGS["fast_queue"],
    )
    server.run(
        host="127.0.0.1",
        port=PORT,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
