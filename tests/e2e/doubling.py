"""A backend as a process of its own, over whatever a backend can be reached by: y = 2x, in a millisecond or two.

    python -m tests.e2e.doubling grpc|rest ADDRESS [CERTIFICATE KEY CLIENTS_AUTHORITY]

It speaks the Open Inference Protocol, and says on its standard output when it is ready.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path
from typing import Any

import grpc
from aiohttp import web

from gateway.codecs import oip_json, oip_proto
from gateway.messages import InferRequest, InferResponse, ModelDescription
from gateway.tensors import Signature, Tensor, TensorSpec

WORK_S = 0.002
HEADER = "Inference-Header-Content-Length"
DESCRIPTION = ModelDescription(
    model="doubling",
    version="1",
    platform="arithmetic",
    signatures={
        "": Signature(
            "", {"x": TensorSpec("x", "FP32", (-1, 1))}, {"y": TensorSpec("y", "FP32", (-1, 1))}
        )
    },
)


async def answer(request: InferRequest) -> InferResponse:
    await asyncio.sleep(WORK_S)  # so that it can be killed at work
    array: Any = request.inputs[0].array
    return InferResponse(
        model="doubling", version="1", outputs=(Tensor("y", "FP32", array * array.dtype.type(2)),)
    )


async def infer(data: bytes, _: object) -> bytes:
    return oip_proto.encode_response(await answer(oip_proto.decode_request(data)))


async def metadata(_data: bytes, _: object) -> bytes:
    return oip_proto.encode_model_metadata(DESCRIPTION)


async def serve_grpc(address: str, pems: list[bytes]) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    methods = {"ModelInfer": infer, "ModelMetadata": metadata}
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()
    }
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers)
    server.add_generic_rpc_handlers((service,))
    if pems:
        certificate, key, authority = pems
        credentials = grpc.ssl_server_credentials([(key, certificate)], authority, True)  # noqa: FBT003
        server.add_secure_port(address, credentials)
    else:
        server.add_insecure_port(address)
    await server.start()
    print("ready", flush=True)  # noqa: T201
    await server.wait_for_termination()


async def infer_rest(request: web.Request) -> web.Response:
    body, length = await request.read(), request.headers.get(HEADER)
    read, form = oip_json.decode_request(
        body, None if length is None else int(length), model="doubling", version=None
    )
    told, header_length = oip_json.encode_response(await answer(read), form)
    headers = {} if header_length is None else {HEADER: str(header_length)}
    return web.Response(body=told, headers=headers)


async def metadata_rest(_: web.Request) -> web.Response:
    return web.Response(body=oip_json.encode_model_metadata(DESCRIPTION))


async def serve_rest(address: str, pems: list[str]) -> None:
    app = web.Application()
    for model in ("/v2/models/doubling", "/v2/models/doubling/versions/1"):
        app.router.add_get(model, metadata_rest)
        app.router.add_post(f"{model}/infer", infer_rest)
    context = None
    if pems:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pems[2])
        context.load_cert_chain(pems[0], pems[1])
        context.verify_mode = ssl.CERT_REQUIRED
    runner = web.AppRunner(app)
    await runner.setup()
    if address.startswith("unix:"):
        await web.UnixSite(runner, address.removeprefix("unix:"), ssl_context=context).start()
    else:
        host, _, port = address.rpartition(":")
        await web.TCPSite(runner, host, int(port), ssl_context=context).start()
    print("ready", flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    protocol, at, *files = sys.argv[1:]
    if protocol == "grpc":
        asyncio.run(serve_grpc(at, [Path(file).read_bytes() for file in files]))
    else:
        asyncio.run(serve_rest(at, files))
