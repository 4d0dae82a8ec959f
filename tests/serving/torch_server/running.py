"""A torch server of one's own: a process, its events, its workers, and ways to call it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx
import numpy as np
import tritonclient.grpc
from prometheus_client.parser import text_string_to_metric_families

from gateway.tensors import Array
from tests.serving.processes import TIMEOUT_S, ServerProcess

__all__ = ["TIMEOUT_S", "RunningServer", "grpc_inputs", "until"]

_QUICK_ON_FREE_PORTS = ["--rest", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--poll-s", "0.05"]


def until(holds: Callable[[], bool], what: str) -> None:
    """Ask again and again, each time over the network, until it holds."""
    deadline = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline, f"waited {TIMEOUT_S} s until {what}"


def grpc_inputs(inputs: Mapping[str, Array]) -> list[tritonclient.grpc.InferInput]:
    """The tensors as tritonclient's gRPC client takes them."""
    kinds = {"float32": "FP32", "int64": "INT64", "float64": "FP64"}
    made = []
    for name, array in inputs.items():
        made.append(tritonclient.grpc.InferInput(name, array.shape, kinds[array.dtype.name]))
        made[-1].set_data_from_numpy(array)
    return made


class RunningServer(ServerProcess):
    """`python -m serving.torch_server` on free ports."""

    def __init__(self, python: Path, root: Path, arguments: Sequence[str]) -> None:
        super().__init__(python, root, "serving.torch_server", [*_QUICK_ON_FREE_PORTS, *arguments])

    @property
    def rest(self) -> str:
        """Where REST is, as a URL."""
        return f"http://{self.wait_for('listening')['rest']}"

    @property
    def grpc(self) -> str:
        """Where gRPC is."""
        return str(self.wait_for("listening")["grpc"])

    def get(self, path: str) -> httpx.Response:
        """GET a path."""
        return httpx.get(self.rest + path, timeout=TIMEOUT_S)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.get("/metrics").text)
            for sample in family.samples
            if sample.name == f"tandem_torch_{name}" and labels.items() <= sample.labels.items()
        )

    def workers(self) -> list[int]:
        """The process ids of the worker processes that are running now."""
        return [pid for pid in _children(self.pid) if _is_worker(pid)]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status."""
        self.send(number)
        return self.wait()

    def ask(self, model: str, inputs: Mapping[str, Array], version: str = "") -> Array:
        """The first output, over gRPC, in a channel of its own."""
        with tritonclient.grpc.InferenceServerClient(self.grpc) as client:
            answer = client.infer(model, grpc_inputs(inputs), version, client_timeout=TIMEOUT_S)
            first = answer.get_response().outputs[0].name
            array: Array = answer.as_numpy(first)
            return np.array(array)


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The fields after the command's name, which may hold anything: state, parent, ...
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(entry.name))
    return sorted(found)


def _is_worker(pid: int) -> bool:
    try:
        return b"serving.torch_server.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
