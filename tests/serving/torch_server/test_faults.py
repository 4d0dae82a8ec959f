"""What happens when a worker dies or hangs, a queue is full, or a client leaves?

A worker that is stopped (SIGSTOP) holds its batch for as long as the test wants.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from gateway.tensors import Array
from tests.serving.torch_server.conftest import Start
from tests.serving.torch_server.running import TIMEOUT_S, RunningServer, grpc_inputs, until

pytestmark = pytest.mark.slow

X = {"x": np.ones((2, 4), np.float32)}
BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}


@contextmanager
def held(server: RunningServer) -> Iterator[int]:
    """The only worker, stopped until the end of the block."""
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    try:
        yield worker
    finally:
        if worker in server.workers():
            os.kill(worker, signal.SIGCONT)


@contextmanager
def asking(server: RunningServer, count: int) -> Iterator[list[Future[Array]]]:
    """Requests on their way: the first in flight, the others queued; awaited at the end."""
    with ThreadPoolExecutor(count) as threads:
        asked = [threads.submit(server.ask, "mlp", X)]
        until(lambda: server.metric("in_flight") == 1, "one is in flight")
        asked += [threads.submit(server.ask, "mlp", X) for _ in range(count - 1)]
        until(lambda: server.metric("queued") == count - 1, "the others are queued")
        yield asked


def test_a_worker_that_is_killed_fails_its_batch_alone_and_is_replaced(
    store: Path, start: Start
) -> None:
    server = start(store)
    server.wait_for("version_ready")
    with held(server) as worker, asking(server, 4) as asked:
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(InferenceServerException) as caught:
            asked[0].result(TIMEOUT_S)
        assert caught.value.status() == "StatusCode.UNAVAILABLE"
        assert (
            "mlp/1: the worker that ran this batch died of SIGKILL. The failure is the server's"
            in str(caught.value)
        )
        for queued in asked[1:]:
            assert queued.result(TIMEOUT_S).shape == (2, 3)
    assert "died of SIGKILL" in server.wait_for("worker_lost")["reason"]
    assert server.metric("worker_restarts_total", model="mlp") == 1
    assert server.metric("requests_total", outcome="backend_unavailable") == 1
    assert server.metric("requests_total", outcome="ok") == 3
    assert server.workers() != [worker]


def test_a_batch_that_runs_too_long_ends_with_its_worker(store: Path, start: Start) -> None:
    server = start(store, "--run-timeout-s", "0.5")
    server.wait_for("version_ready")
    with (
        held(server),
        asking(server, 1) as asked,
        pytest.raises(InferenceServerException, match=r"was killed: no answer in 0\.5 s"),
    ):
        asked[0].result(TIMEOUT_S)
    assert server.ask("mlp", X).shape == (2, 3)


def test_a_full_queue_rejects_at_once_and_what_it_took_is_answered(
    store: Path, start: Start
) -> None:
    server = start(store, "--max-queued", "2")
    server.wait_for("version_ready")
    with held(server) as worker, asking(server, 3) as asked:
        refused = httpx.post(f"{server.rest}/v2/models/mlp/infer", json=BODY, timeout=TIMEOUT_S)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert "2 requests are queued, at most 2 may be" in refused.json()["error"]
        with pytest.raises(InferenceServerException) as caught:
            server.ask("mlp", X)
        assert caught.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
        os.kill(worker, signal.SIGCONT)
        for each in asked:
            assert each.result(TIMEOUT_S).shape == (2, 3)
    assert server.metric("requests_total", outcome="queue_full") == 2


def test_a_deadline_of_the_client_is_kept(store: Path, start: Start) -> None:
    server = start(store)
    server.wait_for("version_ready")
    with held(server) as worker, asking(server, 1) as asked:
        with (
            tritonclient.grpc.InferenceServerClient(server.grpc) as client,
            pytest.raises(InferenceServerException) as caught,
        ):
            client.infer("mlp", grpc_inputs(X), client_timeout=0.3)
        assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"
        until(lambda: server.metric("queued") == 0, "the late one left the queue")
        os.kill(worker, signal.SIGCONT)
        asked[0].result(TIMEOUT_S)
    assert server.metric("rows_total", model="mlp") == 2


def test_a_request_without_a_deadline_has_the_server_s(store: Path, start: Start) -> None:
    server = start(store, "--default-timeout-s", "0.3")
    server.wait_for("version_ready")
    with held(server):
        late = httpx.post(f"{server.rest}/v2/models/mlp/infer", json=BODY, timeout=TIMEOUT_S)
        assert late.status_code == 504
        assert "in flight" in late.json()["error"]


def _leaves_rest(server: RunningServer) -> Callable[[], None]:
    host, port = server.rest.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    body = httpx.Request("POST", "http://x", json=BODY).content
    head = f"POST /v2/models/mlp/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection.close


def _leaves_grpc(server: RunningServer) -> Callable[[], None]:
    client = tritonclient.grpc.InferenceServerClient(server.grpc)
    call = client.async_infer("mlp", grpc_inputs(X), lambda result, error: None)  # noqa: ARG005

    def leave() -> None:
        call.cancel()
        client.close()

    return leave


@pytest.mark.parametrize("enter", [_leaves_rest, _leaves_grpc])
def test_a_client_that_leaves_the_queue_is_not_sent_to_a_worker(
    store: Path, start: Start, enter: Callable[[RunningServer], Callable[[], None]]
) -> None:
    server = start(store)
    server.wait_for("version_ready")
    with held(server) as worker, asking(server, 2) as asked:
        leave = enter(server)
        until(lambda: server.metric("queued") == 2, "it is queued")
        leave()
        until(lambda: server.metric("queued") == 1, "it is gone")
        os.kill(worker, signal.SIGCONT)
        for each in asked:
            each.result(TIMEOUT_S)
    assert server.metric("requests_total", outcome="caller_left") == 1
    assert server.metric("requests_total", outcome="ok") == 2
    assert server.metric("run_seconds_count") == 2


def test_a_body_over_the_limit_is_refused(store: Path, start: Start) -> None:
    server = start(store, "--max-body-bytes", "1000")
    server.wait_for("version_ready")
    large = {**BODY, "id": "x" * 1000}
    refused = httpx.post(f"{server.rest}/v2/models/mlp/infer", json=large, timeout=TIMEOUT_S)
    assert refused.status_code == 413
    with pytest.raises(InferenceServerException) as caught:
        server.ask("mlp", {"x": np.ones((64, 4), np.float32)})
    assert caught.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
    assert server.ask("mlp", X).shape == (2, 3)


def test_no_worker_outlives_a_server_that_was_killed(store: Path, start: Start) -> None:
    server = start(store, "--runners", "2")
    server.wait_for("version_ready")
    until(lambda: server.metric("workers") == 2, "both workers are there")
    workers = server.workers()
    os.kill(workers[0], signal.SIGSTOP)  # not even one that cannot notice
    server.end(signal.SIGKILL)
    until(lambda: not any(map(_is_alive, workers)), "the workers are gone")


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
