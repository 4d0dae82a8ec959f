"""What every backend must do, whatever it is: one suite, sent through a running gateway to real servers.

The servers are Triton, MLServer and TorchServe, in environments of their own; `make test-peers` installs
them and runs this.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from gateway.app import Gateway
from gateway.backends.make import make_backend
from gateway.codecs import oip_json, tfs_proto
from gateway.control.source import ConfigFile, parse
from gateway.errors import UnknownModel
from gateway.messages import Deadline, InferRequest, Parameter
from gateway.tensors import Tensor
from tests.contracts.front import Call, assert_species, edge_values, flowers, front, rows
from tests.contracts.ways import Way
from tests.peers.models import INPUTS

pytestmark = pytest.mark.peers


class TestAnswers:
    """The same numbers in every dialect."""

    def test_tensorflow_servings_rest(self, settings: str, way: Way, tmp_path: Path) -> None:
        async def story() -> None:
            async with front(settings, way, tmp_path) as to:
                for body, key in (("instances", "predictions"), ("inputs", "outputs")):
                    answer = await to.rest.post(
                        "/v1/models/iris:predict", json={body: rows(5).tolist()}
                    )
                    assert answer.status_code == 200, answer.text
                    assert_species(answer.json()[key], 5)

        asyncio.run(story())

    @pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
    def test_the_open_inference_protocols_rest(
        self, settings: str, way: Way, tmp_path: Path, *, binary: bool
    ) -> None:
        async def story() -> None:
            async with front(settings, way, tmp_path) as to:
                request = InferRequest(model="iris", inputs=(flowers(5),), id="seven")
                body, length = oip_json.encode_request(request, binary=binary)
                headers = {} if length is None else {"inference-header-content-length": str(length)}
                answer = await to.rest.post("/v2/models/iris/infer", content=body, headers=headers)
                assert answer.status_code == 200, answer.text
                told = answer.headers.get("inference-header-content-length")
                assert (told is not None) is binary
                response = oip_json.decode_response(answer.content, told and int(told))
                assert (response.id, response.model) == ("seven", "iris")
                assert_species(response.outputs[0].array, 5)

        asyncio.run(story())

    def test_the_open_inference_protocols_grpc(
        self, settings: str, way: Way, tmp_path: Path
    ) -> None:
        async def story() -> None:
            async with front(settings, way, tmp_path) as to:
                response = await to.infer("iris", flowers(5))
                assert response.version == ("1" if way.has_versions else "")
                assert_species(response.outputs[0].array, 5)

        asyncio.run(story())

    def test_tensorflow_servings_grpc(self, settings: str, way: Way, tmp_path: Path) -> None:
        async def story() -> None:
            async with front(settings, way, tmp_path) as to:
                call: Call = to.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
                request = InferRequest(model="iris", inputs=(flowers(5),))
                answer = await call(tfs_proto.encode_request(request), timeout=60)
                assert_species(tfs_proto.decode_response(answer).outputs[0].array, 5)

        asyncio.run(story())


class TestBatches:
    def test_one_row_and_more_than_the_server_takes_at_once(
        self, settings: str, way: Way, tmp_path: Path
    ) -> None:
        """Triton's iris takes eight rows."""

        async def story() -> None:
            async with front(settings, way, tmp_path) as to:
                for count in (1, 8, 9, 30):
                    response = await to.infer("iris", flowers(count))
                    assert_species(response.outputs[0].array, count)

        asyncio.run(story())

    def test_requests_that_share_a_batch_get_their_own_rows(
        self, settings: str, way: Way, tmp_path: Path
    ) -> None:
        """Whoever comes while a batch is at the backend shares the next."""

        async def story() -> None:
            async with front(settings, way, tmp_path) as to:
                async with asyncio.TaskGroup() as group:
                    asked = [
                        group.create_task(
                            to.infer("iris", Tensor("x", "FP32", rows()[row : row + 1]))
                        )
                        for row in range(30)
                    ]
                answers = [task.result().outputs[0].array[0] for task in asked]
                assert_species(answers)

        asyncio.run(story())

    def test_what_has_no_rows_is_never_joined(
        self, settings: str, way: Way, tmp_path: Path
    ) -> None:
        """Running sums over two callers' numbers would be wrong for the second."""
        way.require("whole")  # the others cannot say that a model has no rows

        async def story() -> None:
            async with front(settings, way, tmp_path) as to:
                ones = Tensor("x", "FP32", np.ones(3, np.float32))
                async with asyncio.TaskGroup() as group:
                    asked = [group.create_task(to.infer("whole", ones)) for _ in range(20)]
                for task in asked:
                    assert task.result().outputs[0].array.tolist() == [1.0, 2.0, 3.0]

        asyncio.run(story())


class TestDatatypes:
    def test_every_datatype_passes_there_and_back(
        self, settings: str, way: Way, tmp_path: Path
    ) -> None:
        """Bit for bit where the server takes raw bytes, by value where it takes JSON only."""
        way.require("kinds")
        inputs = tuple(
            edge_values(kind, way)  # type: ignore[arg-type]  # of the closed set
            for kind, _ in INPUTS["kinds"].values()
        )

        async def story() -> None:
            async with front(settings, way, tmp_path) as to:
                response = await to.infer("kinds", *inputs)
                answers = {tensor.name: tensor for tensor in response.outputs}
                for tensor in inputs:
                    answer = answers[f"{tensor.name}_out"]
                    assert answer.datatype == tensor.datatype
                    if tensor.datatype == "BYTES" or not way.exact:
                        assert answer.array.tolist() == tensor.array.tolist(), tensor.name
                    else:
                        assert answer.array.tobytes() == tensor.array.tobytes(), tensor.name

        asyncio.run(story())


class TestDescriptions:
    def test_names_datatypes_and_shapes_are_told(
        self, settings: str, way: Way, tmp_path: Path
    ) -> None:
        """In both dialects, with the rows as the first dimension."""

        async def story() -> None:
            async with front(settings, way, tmp_path) as to:
                told = (await to.rest.get("/v2/models/iris")).json()
                assert told["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
                assert told["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 3]}]
                ready = await to.rest.get("/v2/models/iris/ready")
                assert ready.status_code == 200
                status = await to.rest.get("/v1/models/iris")
                assert status.status_code == 200, status.text
                (version,) = status.json()["model_version_status"]
                known = "1" if way.has_versions else ""
                assert (version["version"], version["state"]) == (known, "AVAILABLE")

        asyncio.run(story())

    def test_the_servers_own_list_of_versions_is_read(self, settings: str, way: Way) -> None:
        """Also where the server keeps its index from us, as this Triton does."""
        if not way.has_versions:
            pytest.skip("without its management API, TorchServe tells no versions")
        config = parse(settings, "contract").backends["peer"]

        async def story() -> None:
            backend = make_backend("peer", config)
            try:
                (status,) = await backend.versions("iris")
                assert (status.version, status.state) == ("1", "AVAILABLE")
                with pytest.raises(UnknownModel):
                    await backend.versions("absent")
                with pytest.raises(UnknownModel):
                    await backend.describe("absent", None)
                with pytest.raises(UnknownModel):
                    await backend.describe("iris", "7")
            finally:
                await backend.aclose()

        asyncio.run(story())

    def test_parameters_of_every_kind_arrive(self, settings: str) -> None:
        """Or at least do no harm: neither MLServer's gRPC messages nor this Triton take the last two."""
        config = parse(settings, "contract").backends["peer"]
        parameters: dict[str, Parameter] = {
            "a": True,
            "b": 7,
            "c": "text",
            "d": 0.5,
            "e": 2**63 + 1,
        }
        request = InferRequest(model="iris", inputs=(flowers(2),), parameters=parameters)

        async def story() -> None:
            backend = make_backend("peer", config)
            try:
                await backend.describe("iris", None)
                deadline = Deadline.after(asyncio.get_running_loop().time(), 60)
                response = await backend.infer(request, deadline)
                assert_species(response.outputs[0].array, 2)
            finally:
                await backend.aclose()

        asyncio.run(story())


class TestErrors:
    def test_a_wrong_shape_never_reaches_the_server(
        self, settings: str, way: Way, tmp_path: Path
    ) -> None:
        """The signature is known, so it is the caller's mistake in the caller's dialect."""

        async def story() -> None:
            async with front(settings, way, tmp_path) as to:
                body = {
                    "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 5], "data": [0] * 5}]
                }
                answer = await to.rest.post("/v2/models/iris/infer", json=body)
                assert answer.status_code == 400
                assert "[rows, 4]" in answer.json()["error"]

        asyncio.run(story())

    def test_a_model_that_fails_says_so_and_goes_on(
        self, settings: str, way: Way, tmp_path: Path
    ) -> None:
        """The next request is answered; the error is the backend's (a 4xx where it says so itself)."""
        way.require("picky")

        async def story() -> None:
            async with front(settings, way, tmp_path) as to:
                body = {"instances": [[-1.0]]}
                answer = await to.rest.post("/v1/models/picky:predict", json=body)
                assert answer.status_code in (400, 500, 503), answer.text
                assert answer.json()["error"]
                answer = await to.rest.post("/v1/models/picky:predict", json={"instances": [[2.0]]})
                assert answer.json() == {"predictions": [[2.0]]}

        asyncio.run(story())

    def test_a_model_that_the_server_does_not_have_is_told(
        self, settings: str, way: Way, tmp_path: Path
    ) -> None:
        """The arm is not ready and says why; the others serve."""
        absent = '\n[models.absent.arms.only]\nbackend = "peer"\n'
        declared = settings.replace(
            'model = "picky"', 'model = "absent"', 1
        )  # so that TorchServe without its management API has a signature for it

        async def story() -> None:
            path = tmp_path / "tandem.toml"
            path.write_text((declared if way.declared else settings) + absent)
            file = ConfigFile(path)
            async with Gateway(file, file.load()) as gateway:
                table = gateway.pipeline.table
                arm = table.models["absent"].arms["only"]
                assert table.models["iris"].arms["only"].is_ready
                if way.has_versions:
                    assert not arm.is_ready
                    assert "absent" in arm.error or "not" in arm.error

        asyncio.run(story())
