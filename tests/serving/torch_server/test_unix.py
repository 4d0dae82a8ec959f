"""Does REST answer on a Unix socket, and do large bodies and leavers meet there what they meet over TCP?"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.codecs import oip_json
from gateway.messages import InferRequest
from gateway.tensors import Tensor
from tests.serving.torch_server.conftest import Start
from tests.serving.torch_server.running import TIMEOUT_S, RunningServer, until

pytestmark = pytest.mark.slow

LARGE_ROWS = 40_000  # of 16 bytes: more than is received in one piece


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a socket may be."""
    return tmp_path_factory.mktemp("unix") / "torch.sock"


@pytest.fixture
def on_path(store: Path, start: Start, path: Path) -> RunningServer:
    """A server that listens there too, and is ready."""
    server = start(store, "--unix", str(path))
    server.wait_for("listening")
    until(lambda: server.get("/v2/health/ready").status_code == 200, "it is ready")
    return server


def asked(path: Path, **given: Any) -> httpx.Response:
    transport = httpx.HTTPTransport(uds=str(path))
    with httpx.Client(transport=transport, timeout=TIMEOUT_S) as client:
        return client.post("http://torch/v2/models/mlp/infer", **given)


def raw(rows: np.ndarray[Any, Any]) -> tuple[bytes, dict[str, str]]:
    request = InferRequest(model="mlp", inputs=(Tensor("x", "FP32", rows),))
    body, length = oip_json.encode_request(request)
    return body, {"inference-header-content-length": str(length)}


def test_both_ends_give_the_same_answer(on_path: RunningServer, path: Path) -> None:
    body = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
    over_tcp = httpx.post(f"{on_path.rest}/v2/models/mlp/infer", json=body, timeout=TIMEOUT_S)
    over_unix = asked(path, json=body)
    assert over_unix.status_code == 200
    assert over_unix.json()["outputs"] == over_tcp.json()["outputs"]
    in_chunks = asked(
        path, content=iter([over_tcp.request.content[:9], over_tcp.request.content[9:]])
    )
    assert in_chunks.json()["outputs"] == over_tcp.json()["outputs"]


def test_what_is_wrong_is_told_in_place_of_an_answer(on_path: RunningServer, path: Path) -> None:
    assert on_path.pid
    got = asked(path, content=b"{", headers={"inference-header-content-length": "nine"})
    assert (got.status_code, "wanted a number" in got.json()["error"]) == (400, True)
    got = asked(path, content=b"{}", headers={"content-encoding": "br"})
    assert (got.status_code, "'br'" in got.json()["error"]) == (501, True)
    assert asked(path, content=b"{").status_code == 400


def test_a_large_body_is_received_in_place_and_refused_above_the_bound(
    store: Path, start: Start, path: Path
) -> None:
    bound = LARGE_ROWS * 16 + 4096
    server = start(store, "--unix", str(path), "--max-body-bytes", str(bound))
    until(lambda: server.get("/v2/health/ready").status_code == 200, "it is ready")
    body, headers = raw(np.ones((LARGE_ROWS, 4), np.float32))
    got = asked(path, content=body, headers=headers)
    # As many rows are more than the model takes: it is the contract that answers, having read them all.
    assert (got.status_code, f"{LARGE_ROWS}" in got.json()["error"]) == (400, True)
    body, headers = raw(np.ones((2 * LARGE_ROWS, 4), np.float32))
    got = asked(path, content=body, headers=headers)
    assert (got.status_code, got.json()["error"]) == (413, f"got more than {bound} bytes")


def test_who_leaves_with_half_a_body_disturbs_nobody(on_path: RunningServer, path: Path) -> None:
    body, headers = raw(np.ones((LARGE_ROWS, 4), np.float32))
    length = headers["inference-header-content-length"]
    head = (
        f"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: torch\r\nContent-Length: {len(body)}\r\n"
        f"Inference-Header-Content-Length: {length}\r\n\r\n"
    )
    with socket.socket(socket.AF_UNIX) as leaver:
        leaver.connect(str(path))
        leaver.sendall(head.encode() + body[: len(body) // 2])
    small, headers = raw(np.ones((1, 4), np.float32))
    assert asked(path, content=small, headers=headers).status_code == 200
    assert on_path.metric("requests_total", outcome="ok") >= 1


def test_a_socket_that_was_left_is_taken_over_and_one_in_use_is_not(
    store: Path, start: Start, path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        path.unlink(missing_ok=True)
        left.bind(str(path))
    first = start(store, "--unix", str(path))
    assert first.wait_for("listening")["unix"] == [str(path)]
    second = start(store, "--unix", str(path))
    assert "in use" in str(second.wait_for("cannot_listen")["reason"])
    assert second.wait() == 1
    assert first.get("/v2/health/live").status_code == 200
