"""A torch server of one's own: a process, its events, its workers, and ways to call it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import httpx
import numpy as np
import tritonclient.grpc
from prometheus_client.parser import text_string_to_metric_families

from gateway.tensors import Array

__all__ = ["TIMEOUT_S", "RunningServer", "grpc_inputs", "until"]

_QUICK_ON_FREE_PORTS = ["--rest", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--poll-s", "0.05"]
TIMEOUT_S = 240.0  # importing torch on a busy machine takes its time


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


class RunningServer:
    """`python -m serving.torch_server` on free ports; `noise` is what it wrote that was no event."""

    def __init__(self, python: Path, root: Path, arguments: Sequence[str]) -> None:
        self.events: list[dict[str, Any]] = []
        self.noise: list[str] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            [python, "-m", "serving.torch_server", *_QUICK_ON_FREE_PORTS, *arguments],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,))
        self._reader.start()

    def _read(self, stderr: IO[str]) -> None:
        for line in stderr:
            with self._news:
                try:
                    self.events.append(json.loads(line))
                except json.JSONDecodeError:
                    self.noise.append(line)
                self._news.notify_all()
        with self._news:
            self.events.append({"event": "ended"})
            self._news.notify_all()

    def wait_for(self, event: str, **fields: str) -> dict[str, Any]:
        """The first such event; fails if the process ends without it."""
        wanted = {"event": event, **fields}

        def find() -> dict[str, Any] | None:
            for seen in self.events:
                if wanted.items() <= seen.items() or seen["event"] == "ended":
                    return seen
            return None

        with self._news:
            self._news.wait_for(lambda: find() is not None, TIMEOUT_S)
            found = find()
        assert found is not None, f"no {wanted} in {TIMEOUT_S} s: {self.events} {self.noise}"
        assert wanted.items() <= found.items(), f"no {wanted}: {self.events} {self.noise}"
        return found

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
        return [pid for pid in _children(self.process.pid) if _is_worker(pid)]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended; the exit status."""
        status = self.process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        return status

    def close(self) -> None:
        """End it, whatever state it is in."""
        self.process.kill()
        self.process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        assert self.process.stderr is not None
        self.process.stderr.close()

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
