"""Where did an answer come from, as parameters of an Open Inference Protocol answer?

A caller asks with the request parameter `tandem_explain`; the header `x-tandem-explain` asks for the same
facts as headers. Neither is ever given unasked.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.errors import InvalidRequest
from gateway.messages import InferRequest, InferResponse, Parameter
from gateway.pipeline import Answer, Route

__all__ = ["EXPLAIN_PARAMETER", "explained", "wants_explanation"]

EXPLAIN_PARAMETER = "tandem_explain"


def wants_explanation(request: InferRequest) -> bool:
    """Whether the request asks for the facts.

    Raises:
        InvalidRequest: its parameter is neither true nor false.
    """
    asked = request.parameters.get(EXPLAIN_PARAMETER, False)
    if not isinstance(asked, bool):
        raise InvalidRequest(
            f"got {asked!r}, wanted true or false", path=f"parameters.{EXPLAIN_PARAMETER}"
        )
    return asked


def explained(answer: Answer, route: Route, total_s: float) -> InferResponse:
    """The response with the facts among its parameters; `total_s` since the request was in."""
    served = answer.served
    facts: dict[str, Parameter] = {
        "tandem_arm": route.arm.name,
        "tandem_version": answer.response.version,
        "tandem_why": route.decision.why,
        "tandem_batch_rows": served.batch_rows,
        "tandem_batch_requests": served.batch_requests,
        "tandem_queue_ms": round(served.queue_s * 1e3, 3),
        "tandem_backend_ms": round(served.backend_s * 1e3, 3),
        "tandem_total_ms": round(total_s * 1e3, 3),
    }
    return replace(answer.response, parameters={**answer.response.parameters, **facts})
