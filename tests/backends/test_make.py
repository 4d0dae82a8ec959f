"""From a backend's settings to its adapter, over the channels that only settings choose."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from gateway.backend_config import (
    BackendConfig,
    BackendTlsConfig,
    DeclaredModelConfig,
    DeclaredTensorConfig,
)
from gateway.backends.make import make_backend
from gateway.codecs import oip_proto
from gateway.errors import BackendUnavailable
from gateway.messages import ModelDescription
from gateway.tensors import Signature, TensorSpec
from tests.backends.grpc_answers import always
from tests.backends.http_server import Certificates

METADATA = oip_proto.encode_model_metadata(
    ModelDescription(model="m", version="3", platform="", signatures={})
)


async def described(config: BackendConfig) -> str:
    backend = make_backend("pt", config)
    try:
        return (await backend.describe("m", None)).version
    finally:
        await backend.aclose()


def metadata_server() -> grpc.aio.Server:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "ModelMetadata": grpc.unary_unary_rpc_method_handler(always(METADATA))
    }
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers)
    server.add_generic_rpc_handlers([service])
    return server


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (BackendConfig(kind="tfserving", address="h:1"), "TfServingBackend"),
        (BackendConfig(kind="oip", address="h:1"), "OipBackend"),
        (BackendConfig(kind="oip", address="h:1", protocol="rest"), "OipRestBackend"),
        (BackendConfig(kind="torchserve", address="h:1"), "TorchServeBackend"),
        (BackendConfig(kind="oip", address="h:1", replicas=("h:2",)), "Replicas"),
        (BackendConfig(kind="oip", address="h:1", replicas=("h:1",)), "OipBackend"),
    ],
)
def test_every_kind_has_its_adapter(config: BackendConfig, kind: str) -> None:
    """A repeated address is one replica."""

    async def story() -> None:
        backend = make_backend("pt", config)
        assert type(backend).__name__ == kind
        await backend.aclose()

    asyncio.run(story())


def test_a_declared_signature_reaches_torchserve() -> None:
    """As it was written."""
    x = DeclaredTensorConfig(name="x", datatype="FP32", shape=(-1, 4))
    y = DeclaredTensorConfig(name="y", datatype="INT64", shape=(-1,))
    declared = DeclaredModelConfig(model="m", inputs=(x,), outputs=(y,))
    config = BackendConfig(kind="torchserve", address="h:1", declared=(declared,))

    async def story() -> None:
        backend = make_backend("ts", config)
        assert backend._signature_of("m") == Signature(  # type: ignore[attr-defined]  # TorchServe's
            "serving_default",
            {"x": TensorSpec("x", "FP32", (-1, 4))},
            {"y": TensorSpec("y", "INT64", (-1,))},
        )
        await backend.aclose()

    asyncio.run(story())


def test_grpc_over_a_unix_socket(tmp_path: Path) -> None:
    async def story() -> None:
        server = metadata_server()
        address = f"unix:{tmp_path}/s"
        server.add_insecure_port(address)
        await server.start()
        assert await described(BackendConfig(kind="oip", address=address)) == "3"
        await server.stop(None)

    asyncio.run(story())


def test_grpc_over_tls_with_a_certificate_of_our_own(pems: Certificates, tmp_path: Path) -> None:
    """Who has none, or expects another name, gets no connection; a missing file is told."""
    pair = (pems.server_key.read_bytes(), pems.server.read_bytes())
    credentials = grpc.ssl_server_credentials(
        [pair], pems.ca.read_bytes(), require_client_auth=True
    )
    tls, stranger = pems.introduced(), pems.trusted()
    missing = BackendTlsConfig(ca_file=str(tmp_path / "none.pem"))

    async def story() -> None:
        server = metadata_server()
        address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
        await server.start()
        assert await described(BackendConfig(kind="oip", address=address, tls=tls)) == "3"
        with pytest.raises(BackendUnavailable):
            await described(BackendConfig(kind="oip", address=address, tls=stranger))
        with pytest.raises(BackendUnavailable, match=r"tls\.ca_file"):
            await described(BackendConfig(kind="oip", address=address, tls=missing))
        await server.stop(None)

    asyncio.run(story())
