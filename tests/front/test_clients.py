"""tritonclient, unchanged, against the gateway inside Envoy: every datatype, either protocol, streams."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from gateway.servers.oip_stream import MAX_IN_FLIGHT
from gateway.tensors import Array
from tests.clients.triton import VALUES, Echo, echoing, same
from tests.fakes.arithmetic import Arithmetic
from tests.front.envoys import Behind, behind_envoy

pytestmark = pytest.mark.slow


def beside(path: Path, scenario: Callable[[Behind], None]) -> None:
    async def run() -> None:
        backends = {"tf": Arithmetic(), "torch": Echo()}
        async with behind_envoy(
            path / "tandem.toml", models=echoing(), backends=backends
        ) as behind:
            await asyncio.to_thread(scenario, behind)

    asyncio.run(run())


def test_every_datatype_comes_back_as_it_was_sent(tmp_path: Path) -> None:
    def scenario(behind: Behind) -> None:
        with triton_grpc.InferenceServerClient(behind.grpc) as client:
            assert client.is_server_ready()
            for datatype, values in VALUES.items():
                same(_echoed(triton_grpc, client, datatype, values), values)
        with triton_http.InferenceServerClient(behind.envoy.addresses["rest"]) as client:
            assert client.is_model_ready("floats")
            for datatype, values in VALUES.items():
                same(_echoed(triton_http, client, datatype, values), values)

    beside(tmp_path, scenario)


def _echoed(triton: Any, client: Any, datatype: str, values: Array) -> Array:
    asked = triton.InferInput("x", list(values.shape), datatype)
    asked.set_data_from_numpy(values)
    answer: Array = client.infer(f"echo_{datatype.lower()}", [asked]).as_numpy("y")
    return answer


def test_a_stream_longer_than_its_window_is_answered_in_order(tmp_path: Path) -> None:
    def scenario(behind: Behind) -> None:
        answers: queue.Queue[Any] = queue.Queue()
        count = 3 * MAX_IN_FLIGHT
        with triton_grpc.InferenceServerClient(behind.grpc) as client:
            client.start_stream(lambda result, error: answers.put((result, error)))
            for number in range(count):
                asked = triton_grpc.InferInput("x", [1, 1], "FP32")
                asked.set_data_from_numpy(np.array([[number]], np.float32))
                client.async_stream_infer("echo_fp32", [asked])
            for number in range(count):
                result, error = answers.get(timeout=30)
                assert error is None
                assert result.as_numpy("y").tolist() == [[number]]
            client.stop_stream()

    beside(tmp_path, scenario)


def test_what_is_refused_is_refused_as_ever(tmp_path: Path) -> None:
    def scenario(behind: Behind) -> None:
        with triton_grpc.InferenceServerClient(behind.grpc) as client:
            with pytest.raises(InferenceServerException, match="unknown model: 'none'"):
                client.get_model_metadata("none")
            with pytest.raises(InferenceServerException, match="configuration file"):
                client.load_model("floats")

    beside(tmp_path, scenario)
