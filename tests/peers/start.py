"""How is each peer started on free ports, and when is it ready? Real servers, each in its own environment."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.addresses import free_port
from tests.peers.models import ECHOES, INPUTS, IRIS, MODELS, OUTPUTS, ROOT

__all__ = ["PEERS", "Peer", "missing", "running_peer"]

# TorchServe takes the one class that is made in the archive's module.
_SERVED = """from tests.peers import serve_torchserve

class Served(serve_torchserve.Served):
    pass
"""
READY_S = 120  # torch and a package, from a cold disk
LOOK_EVERY_S = 0.2
STOP_S = 30


@dataclass(frozen=True)
class Peer:
    """A running server: its addresses, `host:port`, "" where it has none."""

    rest: str = ""
    grpc: str = ""
    management: str = ""


@dataclass(frozen=True)
class _Start:
    argv: Sequence[str]
    peer: Peer
    ready: Sequence[str]  # URLs that must answer 200
    environ: Mapping[str, str]


def _torchserve(home: Path) -> _Start:
    store = home / "store"
    store.mkdir()
    for model in MODELS:
        manifest = {"modelName": model, "handler": "served.py", "modelVersion": "1"}
        with zipfile.ZipFile(store / f"{model}.mar", "w") as archive:
            archive.writestr("MAR-INF/MANIFEST.json", json.dumps({"model": manifest}))
            archive.writestr("served.py", _SERVED)
    rest, management, metrics = (f"127.0.0.1:{free_port()}" for _ in range(3))
    settings = {
        "inference_address": f"http://{rest}",
        "management_address": f"http://{management}",
        "metrics_address": f"http://{metrics}",
        "grpc_inference_port": free_port(),
        "grpc_management_port": free_port(),
        "model_store": store,
        "load_models": "all",
        "default_workers_per_model": 1,
        "disable_token_authorization": "true",
        "disable_system_metrics": "true",
    }
    config = home / "config.properties"
    config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    # Java takes `python` from PATH. The temporary folder holds the one lock of all TorchServes, and the
    # sockets to the workers.
    scripts = ROOT / ".venv-peer-torchserve" / "bin"
    argv = [str(scripts / "torchserve"), "--start", "--foreground", "--disable-token-auth"]
    argv += ["--ts-config", str(config), "--model-store", str(store)]
    return _Start(
        argv,
        Peer(rest=rest, management=management),
        [f"http://{rest}/ping", *(f"http://{management}/models/{model}" for model in MODELS)],
        {"PATH": f"{scripts}:{os.environ['PATH']}", "TMPDIR": str(home), "TEMP": str(home)},
    )


def _triton(_home: Path) -> _Start:
    ports = [free_port() for _ in range(3)]
    peer = Peer(rest=f"127.0.0.1:{ports[0]}", grpc=f"127.0.0.1:{ports[1]}")
    python = str(ROOT / ".venv-peer-triton" / "bin" / "python")
    return _Start(
        [python, "-m", "tests.peers.serve_triton", *map(str, ports)],
        peer,
        [f"http://{peer.rest}/v2/models/{model}/ready" for model in (*MODELS, *ECHOES)],
        # Its Python backend would otherwise take Debian's libpython, of another patch level.
        {"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))},
    )


def _mlserver(home: Path) -> _Start:
    ports = [free_port() for _ in range(3)]
    names = ("http_port", "grpc_port", "metrics_port")
    settings = {"host": "127.0.0.1", "parallel_workers": 0, **dict(zip(names, ports, strict=True))}
    (home / "settings.json").write_text(json.dumps(settings))
    for model in MODELS:
        told: dict[str, object] = {
            "name": model,
            "implementation": "tests.peers.serve_mlserver.Served",
            "inputs": _told(INPUTS[model]),
            "outputs": _told(OUTPUTS[model]),
        }
        if model == "iris":  # the others have no version, as MLServer allows
            told |= {"versions": ["1"], "parameters": {"version": "1"}}
        (home / model).mkdir()
        (home / model / "model-settings.json").write_text(json.dumps(told))
    peer = Peer(rest=f"127.0.0.1:{ports[0]}", grpc=f"127.0.0.1:{ports[1]}")
    return _Start(
        [str(ROOT / ".venv-peer-mlserver" / "bin" / "mlserver"), "start", str(home)],
        peer,
        [f"http://{peer.rest}/v2/models/{model}/ready" for model in MODELS],
        {},
    )


def _torch(_home: Path) -> _Start:
    peer = Peer(rest=f"127.0.0.1:{free_port()}", grpc=f"127.0.0.1:{free_port()}")
    argv = [str(ROOT / ".venv-torch" / "bin" / "python"), "-m", "serving.torch_server"]
    argv += ["--model-store", str(ROOT / "model_store"), "--threads", "1"]
    argv += ["--grpc", peer.grpc, "--rest", peer.rest]
    return _Start(argv, peer, [f"http://{peer.rest}/v2/models/iris/ready"], {})


def _tensorflow(home: Path) -> _Start:
    store = ROOT / "model_store"
    config = home / "models.config"
    argv = [sys.executable, "-m", "serving.tf_serving.config", "--store", str(store)]
    config.write_bytes(
        subprocess.run([*argv, "--model", "iris"], cwd=ROOT, check=True, capture_output=True).stdout
    )
    peer = Peer(grpc=f"127.0.0.1:{free_port()}")
    host, port = peer.grpc.split(":")
    argv = [str(ROOT / ".venv-tf" / "bin" / "python"), "-m", "serving.tf_serving.local"]
    argv += ["--model-config-file", str(config), "--host", host, "--port", port]
    return _Start(argv, peer, [], {})  # it has no REST to ask: the gateway waits for it


def _told(specs: Mapping[str, tuple[str, list[int]]]) -> list[dict[str, object]]:
    return [
        {"name": name, "datatype": kind, "shape": shape} for name, (kind, shape) in specs.items()
    ]


PEERS: Mapping[str, Callable[[Path], _Start]] = {
    "torchserve": _torchserve,
    "triton": _triton,
    "mlserver": _mlserver,
    "torch": _torch,
    "tensorflow": _tensorflow,
}


def missing(name: str) -> str:
    """Why this peer cannot be started here, "" if it can."""
    ours = {"torch": ".venv-torch", "tensorflow": ".venv-tf"}
    if name in ours and not (ROOT / ours[name]).exists():
        return f"{ours[name]} is missing: run `make setup`"
    if name not in ours and not (ROOT / f".venv-peer-{name}" / "ready").exists():
        return f"{name} is not installed: run tests/peers/install.sh {name}"
    if name == "torchserve" and shutil.which("java") is None:
        return "torchserve needs java (Debian: openjdk-17-jre-headless)"
    if not IRIS.exists():
        return "model iris is not built: run `make store`"
    return ""


@contextmanager
def running_peer(name: str, home: Path) -> Iterator[Peer]:
    """A peer that is ready, until the block ends; what it prints is in `home`/log.

    Raises:
        RuntimeError: it ended by itself, or was not ready in time; with its last words.
    """
    start = PEERS[name](home)
    log = home / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            start.argv,
            cwd=home if name == "torchserve" else ROOT,  # TorchServe writes logs where it stands
            env={**os.environ, **start.environ},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # TorchServe's launcher leaves its Java behind
        ) as process,
    ):
        try:
            _await(process, start.ready, name, log)
            yield start.peer
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the whole session of a peer."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)


def _await(process: subprocess.Popen[bytes], urls: Sequence[str], name: str, log: Path) -> None:
    left = list(urls)
    for _ in range(int(READY_S / LOOK_EVERY_S)):
        while left and _is_ready(left[0]):
            left.pop(0)
        if not left:
            return
        try:
            process.wait(LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            continue
        break
    state = f"ended with {process.returncode}" if process.returncode is not None else "is not ready"
    words = log.read_text(errors="replace")[-3000:]
    raise RuntimeError(f"{name} {state}, {left[:1]} does not answer:\n{words}")


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - http, our own
            body: bytes = answer.read()
    except (urllib.error.URLError, OSError):
        return False
    # TorchServe answers while its workers still start.
    return b'"workers"' not in body or b'"status": "READY"' in body
