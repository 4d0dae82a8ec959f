"""How is TorchServe started and asked?"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from loadtests.bench.processes import ROOT, free_port
from loadtests.peers.forms import PLAIN
from loadtests.peers.peer import Command, Peer, Start

__all__ = ["PEER"]

ENVIRONMENT = ".venv-peer-torchserve"

# TorchServe takes the one class that is made in the archive's module.
_SERVED = """from loadtests.peers.torchserve import serve

class Served(serve.Served):
    pass
"""

# By default a request writes five lines, which cost more than it does.
_QUIET = """<Configuration status="WARN">
  <Appenders><Console name="console"><PatternLayout pattern="%d{ISO8601} %p %c %m%n"/></Console></Appenders>
  <Loggers><Root level="warn"><AppenderRef ref="console"/></Root></Loggers>
</Configuration>
"""


def _commands(start: Start) -> Sequence[Command]:
    store = start.scratch / "store"
    store.mkdir(exist_ok=True)
    manifest = {"modelName": start.model, "handler": "served.py", "modelVersion": "1"}
    with zipfile.ZipFile(store / f"{start.model}.mar", "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps({"model": manifest}))
        archive.writestr("served.py", _SERVED)
    batching = {"batchSize": start.settings["batchSize"]}
    batching |= {"maxBatchDelay": start.settings["maxBatchDelay_ms"]}
    workers = {"minWorkers": 1, "maxWorkers": 1, "responseTimeout": 120}
    model = {"defaultVersion": True, "marName": f"{start.model}.mar", **workers, **batching}
    settings = {
        "inference_address": f"http://127.0.0.1:{start.port}",
        "management_address": f"http://127.0.0.1:{free_port()}",
        "metrics_address": f"http://127.0.0.1:{free_port()}",
        "grpc_inference_port": free_port(),
        "grpc_management_port": free_port(),
        "model_store": store,
        "load_models": f"{start.model}.mar",
        "models": json.dumps({start.model: {"1": model}}),
        "job_queue_size": 1000,  # 100 would refuse 256 callers
        "disable_token_authorization": "true",
        "disable_system_metrics": "true",
    }
    config = start.scratch / "config.properties"
    config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    quiet = start.scratch / "log4j2.xml"
    quiet.write_text(_QUIET)
    # Java takes `python` from PATH. The temporary folder holds the one lock of all TorchServes, and the
    # sockets to the workers; it writes its logs where it stands.
    scripts = ROOT / ENVIRONMENT / "bin"
    argv: list[str | Path] = [
        scripts / "torchserve",
        "--start",
        "--foreground",
        "--disable-token-auth",
    ]
    argv += ["--ts-config", config, "--model-store", store, "--log-config", quiet]
    folder = str(start.scratch)
    environment = {"PATH": f"{scripts}:{os.environ['PATH']}", "TMPDIR": folder, "TEMP": folder}
    # What torch compiles once to know the processor stays where all the others look for it.
    known = Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}"
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(known)
    return [Command(argv, environment, start.scratch)]


def _missing() -> str:
    java = shutil.which("java")
    return "" if java else "torchserve needs java (Debian: openjdk-17-jre-headless)"


PEER = Peer(
    name="torchserve",
    title="TorchServe",
    version=("torchserve", ENVIRONMENT),
    form=PLAIN,
    path="/predictions/{model}",
    settings={
        "recommended": {
            "iris": {"batchSize": 16, "maxBatchDelay_ms": 5},
            "minilm": {"batchSize": 16, "maxBatchDelay_ms": 50},
        },
        "tuned": {
            "iris": {"batchSize": 64, "maxBatchDelay_ms": 1},
            "minilm": {"batchSize": 1, "maxBatchDelay_ms": 0},
        },
    },
    commands=_commands,
    needs=_missing,
)
