"""What becomes of packages that must not be served, and of those beside them?"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc

from tests.serving.torch_server.archives import package, rewrite
from tests.serving.torch_server.conftest import Packages, Start
from tests.serving.torch_server.running import RunningServer
from tests.serving.torch_server.stores import MLP, PAIR, entry, publish, rows, signature

pytestmark = pytest.mark.slow

ABORTS = "#include <cstdlib>\n__attribute__((constructor)) static void go() { std::abort(); }\n"
OTHER_OUTPUT = signature(
    [entry("x", "FP32", (-1, 4), rows())], [entry("logits", "FP64", (-1, 3), rows())]
)
OTHER_INPUT = signature(
    [entry("x", "FP32", (-1, 5), rows())], [entry("logits", "FP32", (-1, 3), rows())]
)


def aborting_library(folder: Path) -> bytes:
    source, library = folder / "aborts.cpp", folder / "aborts.so"
    source.write_text(ABORTS)
    subprocess.run(["g++", "-shared", "-fPIC", "-o", library, source], check=True)
    return library.read_bytes()


def test_bad_packages_are_refused_with_the_reason_while_the_others_serve(
    store: Path, packages: Packages, start: Start, tmp_path: Path
) -> None:
    good = packages.data("mlp-1")
    refused = {
        "tampered": ("integrity", "got sha256"),
        "truncated": ("archive", "cannot be read as a package"),
        "unsafe": ("archive", "leaves the folder"),
        "garbage": ("load", "torch cannot load it"),
        "aborting": ("died", "died of SIGABRT while it loaded"),
        "other-output": ("contract", "its manifest says FP64"),
        "other-input": ("contract", "failed on zeros of [[1, 5]]"),
        "other-device": ("device", "built for cuda"),
        "no-manifest": ("manifest", "manifest.json"),
    }
    with (publish(store, "tampered/1", good, MLP) / "model.pt2").open("r+b") as file:
        file.seek(1000)
        file.write(b"?")
    publish(store, "truncated/1", good[:-100], MLP)
    publish(store, "unsafe/1", package(more={"../../x": b""}), MLP)
    publish(store, "garbage/1", rewrite(good, b"\x7fELF, or not"), MLP)
    publish(store, "aborting/1", rewrite(good, aborting_library(tmp_path)), MLP)
    publish(store, "other-output/1", good, OTHER_OUTPUT)
    publish(store, "other-input/1", good, OTHER_INPUT)
    publish(store, "other-device/1", good, MLP, device="cuda")
    (publish(store, "no-manifest/1", good, MLP) / "manifest.json").write_text("{}")

    server = start(store, "--device", "cpu")
    server.wait_for("version_ready", model="mlp")
    for model, (reason, words) in refused.items():
        assert words in server.wait_for("version_refused", model=model)["reason"], model
        labels = {"model": model, "version": "1"}
        assert server.metric("version_phase", phase="REFUSED", reason=reason, **labels) == 1
        assert server.metric("loads_total", outcome=reason, **labels) == 1
        ready = server.get(f"/v2/models/{model}/ready")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        told = server.get(f"/v2/models/{model}")
        assert told.status_code == 503
        assert "version 1 is REFUSED" in told.json()["error"]
        assert words in told.json()["error"]
    assert_serves(server)
    assert server.get("/v2/health/ready").status_code == 200
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        assert not client.is_model_ready("garbage")
        index = {each.name: each for each in client.get_model_repository_index().models}
    assert index["mlp"].state == "READY"
    for model, (_, words) in refused.items():
        assert index[model].state == "UNAVAILABLE"
        assert words in index[model].reason
    assert len(server.workers()) == 1
    assert server.end() == 0
    assert server.noise == []


def assert_serves(server: RunningServer) -> None:
    assert server.ask("mlp", {"x": np.ones((2, 4), np.float32)}).shape == (2, 3)


def test_a_refused_version_that_is_mended_is_loaded(
    store: Path, packages: Packages, start: Start
) -> None:
    folder = publish(store, "pair/1", packages.data("pair"), PAIR)
    (folder / "model.pt2").write_bytes(b"half of it")
    server = start(store)
    server.wait_for("version_refused", model="pair")
    (folder / "model.pt2").write_bytes(packages.data("pair"))
    server.wait_for("version_ready", model="pair")
    ids, weights = np.ones((1, 2), np.int64), np.ones((1, 2), np.float32)
    assert server.ask("pair", {"ids": ids, "weights": weights}).tolist() == [2.0]


def test_only_the_models_that_are_named_are_loaded(store: Path, start: Start) -> None:
    shutil.copytree(store / "mlp", store / "other")
    manifest = store / "other" / "1" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"model": "other"}))
    server = start(store, "--models", "other")
    server.wait_for("version_ready", model="other")
    assert server.get("/v2/models/mlp").status_code == 404


def test_a_server_with_nothing_but_refused_versions_is_alive_and_not_ready(
    tmp_path: Path, start: Start
) -> None:
    publish(tmp_path, "bad/1", b"", MLP)
    server = start(tmp_path)
    server.wait_for("version_refused")
    assert server.get("/v2/health/live").status_code == 200
    assert server.get("/v2/health/ready").status_code == 503
