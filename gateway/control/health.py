"""Can the gateway serve? Pure questions about the state and the route table."""

from __future__ import annotations

from gateway.pipeline import Pipeline
from gateway.routing.table import RouteTable

__all__ = ["is_complete", "is_serving"]


def is_serving(pipeline: Pipeline) -> bool:
    """Whether requests are accepted and at least one model can answer them.

    One broken model must not take the others out of a load balancer, so one that works is enough; a
    gateway without models has nothing to wait for.
    """
    models = pipeline.table.models.values()
    has_ready_model = any(arm.is_ready for routes in models for arm in routes.arms.values())
    return pipeline.is_ready and (has_ready_model or not models)


def is_complete(table: RouteTable) -> bool:
    """Whether every arm that takes traffic is served by its backend now."""
    return all(
        arm.is_ready
        for routes in table.models.values()
        for arm in routes.arms.values()
        if arm.weight > 0
    )
