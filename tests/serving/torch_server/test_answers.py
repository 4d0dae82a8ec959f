"""What does a running server answer, over both protocols?"""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from gateway.tensors import Array
from tests.serving.torch_server.conftest import Packages
from tests.serving.torch_server.running import TIMEOUT_S, RunningServer, grpc_inputs
from tests.serving.torch_server.sizes import ROWS

pytestmark = pytest.mark.slow

ONE = [[1.0, 2.0, 3.0, 4.0]]


def assert_close(got: Any, wanted: Any) -> None:
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def infer(server: RunningServer, body: dict[str, Any], path: str = "mlp") -> httpx.Response:
    return httpx.post(f"{server.rest}/v2/models/{path}/infer", json=body, timeout=TIMEOUT_S)


def x(data: Any, shape: list[int], datatype: str = "FP32", name: str = "x") -> dict[str, Any]:
    return {"inputs": [{"name": name, "shape": shape, "datatype": datatype, "data": data}]}


def over_grpc(
    server: RunningServer, model: str, inputs: dict[str, Array], version: str = ""
) -> tritonclient.grpc.InferResult:
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        return client.infer(model, grpc_inputs(inputs), version, client_timeout=TIMEOUT_S)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("version", ["1", "2"])
def test_numbers_are_those_of_eager_pytorch(
    served: RunningServer, packages: Packages, version: str, rows: int
) -> None:
    inputs, (wanted,) = packages.case(f"mlp-{version}", rows)
    answer = over_grpc(served, "mlp", inputs, version)
    assert_close(answer.as_numpy("logits"), wanted)
    told = answer.get_response()
    assert (told.model_name, told.model_version) == ("mlp", version)
    assert told.parameters["compute_ms"].double_param > 0

    asked = infer(served, x(inputs["x"].ravel().tolist(), [rows, 4]), f"mlp/versions/{version}")
    document = asked.json()
    assert (asked.status_code, document["model_version"]) == (200, version)
    got = np.array(document["outputs"][0]["data"], np.float32).reshape(rows, 3)
    assert_close(got, wanted)
    assert document["parameters"]["compute_ms"] > 0


def test_the_newest_version_answers_when_none_is_named_and_says_so(served: RunningServer) -> None:
    assert infer(served, x(ONE, [1, 4])).json()["model_version"] == "2"
    answer = over_grpc(served, "mlp", {"x": np.ones((1, 4), np.float32)})
    assert answer.get_response().model_version == "2"


def test_inputs_are_told_by_name_and_outputs_come_in_the_order_asked_for(
    served: RunningServer, packages: Packages
) -> None:
    inputs, (total, doubled) = packages.case("pair", 15)
    for order in (list(inputs), list(reversed(inputs))):
        answer = over_grpc(served, "pair", {name: inputs[name] for name in order})
        assert [output.name for output in answer.get_response().outputs] == ["total", "doubled"]
        assert_close(answer.as_numpy("total"), total)
        assert np.array_equal(answer.as_numpy("doubled"), doubled)
    with tritonclient.grpc.InferenceServerClient(served.grpc) as client:
        wanted = [tritonclient.grpc.InferRequestedOutput(name) for name in ("doubled", "total")]
        answer = client.infer("pair", grpc_inputs(inputs), outputs=wanted)
    assert [output.name for output in answer.get_response().outputs] == ["doubled", "total"]


def test_the_binary_form_of_rest_is_spoken(served: RunningServer, packages: Packages) -> None:
    inputs, (total, doubled) = packages.case("pair", 17)
    made = []
    for name, datatype in (("weights", "FP32"), ("ids", "INT64")):
        made.append(tritonclient.http.InferInput(name, inputs[name].shape, datatype))
        made[-1].set_data_from_numpy(inputs[name], binary_data=True)
    with tritonclient.http.InferenceServerClient(served.rest.removeprefix("http://")) as client:
        answer = client.infer("pair", made, request_id="a-request")
        assert answer.get_response()["id"] == "a-request"
        assert_close(answer.as_numpy("total"), total)
        assert np.array_equal(answer.as_numpy("doubled"), doubled)
        index = client.get_model_repository_index()
    assert {(each["name"], each["version"], each["state"]) for each in index} == {
        ("mlp", "1", "READY"),
        ("mlp", "2", "READY"),
        ("pair", "7", "READY"),
    }


WRONG: list[tuple[dict[str, Any], str]] = [
    (x(ONE, [1, 4], name="y"), "missing ['x']"),
    (x(ONE, [1, 4], "FP64"), "inputs[0].datatype: got FP64, model mlp wants FP32"),
    (x([1.0] * 5, [1, 5]), "inputs[0].shape: got [1, 5], model mlp wants [rows, 4]"),
    (x([1.0] * 4, [4]), "inputs[0].shape: got [4]"),
    (x([], [0, 4]), "got 0 rows in 'x', the model wants 1 to 64"),
    (x([1.0] * 260, [65, 4]), "got 65 rows in 'x', the model wants 1 to 64"),
    ({"inputs": []}, "missing ['x']"),
    ({**x(ONE, [1, 4]), "outputs": [{"name": "nope"}]}, "got output 'nope'"),
]


@pytest.mark.parametrize(("body", "words"), WRONG)
def test_a_wrong_request_says_what_was_got_and_wanted_over_rest(
    served: RunningServer, body: dict[str, Any], words: str
) -> None:
    answer = infer(served, body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"y": np.ones((1, 4), np.float32)}, "missing ['x']"),
        ({"x": np.ones((1, 4), np.float64)}, "got FP64"),
        ({"x": np.ones((1, 5), np.float32)}, "got [1, 5]"),
        ({"x": np.ones((65, 4), np.float32)}, "1 to 64"),
    ],
)
def test_a_wrong_request_says_what_was_got_and_wanted_over_grpc(
    served: RunningServer, inputs: dict[str, Array], words: str
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        over_grpc(served, "mlp", inputs)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert words in caught.value.message()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nope", "got model 'nope', models here: mlp, pair"),
        ("mlp/versions/9", "model 'mlp' has no version '9', it has: 1, 2"),
        ("mlp/versions/one", "no version 'one'"),
    ],
)
def test_an_unknown_model_or_version_is_not_found(
    served: RunningServer, path: str, words: str
) -> None:
    for answer in (
        infer(served, x(ONE, [1, 4]), path),
        served.get(f"/v2/models/{path}"),
        served.get(f"/v2/models/{path}/ready"),
    ):
        assert answer.status_code == 404
        assert words in answer.json()["error"]
    model, _, version = path.partition("/versions/")
    with pytest.raises(InferenceServerException) as caught:
        over_grpc(served, model, {"x": np.ones((1, 4), np.float32)}, version)
    assert caught.value.status() == "StatusCode.NOT_FOUND"
    assert words in caught.value.message()


def test_health_and_metadata_are_told_over_both_protocols(served: RunningServer) -> None:
    with tritonclient.grpc.InferenceServerClient(served.grpc) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("mlp")
        assert client.is_model_ready("mlp", "1")
        assert client.get_server_metadata().name == "tandem-torch-server"
        metadata = client.get_model_metadata("mlp")
        assert (list(metadata.versions), metadata.platform) == (["1", "2"], "pytorch_aotinductor")
        assert [(each.name, list(each.shape)) for each in metadata.inputs] == [("x", [-1, 4])]
        assert list(client.get_model_metadata("mlp", "1").versions) == ["1"]
        assert len(client.get_model_repository_index().models) == 3
    assert served.get("/v2/health/live").json() == {"live": True}
    assert served.get("/v2/health/ready").json() == {"ready": True}
    assert served.get("/v2/models/mlp/ready").json() == {"name": "mlp", "ready": True}
    assert served.get("/v2").json()["name"] == "tandem-torch-server"
    assert served.get("/v2/models/pair").json()["outputs"] == [
        {"name": "total", "datatype": "FP32", "shape": [-1]},
        {"name": "doubled", "datatype": "INT64", "shape": [-1, -1]},
    ]


def test_rest_errors_are_json_whatever_is_wrong(served: RunningServer) -> None:
    url = f"{served.rest}/v2/models/mlp/infer"
    for answer, status in (
        (httpx.get(url), 405),
        (served.get("/nowhere"), 404),
        (httpx.post(url, content=b"not json"), 400),
        (httpx.post(url, content=b"{}", headers={"content-encoding": "gzip"}), 501),
        (httpx.post(url, content=b"", headers={"inference-header-content-length": "x"}), 400),
        (httpx.post(f"{served.rest}/v2/repository/index", content=b"["), 400),
    ):
        assert (answer.status_code, list(answer.json())) == (status, ["error"])


def test_every_request_is_counted_once(served: RunningServer) -> None:
    def counts() -> dict[str, float]:
        outcomes = ("ok", "invalid_request", "unknown_model")
        return {name: served.metric("requests_total", outcome=name) for name in outcomes}

    before, rows = counts(), served.metric("rows_total", model="mlp", version="2")
    infer(served, x(ONE * 3, [3, 4]))
    infer(served, x(ONE, [1, 4], "FP64"))
    infer(served, x(ONE, [1, 4]), "nope")
    httpx.post(f"{served.rest}/v2/models/mlp/infer", content=b"not json")
    after = counts()
    assert {name: after[name] - before[name] for name in after} == {
        "ok": 1,
        "invalid_request": 2,
        "unknown_model": 1,
    }
    assert served.metric("rows_total", model="mlp", version="2") - rows == 3
    assert served.metric("run_seconds_count") == served.metric("requests_total", outcome="ok")


def test_every_metric_is_in_the_manual(served: RunningServer, root: Any) -> None:
    manual = (root / "serving/torch_server/README.md").read_text(encoding="utf-8")
    lines = served.get("/metrics").text.splitlines()
    told = {line.split()[2] for line in lines if line.startswith("# TYPE tandem_torch_")}
    assert told
    assert not {name for name in told if f"`{name}`" not in manual}
