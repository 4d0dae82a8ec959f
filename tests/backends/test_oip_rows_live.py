"""What an OIP server says of its batches, behind a running gateway: the lane keeps to it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from gateway.app import Gateway
from gateway.control.source import ConfigFile
from tests.backends.http_server import Answer, fixed, serving_http
from tests.fakes.gateways import LISTEN

SETTINGS = """
[backends.triton]
kind = "oip"
protocol = "rest"
address = "{address}"
[models.m.arms.only]
backend = "triton"
[models.m.batching]
max_batch_rows = {max_batch_rows}
"""
TENSOR = {"name": "x", "datatype": "FP32", "shape": [-1, 1]}
METADATA = {
    "name": "m",
    "versions": ["1"],
    "platform": "p",
    "inputs": [TENSOR],
    "outputs": [TENSOR],
}


def said(value: object) -> Answer:
    return fixed(json.dumps(value).encode())


def column(rows: int) -> dict[str, Any]:
    data = [float(row) for row in range(rows)]
    return {"inputs": [{**TENSOR, "shape": [rows, 1], "data": data}]}


@pytest.mark.parametrize(
    ("told", "configured", "sent"),
    [(4, 64, [4, 4, 2]), (64, 5, [5, 5]), (0, 4, [10])],
    ids=["the backend's limit", "the configuration's limit", "no rows at all"],
)
def test_batches_keep_to_the_smaller_of_both_limits(
    tmp_path: Path, told: int, configured: int, sent: list[int]
) -> None:
    """A model with max_batch_size 0 does not batch: its requests stay as they are."""
    seen: list[int] = []

    async def infer(request: web.Request) -> web.Response:
        tensors = (await request.json())["inputs"]
        seen.append(tensors[0]["shape"][0])
        return web.json_response({"model_name": "m", "outputs": tensors})

    answers: dict[str, Answer] = {
        "GET /v2": said({"name": "triton", "version": "2", "extensions": ["model_configuration"]}),
        "GET /v2/models/m": said(METADATA),
        "GET /v2/models/m/config": said({"max_batch_size": told}),
        "POST /v2/models/m/versions/1/infer": infer,
    }

    async def story() -> None:
        async with serving_http(answers) as address:
            path = tmp_path / "tandem.toml"
            path.write_text(LISTEN + SETTINGS.format(address=address, max_batch_rows=configured))
            file = ConfigFile(path)
            async with (
                Gateway(file, file.load()) as gateway,
                httpx.AsyncClient(base_url=f"http://{gateway.addresses['rest']}") as client,
            ):
                headers = {"x-tandem-explain": "1"}
                answer = await client.post("/v2/models/m/infer", json=column(10), headers=headers)
                assert answer.status_code == 200, answer.text
                assert answer.json()["outputs"][0]["data"] == column(10)["inputs"][0]["data"]
                if told:
                    assert answer.headers["x-tandem-batch-rows"] == str(sent[0])
                assert sorted(seen, reverse=True) == sent  # several are under way at once

    asyncio.run(story())
