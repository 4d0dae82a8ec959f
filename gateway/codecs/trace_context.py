"""What did a caller bring to find its request again elsewhere? W3C Trace Context, and a request id. Pure.

Rules, as the recommendation has them:
- A `traceparent` that is malformed, or given twice, is ignored, and the `tracestate` with it.
- A malformed `tracestate` is ignored alone.
- A version that we do not know is read as far as we know it, and written as version 00.
- What records no spans passes the parent's id on as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.messages import Trace

__all__ = ["TRACEPARENT", "TRACESTATE", "carried", "made_anew", "read_trace", "returned"]

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
REQUEST_ID: Final = "x-request-id"

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MEMBER = re.compile(r"([a-z0-9][a-z0-9_*/@-]{0,255})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{1,256})")
_MAX_PARENT, _MAX_STATE, _MAX_MEMBERS = 256, 4096, 32
_SAMPLED = 1


def read_trace(request_id: str, parents: Sequence[str], states: Iterable[str]) -> Trace:
    """The trace of a request, from all the values of its headers `traceparent` and `tracestate`."""
    parent = _parent(parents[0]) if len(parents) == 1 else ""
    state = _state(",".join(states)) if parent else ""
    return Trace(request_id=request_id, traceparent=parent, tracestate=state)


def returned(trace: Trace | None) -> list[tuple[str, str]]:
    """The headers that an answer gives back, next to the request id."""
    if trace is None or not trace.traceparent:
        return []
    state = [(TRACESTATE, trace.tracestate)] if trace.tracestate else []
    return [(TRACEPARENT, trace.traceparent), *state]


def carried(trace: Trace | None) -> list[tuple[str, str]] | None:
    """The headers, or gRPC metadata, that a batch carries to its backend; None for none."""
    if trace is None:
        return None
    known = [(REQUEST_ID, trace.request_id)] if trace.request_id else []
    return known + returned(trace)


def made_anew(traces: Iterable[Trace | None], numbers: bytes) -> Trace | None:
    """The trace of a batch in which several requests travel, None if none of them brought one.

    It cannot carry several, so it carries one of its own, which is sampled if any of theirs is.

    Args:
        traces: Those of its requests.
        numbers: 24 random bytes, not all zero in the first 16 or the last 8.
    """
    flags = [int(t.traceparent[-2:], 16) for t in traces if t is not None and t.traceparent]
    if not flags:
        return None
    sampled = any(flag & _SAMPLED for flag in flags)
    return Trace(traceparent=f"00-{numbers[:16].hex()}-{numbers[16:].hex()}-{sampled:02x}")


def _parent(text: str) -> str:
    found = _PARENT.fullmatch(text.strip(" \t")) if len(text) <= _MAX_PARENT else None
    if found is None:
        return ""
    version, trace_id, parent_id, flags, rest = found.groups()
    if version == "ff" or not (int(trace_id, 16) and int(parent_id, 16)):
        return ""
    if version == "00":
        return "" if rest else found[0]
    return f"00-{trace_id}-{parent_id}-{int(flags, 16) & _SAMPLED:02x}"


def _state(text: str) -> str:
    if len(text) > _MAX_STATE:
        return ""
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    found = [_MEMBER.fullmatch(member) for member in members]
    keys = {match[1] for match in found if match is not None}
    return ",".join(members) if len(keys) == len(members) <= _MAX_MEMBERS else ""
