"""Packages, compiled once and kept, and torch servers that serve them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from gateway.tensors import Array
from tests.serving.processes import run_module
from tests.serving.torch_server.running import RunningServer
from tests.serving.torch_server.stores import MLP, PAIR, publish

Start: TypeAlias = Callable[..., RunningServer]


class Packages:
    """Compiled packages by name, and the cases with what eager PyTorch answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def data(self, name: str) -> bytes:
        """The package's bytes."""
        return (self._folder / f"{name}.pt2").read_bytes()

    def case(self, name: str, rows: int) -> tuple[dict[str, Array], list[Array]]:
        """Inputs by name, and the outputs in order."""
        with np.load(self._folder / f"{name}.npz") as cases:
            inputs = {
                key.rpartition("/")[2]: cases[key] for key in cases if key.startswith(f"{rows}/in/")
            }
            outputs = [cases[key] for key in sorted(cases) if key.startswith(f"{rows}/out/")]
        return inputs, outputs


@pytest.fixture(scope="session")
def packages(request: pytest.FixtureRequest, torch_python: Path, root: Path) -> Packages:
    """The packages; compiling them takes half a minute, so they stay in pytest's cache."""
    scripts = (Path(__file__).with_name(name) for name in ("build_packages.py", "sizes.py"))
    text = "".join(script.read_text(encoding="utf-8") for script in scripts)
    version = next(torch_python.parent.parent.glob("lib/*/site-packages/torch-*.dist-info")).name
    key = hashlib.sha256((text + version).encode()).hexdigest()[:16]
    folder = request.config.cache.mkdir("torch_packages") / key
    if not folder.exists():
        aside = folder.with_name(f"{key}.{os.getpid()}")
        aside.mkdir()
        run_module(torch_python, root, "tests.serving.torch_server.build_packages", str(aside))
        aside.rename(folder)
    return Packages(folder)


@pytest.fixture
def store(tmp_path: Path, packages: Packages) -> Path:
    """A model store with version 1 of the MLP."""
    folder = tmp_path / "store"
    folder.mkdir()
    publish(folder, "mlp/1", packages.data("mlp-1"), MLP)
    return folder


@pytest.fixture
def start(torch_python: Path, root: Path) -> Iterator[Start]:
    """Start servers: `start(store, *flags)`; they are ended with the test."""
    with ExitStack() as servers:

        def start_one(store: Path, *flags: str) -> RunningServer:
            server = RunningServer(torch_python, root, ["--model-store", str(store), *flags])
            servers.callback(server.close)
            return server

        yield start_one


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, packages: Packages, torch_python: Path, root: Path
) -> Iterator[RunningServer]:
    """A server of two versions of the MLP and of the pair, for tests that change nothing."""
    folder = tmp_path_factory.mktemp("store")
    publish(folder, "mlp/1", packages.data("mlp-1"), MLP)
    publish(folder, "mlp/2", packages.data("mlp-2"), MLP)
    publish(folder, "pair/7", packages.data("pair"), PAIR)
    server = RunningServer(torch_python, root, ["--model-store", str(folder)])
    try:
        for model, version in (("mlp", "1"), ("mlp", "2"), ("pair", "7")):
            server.wait_for("version_ready", model=model, version=version)
        yield server
    finally:
        server.close()
