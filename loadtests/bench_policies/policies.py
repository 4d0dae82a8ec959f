"""Which policies are compared? The very classes that `gateway.simulation` drives in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.batching.limits import BatchLimits
from gateway.batching.plan import Plan
from gateway.simulation.driver import Scheduler
from gateway.simulation.policies import (
    Cork,
    FormEarly,
    OldestWaits,
    WindowFromIdle,
    WindowFromReceive,
)
from gateway.simulation.requests import Request

__all__ = ["OURS", "POLICIES", "TITLES"]

OURS = "tandem"

POLICIES: Mapping[str, Callable[[int, float], Scheduler[Any]]] = {
    OURS: lambda rows, _: Plan[Request](BatchLimits(max_batch_rows=rows)),
    "oldest-waits": OldestWaits,
    "window-from-receive": WindowFromReceive,
    "window-from-idle": WindowFromIdle,
    "form-early": FormEarly,
    "cork": lambda rows, _: Cork(rows),
}
"""By name: from rows in a batch and seconds to wait to a scheduler, new for each run."""

TITLES: Mapping[str, str] = {
    OURS: "Tandem: when a slot is free, no timer",
    "oldest-waits": "until the oldest has waited",
    "window-from-receive": "window from the first request (mosec)",
    "window-from-idle": "window from when it is idle (LitServe)",
    "form-early": "form early, then queue (Ray Serve)",
    "cork": "cost of one more (BentoML)",
}
