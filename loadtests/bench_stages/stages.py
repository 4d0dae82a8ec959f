"""Which stage of a request's path was the gateway at, given one stack of calls? Pure.

Rules:
- The innermost frame that a rule names decides. Frames that no rule names (numpy, orjson, libc, values that everybody
  makes) are passed over: their time is their caller's.
- A codec serves both ends of a wire: on behalf of a backend it belongs to the call, otherwise it decodes or encodes
  as the outermost of its functions says.
- Modules of ours that no rule names are `other`, so that a new one shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

__all__ = ["PASSED_OVER", "RULES", "STAGES", "Frame", "Stage", "stage_of"]

Stage: TypeAlias = Literal[
    "event loop, sockets, kernel",
    "gRPC core",
    "HTTP protocol",
    "endpoint",
    "decode",
    "route",
    "check, queue, batch",
    "backend call",
    "answer encode",
    "telemetry",
    "garbage collection",
    "other",
]
STAGES: tuple[Stage, ...] = get_args(Stage)

RULES: tuple[tuple[str, Stage], ...] = (
    ("uvloop/", "event loop, sockets, kernel"),
    ("loop.c", "event loop, sockets, kernel"),  # uvloop's, as its debugging symbols name it
    ("grpc/aio/_call.py", "backend call"),
    ("grpc/aio/_channel.py", "backend call"),
    ("grpc/", "gRPC core"),
    ("uvicorn/", "HTTP protocol"),
    ("logging/", "telemetry"),
    ("gateway/telemetry/", "telemetry"),
    ("gateway/http1", "HTTP protocol"),
    ("gateway/servers/body.py", "HTTP protocol"),
    ("gateway/servers/", "endpoint"),
    ("gateway/pipeline.py", "route"),
    ("gateway/prepare.py", "route"),
    ("gateway/scene.py", "route"),
    ("gateway/lifecycle.py", "route"),
    ("gateway/routing/", "route"),
    ("gateway/answering.py", "check, queue, batch"),
    ("gateway/batching/", "check, queue, batch"),
    ("gateway/control/lanes.py", "backend call"),
    ("gateway/control/answers.py", "backend call"),
    ("gateway/backends/", "backend call"),
)
"""How the path of a frame's file begins, and its stage; the first that fits holds."""

PASSED_OVER = (
    "gateway/cli/",  # below everything on the main thread
    "gateway/errors.py",
    "gateway/messages.py",
    "gateway/tensors.py",
    "gateway/values.py",
)
"""Modules of ours whose time is their caller's."""

_OURS = "gateway/"
_CODECS = "gateway/codecs/"
_COLLECTOR = "gc_collect"  # CPython's function, whatever file the symbols put it into


@dataclass(frozen=True, slots=True)
class Frame:
    """One call: `function` as it is named where it is defined, `file` as the profiler shortens it."""

    function: str
    file: str


def stage_of(stack: Sequence[Frame]) -> Stage:
    """The stage that a stack, outermost call first, belongs to."""
    codec: Frame | None = None
    for frame in reversed(stack):
        if frame.file.startswith(_CODECS):
            codec = frame
        elif (stage := _named(frame)) is not None:
            return stage if codec is None else _of_codec(codec, stage)
    return "other"


def _named(frame: Frame) -> Stage | None:
    if frame.function.startswith(_COLLECTOR):
        return "garbage collection"
    for prefix, stage in RULES:
        if frame.file.startswith(prefix):
            return stage
    ours = frame.file.startswith(_OURS) and not frame.file.startswith(PASSED_OVER)
    return "other" if ours else None


def _of_codec(codec: Frame, caller: Stage) -> Stage:
    if caller == "backend call":
        return caller
    return "answer encode" if codec.function.startswith("encode") else "decode"
