"""With which command lines are the backends and the gateway started on this machine?

Only a backend on a loopback address or a Unix socket is ours to start, and only one that our servers can be:
without TLS, at one address. `tfserving` is `tensorflow_model_server` where it is on PATH, else the stand-in on the
tensorflow package; `oip` is the PyTorch server.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gateway
from gateway.cli.ports import UNIX, is_local
from gateway.cli.processes import Launch
from gateway.cli.terminal import CommandError
from gateway.config import BackendConfig, Config
from gateway.control.addresses import split_address

__all__ = [
    "Tools",
    "asked_of",
    "backend_launch",
    "describe_backend",
    "find_tools",
    "gateway_launch",
    "is_ours",
    "listeners",
    "model_config_argv",
    "stack_of",
]

MODEL_SERVER = "tensorflow_model_server"
_GRACE_S = 30.0  # the servers' own drain takes at most 25 s
_MARGIN_S = 5.0
_BACKENDS = 2  # that compute at the same time, in the demo


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What is there to start things with.

    Attributes:
        root: The checkout; `state` in it is for what we write.
        stack: Tells this stack's files from those of others that run from the same checkout.
        model_server: `tensorflow_model_server`, None if it is not on PATH.
        torch_python, tf_python: The interpreters of the two environments, whether they exist or not.
        threads: That each backend may compute with. All get the same, so that a comparison is of the
            runtimes, and together no more than there are cores: OpenMP's barriers take ten times as
            long when its threads wait for a core.
    """

    root: Path
    stack: str
    model_server: Path | None
    torch_python: Path
    tf_python: Path
    threads: int

    @property
    def store(self) -> Path:
        """The model store."""
        return self.root / "model_store"

    @property
    def state(self) -> Path:
        """Logs, and files made for the servers, of all stacks."""
        return self.root / ".tandem"

    @property
    def logs(self) -> Path:
        """What the servers of this stack print."""
        return self.state / "logs" / self.stack

    @property
    def model_config(self) -> Path:
        """The file that says what TensorFlow Serving serves."""
        return self.state / f"models.{self.stack}.config"


def find_tools(config: Config) -> Tools:
    """Look around, for the stack that a configuration (with the flags applied) describes.

    Raises:
        CommandError: this is an installed package without the checkout around it.
    """
    root = Path(gateway.__file__).resolve().parents[1]
    if not (root / "serving").is_dir():
        raise CommandError(
            f"starting backends needs a checkout of Tandem, and {root} is none;"
            " `tandem serve` runs the gateway alone"
        )
    found = shutil.which(MODEL_SERVER)
    return Tools(
        root=root,
        stack=stack_of(config),
        model_server=None if found is None else Path(found),
        torch_python=root / ".venv-torch" / "bin" / "python",
        tf_python=root / ".venv-tf" / "bin" / "python",
        threads=max(1, len(os.sched_getaffinity(0)) // _BACKENDS),
    )


def stack_of(config: Config) -> str:
    """The port that REST listens on, which two stacks cannot share; with port 0, what names our process."""
    _, port = split_address(config.listen.rest)
    return str(port) if port else f"pid-{os.getpid()}"


def asked_of(config: Config, backend: str) -> list[tuple[str, str | None]]:
    """The (model, version) pairs that the arms on a backend need, by the names it knows them by."""
    pairs = {
        (arm.model or name, None if arm.version is None else str(arm.version))
        for name, model in config.models.items()
        for arm in model.arms.values()
        if arm.backend == backend
    }
    return sorted(pairs, key=lambda pair: (pair[0], pair[1] or ""))


def is_ours(backend: BackendConfig) -> bool:
    """Whether a backend is one that we start; any other must be running."""
    if backend.kind == "torchserve" or backend.tls is not None or len(backend.addresses) > 1:
        return False
    return is_local(backend.address) or (backend.is_rest and backend.address.startswith(UNIX))


def backend_launch(name: str, backend: BackendConfig, tools: Tools) -> Launch:
    """How a backend on this machine is started; `tools.model_config` has been written.

    Raises:
        CommandError: the environment it needs is missing.
    """
    argv = _tfserving(backend, tools) if backend.kind == "tfserving" else _torch(backend, tools)
    return Launch(name=name, argv=argv, cwd=tools.root, grace_s=_GRACE_S)


def describe_backend(backend: BackendConfig, tools: Tools) -> str:
    """What a person should know of how it is served and asked: both are in what an arm is measured to take."""
    asked = "REST" if backend.is_rest else "gRPC"
    threads = f"{tools.threads} thread{'' if tools.threads == 1 else 's'}"
    if backend.kind == "oip":
        where = "by a Unix socket" if backend.address.startswith(UNIX) else "over TCP"
        return f"AOTInductor packages in the PyTorch server, {threads}, {asked} {where}"
    if tools.model_server is not None:
        return f"{MODEL_SERVER} ({tools.model_server}), {threads}, {asked} over TCP"
    return f"stand-in on the tensorflow package (no {MODEL_SERVER} on PATH), {threads}, {asked} over TCP"


def gateway_launch(path: Path, config: Config, tools: Tools, *, workers: int = 1) -> Launch:
    """How the gateway is started. `config` is the file's, with the flags applied."""
    listen = config.listen
    flags: tuple[str, ...] = ("--rest", listen.rest, "--grpc", listen.grpc)
    flags += ("--admin", listen.admin)
    margin_s = _MARGIN_S
    if workers > 1:
        flags = (*flags, "--workers", str(workers))
        margin_s += _MARGIN_S  # a supervisor gives its workers one of its own
    return Launch(
        name="gateway",
        argv=(sys.executable, "-m", "gateway", "serve", str(path.resolve()), *flags),
        cwd=tools.root,
        grace_s=config.limits.drain_notice_s + config.limits.drain_timeout_s + margin_s,
    )


def model_config_argv(models: list[str], tools: Tools) -> tuple[str, ...]:
    """What prints the contents of `tools.model_config`."""
    named = [word for model in models for word in ("--model", model)]
    module = ("-m", "serving.tf_serving.config", "--store", str(tools.store), "--all-versions")
    return (sys.executable, *module, *named)


def listeners(config: Config, ours: Mapping[str, BackendConfig]) -> dict[str, str]:
    """Every address that we are about to take, by its setting."""
    listen = config.listen
    taken = {
        "listen.rest (--rest)": listen.rest,
        "listen.grpc (--grpc)": listen.grpc,
        "listen.admin (--admin)": listen.admin,
    }
    for name, backend in ours.items():
        taken[f"backends.{name}.address"] = backend.address
        if backend.kind == "oip" and not backend.address.startswith(UNIX):
            which = "and one (its gRPC port)" if backend.is_rest else "less one (its REST port)"
            taken[f"backends.{name}.address {which}"] = _port_beside(backend)
    return {setting: address for setting, address in taken.items() if _is_chosen(address)}


def _tfserving(backend: BackendConfig, tools: Tools) -> tuple[str, ...]:
    host, port = split_address(backend.address)
    if tools.model_server is not None:
        return (
            str(tools.model_server),
            f"--port={port}",
            f"--model_config_file={tools.model_config}",
            "--file_system_poll_wait_seconds=1",
            f"--tensorflow_intra_op_parallelism={tools.threads}",
        )
    python = _existing(tools.tf_python, "TensorFlow")
    module = ("-m", "serving.tf_serving.local", "--model-config-file", str(tools.model_config))
    threads = ("--tensorflow-intra-op-parallelism", str(tools.threads))
    return (python, *module, "--host", host, "--port", str(port), *threads)


def _torch(backend: BackendConfig, tools: Tools) -> tuple[str, ...]:
    python = _existing(tools.torch_python, "PyTorch")
    module = ("-m", "serving.torch_server", "--model-store", str(tools.store))
    return (python, *module, *_torch_addresses(backend), "--threads", str(tools.threads))


def _torch_addresses(backend: BackendConfig) -> tuple[str, ...]:
    if backend.address.startswith(UNIX):
        # Its log tells the ports, for who wants to ask it directly.
        free = ("--rest", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
        return (*free, "--unix", backend.address.removeprefix(UNIX))
    if backend.is_rest:
        return ("--rest", backend.address, "--grpc", _port_beside(backend))
    return ("--rest", _port_beside(backend), "--grpc", backend.address)


def _port_beside(backend: BackendConfig) -> str:
    """The torch server's other address: gRPC is one above REST."""
    host, port = split_address(backend.address)
    other = port + (1 if backend.is_rest else -1)
    return f"[{host}]:{other}" if ":" in host else f"{host}:{other}"


def _is_chosen(address: str) -> bool:
    """Whether it is not the kernel's to choose."""
    return address.startswith(UNIX) or split_address(address)[1] != 0


def _existing(python: Path, what: str) -> str:
    if not python.exists():
        raise CommandError(f"the {what} environment is missing ({python}): run `make setup`")
    return str(python)
