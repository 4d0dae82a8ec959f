"""The stack that is measured: gateway and echo servers on one core, backend and load on the other."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from loadtests.bench.processes import Running, free_port, running, wait_for_http
from loadtests.bench.stack import BACKEND_CORE, GATEWAY_CORE

__all__ = ["LINKS", "Front", "Link", "Stack", "stack"]

Link: TypeAlias = Literal["grpc+tcp", "grpc+unix", "rest+tcp", "rest+unix"]

Front: TypeAlias = Literal["own", "envoy"]

LINKS: tuple[Link, ...] = ("grpc+tcp", "grpc+unix", "rest+tcp", "rest+unix")
"""How the gateway asks its backend: protocol and socket."""

_CONFIG = """
[listen]
rest = "127.0.0.1:{rest}"
grpc = "127.0.0.1:{grpc}"
admin = "127.0.0.1:{admin}"
[backends.echo]
kind = "oip"
protocol = "{protocol}"
address = "{backend_at}"
[models.same]
batching = {{ max_delay_ms = {delay_ms} }}
[models.same.arms.echo]
backend = "echo"
[models.brief]
batching = {{ max_delay_ms = {delay_ms} }}
[models.brief.arms.echo]
backend = "echo"
"""


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs, and where it listens, as `host:port`."""

    gateway: Running
    rest: str
    grpc: str
    admin: str
    echo: Running
    echo_rest: str
    echo_grpc: str


@contextmanager
def stack(
    scratch: Path,
    *,
    environment: Mapping[str, str] | None = None,
    delay_ms: float = 0.0,
    link: Link = "grpc+tcp",
    front: Front = "own",
    cores: tuple[int | None, int | None] = (GATEWAY_CORE, BACKEND_CORE),
) -> Iterator[Stack]:
    """A gateway in front of the trivial backend, and the echoes.

    Args:
        scratch: A folder for logs and the configuration.
        environment: For the gateway, added to ours.
        delay_ms: The models' `batching.max_delay_ms`.
        link: How the gateway asks the backend.
        front: What listens for the gateway.
        cores: The gateway's and the echoes', and the backend's; None binds to none.
    """
    names = ("rest", "grpc", "admin", "backend", "echo_rest", "echo_grpc")
    ports = {name: free_port() for name in names}
    config = scratch / "tandem.toml"
    protocol, _, over = link.partition("+")
    backend_at = f"unix:{scratch}/backend" if over == "unix" else f"127.0.0.1:{ports['backend']}"
    told = {"protocol": protocol, "backend_at": backend_at, "delay_ms": delay_ms}
    config.write_text(_CONFIG.format(**ports, **told))
    python: list[str | Path] = [sys.executable, "-m"]
    backend = [*python, "loadtests.bench_wire.backend", protocol, backend_at]
    echo = [*python, "loadtests.bench_wire.echo", str(ports["echo_rest"]), str(ports["echo_grpc"])]
    serve = [*python, "gateway", "serve", config, "--front", front]
    ours, others = cores
    with (
        running("backend", backend, core=others, logs=scratch),
        running("echo", echo, core=ours, logs=scratch) as bare,
        running("gateway", serve, core=ours, logs=scratch, environment=environment) as gate,
    ):
        wait_for_http(f"http://127.0.0.1:{ports['echo_rest']}/", bare)
        wait_for_http(f"http://127.0.0.1:{ports['admin']}/readyz?complete=true", gate)
        at = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        yield Stack(
            gateway=gate,
            rest=at["rest"],
            grpc=at["grpc"],
            admin=at["admin"],
            echo=bare,
            echo_rest=at["echo_rest"],
            echo_grpc=at["echo_grpc"],
        )
