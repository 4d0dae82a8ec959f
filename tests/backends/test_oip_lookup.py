"""What a server of the Open Inference Protocol says of its models, asked through the backend."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from gateway._stubs import oip_wire_pb2 as pb
from gateway.codecs import oip_proto
from gateway.codecs.oip_proto import IndexedModel
from gateway.errors import BackendInvalid, BackendRefused, UnknownModel
from gateway.messages import ModelDescription, VersionStatus
from gateway.tensors import Signature, TensorSpec
from tests.backends.grpc_answers import always, refusing
from tests.backends.oip_server import backend_of

X, Y = TensorSpec("x", "FP32", (-1, 4)), TensorSpec("y", "FP32", (-1, 3))
DESCRIPTION = ModelDescription(
    model="iris",
    version="2",
    platform="torch",
    signatures={"serving_default": Signature("serving_default", {"x": X}, {"y": Y})},
)
METADATA = oip_proto.encode_model_metadata(DESCRIPTION, ["1", "2"])


class TestDescribe:
    def test_the_newest_version_is_described(self) -> None:
        """Of those that the metadata lists."""

        async def story() -> None:
            async with backend_of({"ModelMetadata": always(METADATA)}) as backend:
                assert await backend.describe("iris", None) == DESCRIPTION

        asyncio.run(story())

    def test_a_version_is_asked_for_by_name(self) -> None:
        """And is the one described, whatever the server lists."""
        asked: list[tuple[str, str | None]] = []

        async def note(data: bytes, _context: Any) -> bytes:
            await asyncio.sleep(0)
            asked.append(oip_proto.decode_model_request(data))
            return METADATA

        async def story() -> None:
            async with backend_of({"ModelMetadata": note}) as backend:
                described = await backend.describe("iris", "1")
                assert described.version == "1"

        asyncio.run(story())
        assert asked == [("iris", "1")]

    def test_an_unknown_model_is_the_callers_fault(self) -> None:
        """NOT_FOUND is an answer to a question about a model."""

        async def story() -> None:
            refuse = refusing(grpc.StatusCode.NOT_FOUND, "unknown model: 'x' is not found")
            async with backend_of({"ModelMetadata": refuse}) as backend:
                with pytest.raises(UnknownModel, match="'x' is not found"):
                    await backend.describe("x", None)

        asyncio.run(story())

    def test_metadata_that_cannot_be_read_is_the_backends_fault(self) -> None:
        """For example a datatype that the protocol does not have."""
        message = pb.ModelMetadataResponse(name="iris")
        message.inputs.add(name="x", datatype="COMPLEX64")

        async def story() -> None:
            answer = always(message.SerializeToString())
            async with backend_of({"ModelMetadata": answer}) as backend:
                with pytest.raises(BackendInvalid, match="COMPLEX64"):
                    await backend.describe("iris", None)

        asyncio.run(story())


class TestVersions:
    def test_an_index_says_it_all(self) -> None:
        """Newest first, in TF Serving's words, with the reason of a failure."""
        index = oip_proto.encode_repository_index(
            [
                IndexedModel(name="iris", version="9", state="READY"),
                IndexedModel(name="other", version="99", state="READY"),
                IndexedModel(name="iris", version="10", state="LOADING"),
                IndexedModel(name="iris", version="8", state="UNLOADING"),
                IndexedModel(name="iris", version="7", state="UNAVAILABLE", reason="unloaded"),
                IndexedModel(name="iris", version="6", state="UNAVAILABLE", reason="bad sha256"),
            ]
        )

        async def story() -> None:
            async with backend_of({"RepositoryIndex": always(index)}) as backend:
                assert await backend.versions("iris") == (
                    VersionStatus(version="10", state="LOADING"),
                    VersionStatus(version="9", state="AVAILABLE"),
                    VersionStatus(version="8", state="UNLOADING"),
                    VersionStatus(version="7", state="END"),
                    VersionStatus(
                        version="6",
                        state="END",
                        error_code="UNAVAILABLE",
                        error_message="bad sha256",
                    ),
                )

        asyncio.run(story())

    def test_a_model_outside_the_index_is_unknown(self) -> None:
        """One that is in it without a version is known, as Triton lists what it has not loaded."""
        index = oip_proto.encode_repository_index([IndexedModel(name="iris", version="", state="")])

        async def story() -> None:
            async with backend_of({"RepositoryIndex": always(index)}) as backend:
                assert await backend.versions("iris") == ()
                with pytest.raises(UnknownModel, match="backend pt has no model 'other'"):
                    await backend.versions("other")

        asyncio.run(story())

    def test_without_an_index_each_listed_version_is_asked(self) -> None:
        """KServe's own servers have none."""

        async def ready(data: bytes, _context: Any) -> bytes:
            await asyncio.sleep(0)
            _, version = oip_proto.decode_model_request(data)
            return oip_proto.encode_model_ready(ready=version == "1")

        async def story() -> None:
            answers = {"ModelMetadata": always(METADATA), "ModelReady": ready}
            async with backend_of(answers) as backend:
                assert await backend.versions("iris") == (
                    VersionStatus(version="2", state="LOADING"),
                    VersionStatus(version="1", state="AVAILABLE"),
                )

        asyncio.run(story())

    def test_an_unknown_model_without_an_index_is_the_callers_fault(self) -> None:
        """As with one."""

        async def story() -> None:
            refuse = refusing(grpc.StatusCode.NOT_FOUND, "no such model")
            async with backend_of({"ModelMetadata": refuse}) as backend:
                with pytest.raises(UnknownModel):
                    await backend.versions("x")

        asyncio.run(story())

    def test_other_errors_of_the_index_are_passed_on(self) -> None:
        """Only a server without the method is asked another way."""

        async def story() -> None:
            refuse = refusing(grpc.StatusCode.INTERNAL, "broken")
            answers = {"RepositoryIndex": refuse, "ModelMetadata": always(METADATA)}
            async with backend_of(answers) as backend:
                with pytest.raises(BackendRefused, match="broken"):
                    await backend.versions("iris")

        asyncio.run(story())
