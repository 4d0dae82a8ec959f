"""What does hedging do for the slowest answers when one of two replicas stalls now and then?

Two gRPC servers answer after a few milliseconds; one of them stalls for a while at a few of its calls. Batches
arrive by themselves, as a Poisson process, and their times count from when they were meant to leave. With hedging
and without it is measured in turn. Everything is in one process, and the replicas spend no CPU while they
"compute", so that this is what hedging does to waiting, and not to a machine that is full.

    python -m loadtests.bench_hedging
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import uvloop
from prometheus_client import CollectorRegistry

from gateway.backend_config import BackendConfig
from gateway.backends.make import make_backend
from gateway.codecs import oip_proto
from gateway.messages import Deadline, InferRequest, InferResponse
from gateway.ports import Backend
from gateway.telemetry.replicas import ReplicaMetrics
from gateway.tensors import Tensor

BATCH = InferRequest(model="m", inputs=(Tensor("x", "FP32", np.ones((8, 4), np.float32)),))
ANSWER = oip_proto.encode_response(InferResponse(model="m", version="1", outputs=BATCH.inputs))
TIMEOUT_S = 10.0
WARM_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalls:
    """How long a replica takes: usually, and at so many of its calls."""

    usual_s: float
    stall_s: float
    ratio: float


@asynccontextmanager
async def replica(stalls: Stalls, rng: random.Random) -> AsyncIterator[str]:
    """A running server; gives its address."""

    async def infer(_request: bytes, _context: Any) -> bytes:
        is_stalled = rng.random() < stalls.ratio
        await asyncio.sleep(
            stalls.stall_s if is_stalled else rng.uniform(0.8, 1.2) * stalls.usual_s
        )
        return ANSWER

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(infer)
    }
    service = "inference.GRPCInferenceService"
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def arrivals(
    backend: Backend, per_s: float, seconds: float, rng: random.Random
) -> list[float]:
    """Seconds from each batch's intended departure to its answer, in the order they came."""
    loop, taken = asyncio.get_running_loop(), list[float]()

    async def one(meant: float) -> None:
        await backend.infer(BATCH, Deadline.after(meant, TIMEOUT_S))
        taken.append(loop.time() - meant)

    meant = loop.time()
    until = meant + seconds
    async with asyncio.TaskGroup() as group:
        while (meant := meant + rng.expovariate(per_s)) < until:
            await asyncio.sleep(max(0.0, meant - loop.time()))
            group.create_task(one(meant))
    return taken


async def measure(arguments: argparse.Namespace, ratio: float, seed: int) -> dict[str, float]:
    """One run's figures."""
    rng, registry = random.Random(seed), CollectorRegistry()
    usual_s = arguments.usual_ms / 1e3
    well = Stalls(usual_s=usual_s, stall_s=0, ratio=0)
    ill = Stalls(usual_s=usual_s, stall_s=arguments.stall_ms / 1e3, ratio=arguments.stall_ratio)
    async with replica(well, rng) as one, replica(ill, rng) as other:
        config = BackendConfig(kind="oip", address=one, replicas=(other,), max_hedge_ratio=ratio)
        backend = make_backend("pair", config, ReplicaMetrics(registry))
        await arrivals(backend, arguments.rate, WARM_S, rng)
        before = _calls(registry)
        taken = await arrivals(backend, arguments.rate, arguments.seconds, rng)
        added = _calls(registry) - before - len(taken)
        await backend.aclose()
    cuts = statistics.quantiles(taken, n=1000, method="inclusive")
    return {
        "p50 ms": cuts[499] * 1e3,
        "p99 ms": cuts[989] * 1e3,
        "p99.9 ms": cuts[998] * 1e3,
        "extra calls": added / len(taken),
    }


def _calls(registry: CollectorRegistry) -> float:
    return sum(
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "tandem_replica_batches_total"
    )


def main() -> None:
    """Print a table: percentiles without hedging and with it, and what it cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rate", type=float, default=150.0, help="batches a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--usual-ms", type=float, default=10.0)
    parser.add_argument("--stall-ms", type=float, default=500.0)
    parser.add_argument("--stall-ratio", type=float, default=0.02, help="of one replica's calls")
    parser.add_argument("--hedge-ratios", type=float, nargs="+", default=[0.0, 0.05, 0.1])
    arguments = parser.parse_args()
    found: dict[float, list[dict[str, float]]] = {ratio: [] for ratio in arguments.hedge_ratios}
    for seed in range(arguments.rounds):
        for ratio, runs in found.items():
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runs.append(runner.run(measure(arguments, ratio, seed)))
    print("| max_hedge_ratio | p50 ms | p99 ms | p99.9 ms | extra calls |\n|--:|--:|--:|--:|--:|")
    for ratio, runs in found.items():
        middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        times = " | ".join(f"{middle[name]:.1f}" for name in ("p50 ms", "p99 ms", "p99.9 ms"))
        print(f"| {ratio:g} | {times} | {middle['extra calls']:.1%} |")


if __name__ == "__main__":
    main()
