"""Do the examples in /openapi.json run that are no JSON bodies?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.fakes.gateways import Stack, against


async def _content(stack: Stack, path: str) -> Any:
    api = (await stack.rest.get("/openapi.json")).json()
    return api["paths"][path]["post"]["requestBody"]["content"]


def test_the_form_of_torchserve_runs(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        content = await _content(stack, "/predictions/{model}")
        fields = content["multipart/form-data"]["example"]
        form = {name: (None, text) for name, text in fields.items()}
        answer = await stack.rest.post("/predictions/floats", files=form)
        assert answer.status_code == 200, answer.text

    against(tmp_path, scenario)


def test_the_binary_body_of_the_open_inference_protocol_runs(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        content = await _content(stack, "/v2/models/{model}/infer")
        body = content["application/octet-stream"]["example"].encode()
        headers = {
            "content-type": "application/octet-stream",
            "inference-header-content-length": str(len(body)),
        }
        answer = await stack.rest.post("/v2/models/floats/infer", content=body, headers=headers)
        assert answer.status_code == 200, answer.text

    against(tmp_path, scenario)
