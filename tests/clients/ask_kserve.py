"""What do KServe's own clients say of a gateway? Run with the Python of .venv-clients; prints JSON.

.venv-clients/bin/python -m tests.clients.ask_kserve REST_ADDRESS GRPC_ADDRESS
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

ROWS = np.array([[1, 2, 3, 4], [-0.5, 0, 0.25, 1e6]], np.float32)


def request(model: str = "floats", *, binary: bool = False) -> InferRequest:
    """Two rows, listed or as raw bytes."""
    rows = InferInput("x", list(ROWS.shape), "FP32")
    rows.set_data_from_numpy(ROWS, binary_data=binary)
    return InferRequest(model_name=model, infer_inputs=[rows], request_id="mine")


def told(answer: Any) -> dict[str, Any]:
    """The parts of an answer that the test looks at."""
    (output,) = answer.outputs
    values = output.as_numpy()
    return {
        "id": answer.id,
        "model": answer.model_name,
        "version": answer.model_version,
        "name": output.name,
        "datatype": output.datatype,
        "values": values.tolist(),
    }


async def refusal(call: Any) -> str:
    """The error that a client makes of an answer."""
    try:
        await call
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is looked at
        return f"{type(error).__name__}: {error}"
    return ""


async def version_1(base: str) -> dict[str, Any]:
    """The V1 protocol over REST."""
    client = InferenceRESTClient(RESTConfig(protocol="v1", retries=0))
    answer = await client.infer(base, {"instances": ROWS.tolist()}, model_name="floats")
    unknown = client.infer(base, {"instances": [[1]]}, model_name="none")
    return {
        "values": answer["predictions"],
        "live": await client.is_server_live(base),
        "ready": await client.is_model_ready(base, "floats"),
        "refusal": await refusal(unknown),
    }


async def version_2(base: str) -> dict[str, Any]:
    """The V2 protocol over REST."""
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    found: dict[str, Any] = {
        "live": await client.is_server_live(base),
        "server_ready": await client.is_server_ready(base),
        "ready": await client.is_model_ready(base, "floats"),
        "none_ready": await client.is_model_ready(base, "none"),
        "refusal": await refusal(client.infer(base, request("none"), model_name="none")),
    }
    for name, binary in (("listed", False), ("binary", True)):
        asked = request(binary=binary)
        asked.parameters = {"binary_data_output": binary}
        found[name] = told(await client.infer(base, asked, model_name="floats"))
    return found


async def over_grpc(address: str) -> dict[str, Any]:
    """The V2 protocol over gRPC."""
    client = InferenceGRPCClient(address, retries=0)
    found: dict[str, Any] = {
        "live": await client.is_server_live(),
        "server_ready": await client.is_server_ready(),
        "ready": await client.is_model_ready("floats"),
        "refusal": await refusal(client.infer(request("none"))),
        "listed": told(await client.infer(request())),
        "binary": told(await client.infer(request(binary=True))),
    }
    await client.close()
    return found


async def main() -> None:
    """Ask over all three, and print what was told."""
    rest, grpc = sys.argv[1:]
    base = f"http://{rest}"
    found = {
        "v1": await version_1(base),
        "v2": await version_2(base),
        "grpc": await over_grpc(grpc),
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
