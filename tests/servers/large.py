"""Large requests to a gateway, and what is seen of the worker process that reads them."""

from __future__ import annotations

from gateway.servers.heavy import HEAVY_BYTES, HeavyWork
from tests.fakes.gateways import Stack, until

__all__ = [
    "MIB",
    "OIP",
    "SMALL",
    "STUBBORN",
    "TFS",
    "busy",
    "jobs",
    "padded",
    "rows",
    "work",
]

TFS = "/v1/models/floats:predict"
OIP = "/v2/models/floats/infer"
SMALL = b'{"instances": [[1, 2, 3, 4]]}'
MIB = 1024 * 1024
# The slow reader takes some seconds a MiB; every test that sends it ends it.
STUBBORN = b'{"instances": [[' + b",".join([b'{"": NaN}'] * (2 * MIB)) + b"]]}"


def padded(body: bytes, size: int = HEAVY_BYTES + 1) -> bytes:
    return body + b" " * (size - len(body))


def rows(count: int) -> bytes:
    return b'{"instances": [' + b",".join([b"[1,2,3,4]"] * count) + b"]}"


def jobs(stack: Stack, outcome: str = "done") -> float:
    return stack.count("tandem_heavy_jobs_total", outcome=outcome)


def work(stack: Stack) -> HeavyWork:
    return stack.gateway._heavy


async def busy(stack: Stack, queued: int = 1) -> int:
    """Wait until so many large bodies are at the worker or wait for it; its process id."""
    await until(lambda: stack.count("tandem_heavy_queued") == queued)
    pid = work(stack).worker_pid
    assert pid is not None
    return pid
