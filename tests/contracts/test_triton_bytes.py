"""Does a gateway before the real Triton answer to Triton's own forms of strings and raw bodies as Triton does?

Every body is sent to both, and the answers must be alike: the status, and where that is 200 the tensors, to
the byte.
"""

from __future__ import annotations

import asyncio
import json
import struct
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http

from tests.contracts.conftest import Running
from tests.contracts.front import front
from tests.contracts.ways import Way
from tests.peers.start import Peer, missing

pytestmark = pytest.mark.peers

MODELS = ("picky", "text", "whole", "words")
RAW = {"inference-header-content-length": "0"}
LENGTH = "inference-header-content-length"

Sent = tuple[bytes, dict[str, str]]


def prefixed(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def binary(shape: list[int], data: bytes) -> Sent:
    size = {"binary_data_size": len(data)}
    tensor = {"name": "x", "shape": shape, "datatype": "BYTES", "parameters": size}
    document = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    told = json.dumps(document).encode()
    return told + data, {LENGTH: str(len(told))}


BODIES: dict[str, tuple[str, Sent]] = {
    "strings": ("text", binary([3, 1], prefixed(b"", b"a\0b", b"\xff" * 300))),
    "strings of a model without rows": (
        "words",
        binary([3], prefixed(b"", b"a\0b", b"\xff" * 300)),
    ),
    "one string": ("words", binary([1], prefixed(b"\0"))),
    "no string where one is wanted": ("words", binary([1], b"")),
    "too few strings": ("words", binary([2], prefixed(b"a"))),
    "too many strings": ("words", binary([1], prefixed(b"a", b"b"))),
    "a string that is cut": ("words", binary([1], struct.pack("<I", 100) + b"abc")),
    "a length that is cut": ("words", binary([1], b"\1\0")),
    "bytes that are left": ("words", binary([2], prefixed(b"a", b"b") + b"x")),
    "zero rows": ("text", binary([0, 1], b"")),
    "raw string": ("text", (b"abc", RAW)),
    "raw string of no bytes": ("text", (b"", RAW)),
    "raw string with NUL": ("text", (b"\0\xff", RAW)),
    "raw string that looks prefixed": ("text", (prefixed(b"abc"), RAW)),
    "raw number": ("picky", (struct.pack("<f", 2.5), RAW)),
    "raw nothing": ("picky", (b"", RAW)),
    "raw bytes that are no number": ("picky", (b"abc", RAW)),
    "raw numbers, one too many": ("picky", (struct.pack("<ff", 2.5, 3), RAW)),
    "raw numbers without rows": ("whole", (struct.pack("<ff", 2.5, 3), RAW)),
    "raw nothing without rows": ("whole", (b"", RAW)),
    "raw bytes that do not divide": ("whole", (b"abcde", RAW)),
}


@pytest.fixture(scope="module", params=["grpc", "rest"])
def protocol(request: pytest.FixtureRequest) -> str:
    """That between the gateway and Triton."""
    return str(request.param)


@pytest.fixture(scope="module")
def triton(peers: Running) -> Peer:
    """A running Triton; skipped where it is not installed."""
    if reason := missing("triton"):
        pytest.skip(reason)
    return peers("triton")


def way_of(protocol: str) -> Way:
    return Way(name="bytes", peer="triton", kind="oip", protocol=protocol, models=MODELS)


def test_every_body_is_answered_alike(triton: Peer, protocol: str, tmp_path: Path) -> None:
    way = way_of(protocol)

    async def story() -> dict[str, tuple[Any, Any]]:
        found = {}
        async with (
            front(way.settings(triton), way, tmp_path) as to,
            httpx.AsyncClient(base_url=f"http://{triton.rest}", timeout=60) as direct,
        ):
            for what, (model, sent) in BODIES.items():
                found[what] = (await _ask(direct, model, sent), await _ask(to.rest, model, sent))
        return found

    found = asyncio.run(story())
    assert {what: both for what, both in found.items() if both[0] != both[1]} == {}
    refused = [what for what, (theirs, _) in found.items() if theirs[0] != 200]
    assert len(refused) == 11, refused


async def _ask(client: httpx.AsyncClient, model: str, sent: Sent) -> tuple[int, Any, bytes]:
    """The status, and of a good answer its tensors and their bytes."""
    body, headers = sent
    answer = await client.post(f"/v2/models/{model}/infer", content=body, headers=headers)
    if answer.status_code != 200:
        return answer.status_code, None, b""
    length = int(answer.headers.get(LENGTH, len(answer.content)))
    return 200, json.loads(answer.content[:length])["outputs"], answer.content[length:]


WORDS = np.array([b"", b"a\0b", b"\xff" * 300, b"x" * 70_000, "é".encode()], dtype=np.object_)


def test_its_clients_get_their_bytes_back(triton: Peer, protocol: str, tmp_path: Path) -> None:
    way = way_of(protocol)

    async def story() -> None:
        async with front(way.settings(triton), way, tmp_path) as to:
            addresses = to.gateway.addresses
            for shape, model in (((5, 1), "text"), ((5,), "words")):
                array = WORDS.reshape(shape)
                for client, address in ((triton_http, "rest"), (triton_grpc, "grpc")):
                    got = await asyncio.to_thread(_echo, client, addresses[address], model, array)
                    assert got.tolist() == array.tolist()

    asyncio.run(story())


def _echo(library: Any, address: str, model: str, array: Any) -> Any:
    asked = library.InferInput("x", list(array.shape), "BYTES")
    asked.set_data_from_numpy(array)
    with library.InferenceServerClient(address) as client:
        return client.infer(model, [asked], outputs=[library.InferRequestedOutput("y")]).as_numpy(
            "y"
        )
