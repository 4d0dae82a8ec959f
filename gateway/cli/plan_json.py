"""How is a plan told to a program?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.cli.plan_report import Answer
from gateway.simulation.planning import Prediction

__all__ = ["as_json"]


def as_json(answer: Answer) -> str:
    """JSON; times in milliseconds."""
    served, goal = answer.served, answer.goal
    told: dict[str, Any] = {
        "measured": {
            "origin": answer.measured.origin,
            "points": [
                {"rows": p.rows, "ms": p.seconds * 1e3, "batches": p.batches}
                for p in answer.measured.curve.points
            ],
            "spread_ratio": served.spread_ratio,
            "overhead_ms": served.overhead_s * 1e3,
        },
        "load": {
            "requests_per_s": answer.load.requests_per_s,
            "rows_per_s": answer.load.rows_per_s,
        },
        "yours": _prediction(answer.yours),
        "best": _prediction(answer.best),
        "tried": [_prediction(one) for one in answer.tried],
        "slo": None,
        "not_known": answer.unknown(),
    }
    if goal is not None:
        found = None if goal.found is None else _prediction(goal.found)
        told["slo"] = {
            "ms": goal.slo_s * 1e3,
            "percentile": answer.percent,
            "needs": found,
            "least_replicas": goal.least,
        }
    return json.dumps(told, indent=2)


def _prediction(found: Prediction) -> Mapping[str, Any]:
    limits = found.limits
    return {
        "max_batch_rows": limits.max_batch_rows,
        "max_delay_ms": limits.max_delay_s * 1e3,
        "max_in_flight": limits.max_in_flight,
        "replicas": found.replicas,
        "capacity_rows_per_s": found.capacity_rows_per_s,
        "is_lasting": found.is_lasting,
        "busy_ratio": found.used_ratio,
        "rows_per_batch": found.rows_per_batch if found.is_lasting else None,
        "refused_ratio": found.refused_ratio,
        "unmeasured_ratio": found.unmeasured_ratio,
        "latency_ms": {
            f"p{which:g}": {
                "middle": told.middle * 1e3,
                "low": told.low * 1e3,
                "high": told.high * 1e3,
            }
            for which, told in found.percentiles_s.items()
        },
    }
