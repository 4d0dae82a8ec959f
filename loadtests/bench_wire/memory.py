"""How often does a gateway hold the bytes of one request at once, and how often does it write them anew?

Linux tells: with the C library's allocator told to map every large block by itself, the most memory that
was resident while one request was served, above what was resident before, counts the copies that lived
at once; and the pages that were touched for the first time count the copies that were made at all. Blocks
that grow in place are counted once, and what the kernel holds in its sockets is not.
"""

from __future__ import annotations

import mmap
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from loadtests.bench_wire.backend import OPTIONS
from loadtests.bench_wire.bodies import Wire, body_of, message_of
from loadtests.bench_wire.load import post
from loadtests.bench_wire.stack import Stack

__all__ = ["ENVIRONMENT", "Copies", "copies", "copies_of"]

ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
"""What the process that is looked at must be started with."""

_REQUESTS = 15
_WARM = 10


@dataclass(frozen=True, slots=True)
class Copies:
    """In units of the tensor's own size."""

    at_once: float
    made: float


def copies_of(wire: Wire, elements: int, model: str, served: Stack) -> Copies:
    """What a request of `[1, elements]` FP32 to `model` costs a gateway that nobody else asks."""
    body = body_of(wire, elements, model)
    pid = served.gateway.process.pid
    if wire != "gRPC raw":
        return copies(pid, 4 * elements, lambda: post(served.rest, body))
    with grpc.insecure_channel(served.grpc, OPTIONS) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(body.path)
        message = message_of(body)
        return copies(pid, 4 * elements, lambda: call(message))


def copies(pid: int, tensor_bytes: int, send: Callable[[], object]) -> Copies:
    """The median over some requests, of which `send` sends one and waits for its answer."""
    for _ in range(_WARM):
        send()
    seen = [_one(pid, send) for _ in range(_REQUESTS)]
    # Some of a request may be let go of only with the next one: that is no rest state.
    resident = min(before for before, _, _ in seen)
    return Copies(
        at_once=(statistics.median(peak for _, peak, _ in seen) - resident) / tensor_bytes,
        made=statistics.median(faults for _, _, faults in seen) * mmap.PAGESIZE / tensor_bytes,
    )


def _one(pid: int, send: Callable[[], object]) -> tuple[int, int, int]:
    """Bytes resident before, and at most meanwhile; and minor page faults."""
    process = Path(f"/proc/{pid}")
    (process / "clear_refs").write_text("5")  # the peak begins anew
    before, faults = _status(process, "VmRSS"), _minor_faults(process)
    send()
    return before, _status(process, "VmHWM"), _minor_faults(process) - faults


def _status(process: Path, name: str) -> int:
    for line in (process / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no {name} in {process}/status")


def _minor_faults(process: Path) -> int:
    return int((process / "stat").read_text().rsplit(")", 1)[1].split()[7])
