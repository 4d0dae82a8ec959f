"""tritonclient.grpc, unchanged: every method of it whose extension the gateway advertises."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from gateway.tensors import Array
from tests.clients.triton import VALUES, beside, same
from tests.fakes.gateways import Stack

X = np.array([[1, 2, 3, 4]], np.float32)
WAIT_S = 30


def asked(name: str, array: Array, datatype: str) -> triton.InferInput:
    found = triton.InferInput(name, list(array.shape), datatype)
    found.set_data_from_numpy(array)
    return found


def with_client(path: Path, scenario: Callable[[Any, Stack], None]) -> None:
    def run(stack: Stack) -> None:
        with triton.InferenceServerClient(stack.grpc) as client:
            scenario(client, stack)

    beside(path, run)


def test_health_metadata_and_the_index(tmp_path: Path) -> None:
    def scenario(client: Any, _: Stack) -> None:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("floats")
        assert client.get_server_metadata().name == "tandem"
        assert client.get_model_metadata("floats").inputs[0].shape == [-1, 4]
        index = client.get_model_repository_index(as_json=True)["models"]
        assert {"name": "floats", "version": "1", "state": "READY"} in index

    with_client(tmp_path, scenario)


def test_the_configuration_is_tritons_message(tmp_path: Path) -> None:
    def scenario(client: Any, _: Stack) -> None:
        config = client.get_model_config("floats", "1").config
        assert (config.name, config.max_batch_size) == ("floats", 64)
        assert list(config.input[0].dims) == [4]
        assert config.input[0].data_type == 11  # TYPE_FP32
        assert config.HasField("dynamic_batching")
        assert not config.model_transaction_policy.decoupled
        with pytest.raises(InferenceServerException, match="unknown model: 'none'"):
            client.get_model_config("none")

    with_client(tmp_path, scenario)


def test_statistics_are_tritons_message(tmp_path: Path) -> None:
    def scenario(client: Any, _: Stack) -> None:
        client.infer("floats", [asked("x", np.repeat(X, 3, 0), "FP32")])
        (told,) = client.get_inference_statistics("floats").model_stats
        assert (told.inference_count, told.execution_count) == (3, 1)
        assert told.inference_stats.success.count == 1
        assert told.inference_stats.success.ns >= told.inference_stats.compute_infer.ns > 0
        assert told.batch_stats[0].batch_size == 3
        assert len(client.get_inference_statistics().model_stats) > 10

    with_client(tmp_path, scenario)


def test_what_is_not_advertised_is_unimplemented_and_says_why(tmp_path: Path) -> None:
    def scenario(client: Any, _: Stack) -> None:
        for refused, why in (
            (lambda: client.load_model("floats"), "configuration file"),
            (lambda: client.unload_model("floats"), "configuration file"),
            (client.get_system_shared_memory_status, "shared memory"),
            (client.get_cuda_shared_memory_status, "shared memory"),
            (client.get_trace_settings, "traces"),
            (client.get_log_settings, "log.level"),
        ):
            with pytest.raises(InferenceServerException, match=why) as caught:
                refused()
            assert caught.value.status() == "StatusCode.UNIMPLEMENTED"

    with_client(tmp_path, scenario)


def test_every_datatype_returns_bit_by_bit(tmp_path: Path) -> None:
    def scenario(client: Any, _: Stack) -> None:
        for datatype, values in VALUES.items():
            answer = client.infer(f"echo_{datatype.lower()}", [asked("x", values, datatype)])
            same(answer.as_numpy("y"), values)

    with_client(tmp_path, scenario)


def test_one_output_of_two_parameters_ids_and_compression(tmp_path: Path) -> None:
    def scenario(client: Any, stack: Stack) -> None:
        answer = client.infer(
            "pairs",
            [
                asked("a", np.ones((1, 2), np.float32), "FP32"),
                asked("b", np.array([2], np.int32), "INT32"),
            ],
            outputs=[triton.InferRequestedOutput("twice")],
            request_id="mine",
            priority=2,
            timeout=20_000_000,
            compression_algorithm="gzip",
            parameters={"tandem_explain": True, "beams": 3},
        )
        assert answer.as_numpy("twice").tolist() == [4]
        assert answer.as_numpy("sum") is None
        told = answer.get_response()
        assert told.id == "mine"
        assert told.parameters["tandem_arm"].string_param == "torch"
        assert told.parameters["tandem_batch_rows"].int64_param == 1
        assert told.parameters["tandem_total_ms"].double_param > 0
        assert stack.backends["torch"].requests[-1].parameters == {"beams": 3}

    with_client(tmp_path, scenario)


def test_a_call_in_the_background(tmp_path: Path) -> None:
    def scenario(client: Any, _: Stack) -> None:
        told: queue.Queue[Any] = queue.Queue()
        client.async_infer(
            "floats", [asked("x", X, "FP32")], lambda result, error: told.put((result, error))
        )
        result, error = told.get(timeout=WAIT_S)
        assert error is None
        same(result.as_numpy("y"), X * 2 + 1)

    with_client(tmp_path, scenario)


def test_a_stream_answers_in_order_and_outlives_an_error(tmp_path: Path) -> None:
    def scenario(client: Any, _: Stack) -> None:
        told: queue.Queue[Any] = queue.Queue()
        client.start_stream(lambda result, error: told.put((result, error)))
        for i in range(200):  # more than may be under way at the same time
            model = "none" if i == 5 else "floats"
            client.async_stream_infer(
                model,
                [asked("x", X + i, "FP32")],
                request_id=str(i),
                enable_empty_final_response=i % 2 == 0,
            )
        for i in range(200):
            result, error = told.get(timeout=WAIT_S)
            if i == 5:
                assert "unknown model: 'none'" in str(error)
                continue
            assert error is None
            assert result.get_response().id == str(i)
            assert result.get_response().parameters["triton_final_response"].bool_param
            same(result.as_numpy("y"), (X + i) * 2 + 1)
        client.stop_stream()
        assert client.get_inference_statistics("floats").model_stats[0].inference_count == 199

    with_client(tmp_path, scenario)
