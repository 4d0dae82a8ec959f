"""Measure, and print a table: `python -m loadtests.bench [--rounds 5] [--seconds 5]`.

Three questions, each answered by a ratio or a difference of neighbours in time, since the machine is shared:

- throughput  requests/s of a tiny JSON predict through the gateway ÷ of a bare ASGI echo, both on core 0,
              64 connections, the backend and the load on core 1; with two batches in flight, and also with
              a wait of at most 1 ms for batches to fill, and with the defaults
- batching    rows/s of single sentences through the gateway at saturation ÷ rows/s of full batches sent
              straight to the backend, one after another
- overhead    p50 through the gateway − p50 straight to the same backend, same protocol, one caller
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from loadtests.bench.direct import full_batches_per_s, sentence_body, unloaded_ms
from loadtests.bench.processes import Running, cpu_seconds, free_port, running, wait_for_http
from loadtests.bench.stack import BACKEND_CORE, GATEWAY_CORE, Stack, stack
from loadtests.bench.wrk import Load, load

IRIS = '{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
CONNECTIONS = 64
BATCH_ROWS = 32
SENTENCE_TOKENS = 16


def main() -> int:
    """Run every measurement and print the table; 1 if an answer was an error."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    arguments = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:  # noqa: PLR2004  # one for the gateway, one for the rest
        sys.exit("two cores are needed: one for the gateway, one for everything else")
    with tempfile.TemporaryDirectory() as folder, stack(Path(folder)) as served:
        bench = Bench(served, Path(folder), rounds=arguments.rounds, seconds=arguments.seconds)
        print("| what | median | each round |\n|---|--:|---|")
        bench.throughput()
        bench.batching()
        bench.overhead()
    return 1 if bench.errors else 0


class Bench:
    """The measurements, over one running stack."""

    def __init__(self, served: Stack, scratch: Path, *, rounds: int, seconds: float) -> None:
        self._served = served
        self._scratch = scratch
        self._rounds = rounds
        self._seconds = seconds
        self.errors = 0

    def throughput(self) -> None:
        """The gateway against a bare echo, on the same core, in turn."""
        port = free_port()
        argv = [sys.executable, "-m", "loadtests.bench.echo", str(port)]
        with running("echo", argv, core=GATEWAY_CORE, logs=self._scratch) as echo:
            wait_for_http(f"http://127.0.0.1:{port}/", echo)
            models = f"http://{self._served.rest}/v1/models"
            asked = {
                "gateway": (self._served.gateway, f"{models}/iris:predict"),
                "bare echo": (echo, f"http://127.0.0.1:{port}/"),
                "waiting 1 ms": (self._served.gateway, f"{models}/patient:predict"),
                "untuned": (self._served.gateway, f"{models}/untuned:predict"),
            }
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in asked}
            for server, url in asked.values():
                self._busy(server, url)  # warm
            for _ in range(self._rounds):
                for name, (server, url) in asked.items():
                    found[name].append(self._busy(server, url))
        for name in ("gateway", "waiting 1 ms", "untuned"):
            ratios = [a[0] / b[0] for a, b in zip(found[name], found["bare echo"], strict=True)]
            _row(f"throughput: {name} ÷ bare echo", ratios, "{:.2f}".format)
        for name, rounds in found.items():
            _row(f"· {name}, requests/s", [per_s for per_s, _ in rounds], "{:,.0f}".format)
        for name, rounds in found.items():
            _row(f"· {name}, CPU µs a request", [cpu_us for _, cpu_us in rounds], "{:.0f}".format)

    def _busy(self, server: Running, url: str) -> tuple[float, float]:
        """Requests/s of a tiny predict, and the microseconds of CPU that `server` spent on each."""
        before = cpu_seconds(server.process)
        found = self._load(url, IRIS, self._seconds)
        used_s = cpu_seconds(server.process) - before
        return found.per_s, used_s / found.requests * 1e6

    def batching(self) -> None:
        """Single sentences at saturation against full batches sent straight to the backend."""
        predict = f"http://{self._served.rest}/v1/models/minilm:predict"
        body = sentence_body(SENTENCE_TOKENS)
        self._load(predict, body, 2.0)  # warm
        ratios, through, alone = [], [], []
        for _ in range(self._rounds):
            ours = self._load(predict, body, self._seconds, connections=3 * BATCH_ROWS)
            full = asyncio.run(
                full_batches_per_s(
                    self._served.backend_grpc, BATCH_ROWS, SENTENCE_TOKENS, self._seconds
                )
            )
            ratios.append(ours.per_s / full)
            through.append(ours.per_s)
            alone.append(full)
        _row("batching: rows/s through the gateway ÷ full batches alone", ratios, "{:.2f}".format)
        _row("· through the gateway, rows/s", through, "{:,.0f}".format)
        _row(f"· backend alone, batches of {BATCH_ROWS}, rows/s", alone, "{:,.0f}".format)

    def overhead(self) -> None:
        """What the gateway adds when nothing else is going on, protocol by protocol."""
        for protocol in ("grpc", "rest"):
            ours, theirs = (
                (self._served.grpc, self._served.backend_grpc)
                if protocol == "grpc"
                else (self._served.rest, self._served.backend_rest)
            )
            added, direct = [], []
            for _ in range(self._rounds):
                pair = asyncio.run(unloaded_ms(protocol, ours, theirs))
                added.append(pair[0] - pair[1])
                direct.append(pair[1])
            _row(f"overhead: added at p50, OIP {protocol}, ms", added, "{:.2f}".format)
            _row(f"· straight to the backend, p50, OIP {protocol}, ms", direct, "{:.2f}".format)

    def _load(self, url: str, body: str, seconds: float, *, connections: int = CONNECTIONS) -> Load:
        # The load shares the backend's core: the gateway has its own to itself.
        found = load(
            url,
            body,
            connections=connections,
            seconds=seconds,
            core=BACKEND_CORE,
            scratch=self._scratch,
        )
        self.errors += found.errors
        if found.errors:
            print(f"{found.errors} errors from {url}", file=sys.stderr)
        return found


def _row(name: str, values: list[float], show: Callable[[float], str]) -> None:
    each = " · ".join(show(value) for value in values)
    print(f"| {name} | {show(statistics.median(values))} | {each} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
