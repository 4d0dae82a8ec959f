"""Ray Serve with one model: `serve.py MODEL PORT SETTINGS`, the settings as JSON."""

from __future__ import annotations

import json
import signal
import sys
import threading
from typing import Any

import ray
from ray import serve
from ray.serve.schema import LoggingConfig
from starlette.requests import Request

from loadtests.peers.served import Row, rows_of

MODEL, PORT, SETTINGS = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])


class Served:
    """One replica; requests that wait for `_batch` are joined into a list."""

    def __init__(self, model: str) -> None:
        self._answer = rows_of(model)

    @serve.batch(  # type: ignore[untyped-decorator]  # not in the gateway's environment, where mypy runs
        max_batch_size=SETTINGS["max_batch_size"],
        batch_wait_timeout_s=SETTINGS["batch_wait_timeout_s"],
    )
    async def _batch(self, rows: list[Row]) -> list[list[float]]:
        return self._answer(rows)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """One request."""
        return {"y": await self._batch(await request.json())}


if __name__ == "__main__":
    ray.init(include_dashboard=False, num_cpus=2, log_to_driver=False)
    quiet = LoggingConfig(enable_access_log=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT}, logging_config=quiet)
    deployed = serve.deployment(
        num_replicas=1, max_ongoing_requests=SETTINGS["max_ongoing_requests"]
    )(Served)
    serve.run(deployed.bind(MODEL), route_prefix="/predict", logging_config=quiet)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    stopped.wait()
    serve.shutdown()
    ray.shutdown()
