"""A stand-in of one's own: a process, its events, and a channel to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Protocol

import grpc
import pytest

from serving.tf_serving.config import ModelConfig, render

TIMEOUT_S = 120  # importing TensorFlow on a busy machine takes its time


class StandInProcess:
    """`python -m serving.tf_serving.local`; `noise` is what it wrote that was no event."""

    def __init__(self, python: Path, root: Path, arguments: Sequence[str]) -> None:
        self.events: list[dict[str, object]] = []
        self.noise: list[str] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [python, "-m", "serving.tf_serving.local", *arguments],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,))
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

    def wait_for(self, event: str, **fields: object) -> dict[str, object]:
        """The first such event; fails if the process ends without it."""
        wanted = {"event": event, **fields}

        def find() -> dict[str, object] | None:
            for seen in self.events:
                if wanted.items() <= seen.items() or seen["event"] == "ended":
                    return seen
            return None

        with self._news:
            found = self._news.wait_for(find, TIMEOUT_S)
        assert found is not None, f"no {wanted} in {self.events}"
        assert wanted.items() <= found.items(), f"{self.events} {self.noise}"
        return found

    @property
    def address(self) -> str:
        """Where it listens, once it does."""
        return f"127.0.0.1:{self.wait_for('listening')['port']}"

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(self.address)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def exit_status(self) -> int:
        """Wait for its end."""
        status = self._process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        return status

    def end(self) -> None:
        """Make sure that nothing is left of it."""
        self._process.kill()
        self.exit_status()
        if self._process.stderr is not None:
            self._process.stderr.close()


class StartStandIn(Protocol):
    """Starts a stand-in for these models on a free port; it ends with the tests that may use it."""

    def __call__(self, models: Sequence[ModelConfig], *flags: str) -> StandInProcess: ...


@pytest.fixture(scope="module")
def start_stand_in(
    tf_python: Path, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartStandIn]:
    with ExitStack() as stack:

        def start(models: Sequence[ModelConfig], *flags: str) -> StandInProcess:
            file = tmp_path_factory.mktemp("config") / "models.config"
            file.write_text(render(models))
            arguments = ["--model-config-file", str(file), "--port", "0", *flags]
            process = StandInProcess(tf_python, root, arguments)
            stack.callback(process.end)
            return process

        yield start


@pytest.fixture(scope="session")
def golden_models(root: Path) -> Path:
    """TF Serving's own small test models, and a few more that the real server was asked about."""
    return root / "tests/golden/tf_serving/models"


@pytest.fixture(scope="session")
def spin_store(tf_python: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base path with version 1 of a model that takes as long as it is told."""
    base_path = tmp_path_factory.mktemp("spin")
    subprocess.run(
        [tf_python, "-m", "tests.serving.tf_serving.spin", str(base_path / "1")],
        cwd=root,
        check=True,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    return base_path


@pytest.fixture(scope="session")
def recorded_store(
    tf_python: Path, root: Path, golden_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Base paths as the recorded server had them under `/models`: its own files, or models like them."""
    store = tmp_path_factory.mktemp("models")
    subprocess.run(
        [tf_python, "-m", "tests.serving.tf_serving.estimator", str(store)],
        cwd=root,
        check=True,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    for base_path in golden_models.iterdir():
        (store / base_path.name).symlink_to(base_path)
    bad = store / "bad_half_plus_two" / "123"
    bad.mkdir(parents=True)
    (bad / "saved_model.pb").write_bytes(b"no such thing")
    return store


Replay = Callable[[str, Sequence[dict[str, Any]]], list[dict[str, str]]]


@pytest.fixture(scope="session")
def replay(tf_python: Path, root: Path) -> Replay:
    """Ask a server recorded calls with TensorFlow Serving's own client stubs."""

    def ask(address: str, calls: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
        done = subprocess.run(
            [tf_python, "-m", "tests.serving.tf_serving.replay", address],
            input="".join(json.dumps(call) + "\n" for call in calls),
            capture_output=True,
            text=True,
            cwd=root,
            check=True,
            timeout=TIMEOUT_S,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    return ask
