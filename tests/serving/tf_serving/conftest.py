"""A stand-in of one's own: a process, its events, and a channel to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import grpc
import pytest

from serving.tf_serving.config import ModelConfig, render
from tests.serving.processes import ServerProcess, run_module

_STAND_IN = "serving.tf_serving.local"


class StandInProcess(ServerProcess):
    """`python -m serving.tf_serving.local`."""

    @property
    def address(self) -> str:
        """Where it listens, once it does."""
        return f"127.0.0.1:{self.wait_for('listening')['port']}"

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(self.address)


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
            process = StandInProcess(tf_python, root, _STAND_IN, arguments)
            stack.callback(process.close)
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
    run_module(tf_python, root, "tests.serving.tf_serving.spin", str(base_path / "1"))
    return base_path


@pytest.fixture(scope="session")
def recorded_store(
    tf_python: Path, root: Path, golden_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Base paths as the recorded server had them under `/models`: its own files, or models like them."""
    store = tmp_path_factory.mktemp("models")
    run_module(tf_python, root, "tests.serving.tf_serving.estimator", str(store))
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
        asked = "".join(json.dumps(call) + "\n" for call in calls)
        told = run_module(tf_python, root, "tests.serving.tf_serving.replay", address, sent=asked)
        return [json.loads(line) for line in told.splitlines()]

    return ask
