"""What happens to a slow batch when its worker is killed, and to those that wait behind it?

The worker really runs: a large `minilm` batch takes seconds, where those that are stopped in test_faults
take for ever.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from tests.serving.torch_server.running import TIMEOUT_S, RunningServer, grpc_inputs, until

pytestmark = pytest.mark.slow

ROWS, TOKENS = 64, 256
IDS = np.full((ROWS, TOKENS), 1012, np.int64)
INPUTS = {"input_ids": IDS, "attention_mask": np.ones_like(IDS)}

Outcome = tuple[str, str]
"""The status, and the text of the error or the shape of the answer."""


def ask_rest(server: RunningServer) -> Outcome:
    tensors = [
        {"name": name, "shape": array.shape, "datatype": "INT64", "data": array.ravel().tolist()}
        for name, array in INPUTS.items()
    ]
    url = f"{server.rest}/v2/models/minilm/infer"
    answer = httpx.post(url, json={"inputs": tensors}, timeout=TIMEOUT_S)
    told = answer.json()
    return str(answer.status_code), told.get("error") or str(told["outputs"][0]["shape"])


def ask_grpc(server: RunningServer) -> Outcome:
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        try:
            answer = client.infer("minilm", grpc_inputs(INPUTS), client_timeout=TIMEOUT_S)
        except InferenceServerException as error:
            return str(error.status()), str(error.message())
        return "OK", str(list(answer.as_numpy("embedding").shape))


@pytest.fixture(scope="module")
def server(torch_python: Path, root: Path) -> Iterator[RunningServer]:
    store = root / "model_store"
    if not (store / "minilm" / "1").exists():
        pytest.fail("minilm is not built: run `make store`")
    running = RunningServer(torch_python, root, ["--model-store", str(store), "--models", "minilm"])
    try:
        running.wait_for("version_ready")
        yield running
    finally:
        running.close()


@pytest.mark.parametrize(
    ("ask", "ok", "unavailable"),
    [(ask_rest, "200", "503"), (ask_grpc, "OK", "StatusCode.UNAVAILABLE")],
)
def test_a_batch_whose_worker_is_killed_fails_before_those_behind_it_are_served(
    server: RunningServer,
    ask: Callable[[RunningServer], Outcome],
    ok: str,
    unavailable: str,
) -> None:
    until(lambda: server.metric("workers") == 1, "the worker is there")
    with ThreadPoolExecutor(3) as threads:
        running = threads.submit(ask, server)
        until(lambda: server.metric("in_flight") == 1, "one is in flight")
        queued: list[Future[Outcome]] = [threads.submit(ask, server) for _ in range(2)]
        until(lambda: server.metric("queued") == 2, "the others are queued")
        (worker,) = server.workers()
        assert not running.done(), "too quick a machine: the batch should be larger"
        os.kill(worker, signal.SIGKILL)
        first, _ = wait([running, *queued], TIMEOUT_S, FIRST_COMPLETED)
        assert first == {running}
        status, text = running.result()
        assert status == unavailable
        assert "minilm/1: the worker that ran this batch died of SIGKILL." in text
        assert "a retry is fine" in text
        assert [each.result(TIMEOUT_S) for each in queued] == [(ok, f"[{ROWS}, 384]")] * 2
