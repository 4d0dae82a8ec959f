"""tritonclient.http, unchanged: every method of it whose extension the gateway advertises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from gateway.tensors import Array
from tests.clients.triton import VALUES, beside, same
from tests.fakes.gateways import Stack

X = np.array([[1, 2, 3, 4]], np.float32)


def asked(name: str, array: Array, datatype: str, *, binary: bool = True) -> triton.InferInput:
    found = triton.InferInput(name, list(array.shape), datatype)
    found.set_data_from_numpy(array, binary_data=binary)
    return found


def with_client(path: Path, scenario: Any, **options: Any) -> None:
    def run(stack: Stack) -> None:
        address = stack.gateway.addresses["rest"]
        with triton.InferenceServerClient(address, **options) as client:
            scenario(client, stack)

    beside(path, run)


def test_health_and_metadata(tmp_path: Path) -> None:
    def scenario(client: triton.InferenceServerClient, _: Stack) -> None:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("floats")
        assert client.is_model_ready("floats", "1")
        assert not client.is_model_ready("none")
        server = client.get_server_metadata()
        assert server["name"] == "tandem"
        assert {"binary_tensor_data", "statistics", "model_configuration"} <= {
            *server["extensions"]
        }
        model = client.get_model_metadata("floats", "1")
        assert model["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
        assert model["versions"] == ["1"]

    with_client(tmp_path, scenario)


def test_the_configuration_leaves_out_the_batch(tmp_path: Path) -> None:
    def scenario(client: triton.InferenceServerClient, _: Stack) -> None:
        config = client.get_model_config("floats")
        assert config["max_batch_size"] == 64
        assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}]
        assert config["version_policy"] == {"specific": {"versions": [1]}}
        assert client.get_model_config("echo_bytes")["output"][0]["data_type"] == "TYPE_STRING"
        with pytest.raises(InferenceServerException, match="unknown model: 'none'"):
            client.get_model_config("none")

    with_client(tmp_path, scenario)


def test_the_index_lists_versions_and_loading_is_refused(tmp_path: Path) -> None:
    def scenario(client: triton.InferenceServerClient, _: Stack) -> None:
        index = client.get_model_repository_index()
        assert {"name": "floats", "version": "1", "state": "READY", "reason": ""} in index
        for refused in (client.load_model, client.unload_model):
            with pytest.raises(InferenceServerException, match="configuration file") as caught:
                refused("floats")
            assert caught.value.status() == "501"

    with_client(tmp_path, scenario)


def test_what_is_not_advertised_says_so(tmp_path: Path) -> None:
    def scenario(client: triton.InferenceServerClient, _: Stack) -> None:
        for refused in (
            client.get_system_shared_memory_status,
            client.unregister_cuda_shared_memory,
            client.get_trace_settings,
            client.get_log_settings,
            lambda: client.get_trace_settings("floats"),
        ):
            with pytest.raises(InferenceServerException) as caught:
                refused()
            assert caught.value.status() == "501"

    with_client(tmp_path, scenario)


@pytest.mark.parametrize("datatype", VALUES)
def test_every_datatype_returns_bit_by_bit_as_binary(tmp_path: Path, datatype: str) -> None:
    def scenario(client: triton.InferenceServerClient, _: Stack) -> None:
        values = VALUES[datatype]
        answer = client.infer(f"echo_{datatype.lower()}", [asked("x", values, datatype)])
        same(answer.as_numpy("y"), values)

    with_client(tmp_path, scenario)


@pytest.mark.parametrize("shape", [(0, 2), (0, 0), (3, 0)])
def test_tensors_of_no_elements(tmp_path: Path, shape: tuple[int, ...]) -> None:
    def scenario(client: triton.InferenceServerClient, _: Stack) -> None:
        empty = np.zeros(shape, np.float32)
        for binary in (True, False):
            wanted = [triton.InferRequestedOutput("y", binary_data=binary)]
            answer = client.infer(
                "echo_fp32", [asked("x", empty, "FP32", binary=binary)], outputs=wanted
            )
            assert answer.get_output("y")["shape"] == list(shape)

    with_client(tmp_path, scenario)


def test_each_output_has_the_form_that_was_asked_for_it(tmp_path: Path) -> None:
    def scenario(client: triton.InferenceServerClient, _: Stack) -> None:
        inputs = [
            asked("a", np.ones((2, 2), np.float32), "FP32"),
            asked("b", np.array([1, 2], np.int32), "INT32", binary=False),
        ]
        outputs = [
            triton.InferRequestedOutput("sum", binary_data=False),
            triton.InferRequestedOutput("twice", binary_data=True),
        ]
        answer = client.infer("pairs", inputs, outputs=outputs)
        assert answer.get_output("sum")["data"] == [2, 2, 3, 3]
        assert answer.get_output("twice")["parameters"] == {"binary_data_size": 8}
        assert answer.as_numpy("twice").tolist() == [2, 4]

    with_client(tmp_path, scenario)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@pytest.mark.parametrize("rows", [1, 100, 4000])
def test_compression_both_ways(tmp_path: Path, algorithm: str, rows: int) -> None:
    def scenario(client: triton.InferenceServerClient, _: Stack) -> None:
        many = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)
        answer = client.infer(
            "echo_fp32",
            [asked("x", many, "FP32")],
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )
        assert answer.as_numpy("y").tolist() == many.tolist()

    with_client(tmp_path, scenario)


def test_an_answer_is_compressed_only_when_asked_and_worth_it(tmp_path: Path) -> None:
    def scenario(_: triton.InferenceServerClient, stack: Stack) -> None:
        url = f"http://{stack.gateway.addresses['rest']}/v2/models/echo_fp32/infer"
        for elements, accepted, encoding in (
            (2, "gzip", None),
            (2000, "gzip", "gzip"),
            (2000, "gzip;q=0.5, deflate", "deflate"),
            (2000, "gzip;q=0, identity", None),
            (2000, "br", None),
            (2000, "", None),
        ):
            tensor = {"name": "x", "datatype": "FP32", "shape": [1, elements]}
            body = {"inputs": [{**tensor, "data": [0.5] * elements}]}
            answer = httpx.post(url, json=body, headers={"accept-encoding": accepted})
            assert answer.headers.get("content-encoding") == encoding
            assert answer.json()["outputs"][0]["data"] == [0.5] * elements

    with_client(tmp_path, scenario)


def test_a_raw_binary_request(tmp_path: Path) -> None:
    """No JSON at all: the signature tells the name, the datatype and the shape."""

    def scenario(_: triton.InferenceServerClient, stack: Stack) -> None:
        rest = f"http://{stack.gateway.addresses['rest']}/v2/models"
        headers = {"inference-header-content-length": "0"}

        def post(model: str, body: bytes) -> httpx.Response:
            return httpx.post(f"{rest}/{model}/infer", content=body, headers=headers)

        for model, body, shape, back in (
            ("floats", X.tobytes(), [1, 4], (X * 2 + 1).tobytes()),
            ("echo_int64", np.arange(3).tobytes(), [1, 3], np.arange(3).tobytes()),
            ("echo_bytes", b"a\x00picture", [1, 1], b"\x09\x00\x00\x00a\x00picture"),
        ):
            answer = post(model, body)
            assert answer.status_code == 200, answer.text
            length = int(answer.headers["inference-header-content-length"])
            output = json.loads(answer.content[:length])["outputs"][0]
            assert output["shape"] == shape
            assert answer.content[length:] == back
        for model, body, text in (
            ("floats", X.tobytes()[:-1], "byte size mismatch"),
            ("echo_int64", b"\0" * 9, "byte size mismatch"),
            ("pairs", b"", "has 2"),
            ("none", b"", "unknown model: 'none'"),
        ):
            answer = post(model, body)
            assert answer.status_code in (400, 404)
            assert text in answer.json()["error"]

    with_client(tmp_path, scenario)


def test_statistics_count_what_was_asked(tmp_path: Path) -> None:
    def scenario(client: triton.InferenceServerClient, _: Stack) -> None:
        assert client.get_inference_statistics("floats")["model_stats"][0]["last_inference"] == 0
        for rows in (1, 1, 3):
            client.infer("floats", [asked("x", np.repeat(X, rows, 0), "FP32")])
        with pytest.raises(InferenceServerException):
            client.infer("floats", [asked("x", X[:, :3], "FP32")])
        (told,) = client.get_inference_statistics("floats", "1")["model_stats"]
        assert (told["name"], told["version"]) == ("floats", "1")
        assert (told["inference_count"], told["execution_count"]) == (5, 3)
        assert told["last_inference"] > 1.7e12
        stats = told["inference_stats"]
        assert {name: stats[name]["count"] for name in ("success", "fail", "queue")} == {
            "success": 3,
            "fail": 1,
            "queue": 3,
        }
        assert stats["success"]["ns"] >= stats["compute_infer"]["ns"] > 0
        assert stats["fail"]["ns"] > 0
        assert [(b["batch_size"], b["compute_infer"]["count"]) for b in told["batch_stats"]] == [
            (1, 2),
            (3, 1),
        ]
        everything = client.get_inference_statistics()["model_stats"]
        assert {one["name"] for one in everything} >= {"floats", "pairs", "echo_bf16"}
        with pytest.raises(InferenceServerException, match="version 9"):
            client.get_inference_statistics("floats", "9")

    with_client(tmp_path, scenario)


def test_parameters_reach_the_backend_and_ours_do_not(tmp_path: Path) -> None:
    def scenario(client: triton.InferenceServerClient, stack: Stack) -> None:
        client.infer(
            "floats",
            [asked("x", X, "FP32")],
            parameters={"beams": 4, "greedy": False},
            priority=1,
            timeout=10_000_000,
        )
        assert stack.backends["torch"].requests[-1].parameters == {"beams": 4, "greedy": False}

    with_client(tmp_path, scenario)


def test_a_timeout_is_in_microseconds(tmp_path: Path) -> None:
    def scenario(client: triton.InferenceServerClient, _: Stack) -> None:
        with pytest.raises(InferenceServerException) as caught:
            client.infer("floats", [asked("x", X, "FP32")], timeout=1)
        assert caught.value.status() == "504"

    with_client(tmp_path, scenario)


def test_an_answer_says_where_it_came_from_only_when_asked(tmp_path: Path) -> None:
    def scenario(client: triton.InferenceServerClient, _: Stack) -> None:
        inputs = [asked("x", X, "FP32")]
        told = client.infer("floats", inputs, parameters={"tandem_explain": True}).get_response()
        assert told["parameters"]["tandem_arm"] == "torch"
        assert told["parameters"]["tandem_version"] == "1"
        assert told["parameters"]["tandem_batch_rows"] == 1
        assert told["parameters"]["tandem_total_ms"] >= told["parameters"]["tandem_backend_ms"]
        assert "parameters" not in client.infer("floats", inputs).get_response()
        with pytest.raises(InferenceServerException, match="true or false"):
            client.infer("floats", inputs, parameters={"tandem_explain": 1})

    with_client(tmp_path, scenario)


def test_requests_side_by_side(tmp_path: Path) -> None:
    def scenario(client: triton.InferenceServerClient, _: Stack) -> None:
        pending = [client.async_infer("floats", [asked("x", X + i, "FP32")]) for i in range(8)]
        for i, one in enumerate(pending):
            assert one.get_result().as_numpy("y").tolist() == ((X + i) * 2 + 1).tolist()

    with_client(tmp_path, scenario, concurrency=4)


def test_a_path_that_is_not_there_is_an_error_in_the_protocols_form(tmp_path: Path) -> None:
    def scenario(_: triton.InferenceServerClient, stack: Stack) -> None:
        with httpx.Client(base_url=f"http://{stack.gateway.addresses['rest']}") as client:
            assert client.get("/v2/nothing").json() == {"error": "Not Found"}
            assert client.post("/v2/models").json() == {"error": "Method Not Allowed"}
            bad = client.post("/v2/repository/index", json={"ready": 1})
            assert (bad.status_code, "ready" in bad.json()["error"]) == (400, True)
            assert client.post("/v2/repository/index", json={"ready": True}).status_code == 200
            assert "stats" in " ".join(client.get("/openapi.json").json()["paths"])

    with_client(tmp_path, scenario)
