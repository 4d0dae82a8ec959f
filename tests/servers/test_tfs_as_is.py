"""What does not fit a TF Serving's signature is TF Serving's to judge, alone and unseen by shadows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from gateway import scene
from gateway.messages import InferRequest, InferResponse
from gateway.tensors import Signature, Tensor, TensorSpec
from tests.fakes.arithmetic import Refusal
from tests.fakes.gateways import MODELS, Stack, running

SHADOWED = """
[[models.floats.shadow]]
arm = "torch"
sample_ratio = 1.0
"""
TO_TF = {"x-tandem-arm": "tf"}
PREDICT = "/v1/models/floats:predict"


def test_a_shape_that_does_not_fit_is_sent_alone_and_not_mirrored(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        fitting = b'{"instances": [[1, 2, 3, 4]]}'
        odd = b'{"instances": [[1, 2, 3]]}'
        answers = await asyncio.gather(
            *[stack.rest.post(PREDICT, content=body, headers=TO_TF) for body in (fitting, odd) * 4]
        )
        assert [answer.json()["predictions"] for answer in answers] == [
            [[3, 5, 7, 9]],
            [[3, 5, 7]],
        ] * 4
        shapes = [request.inputs[0].shape for request in stack.backends["tf"].requests]
        assert shapes.count((1, 3)) == 4
        mirrored = [request.inputs[0].shape for request in stack.backends["torch"].requests]
        assert (1, 3) not in mirrored

    asyncio.run(_against(tmp_path, scenario))


def test_a_rank_that_ended_a_backend_is_not_sent_to_it_again_at_once(tmp_path: Path) -> None:
    """Whether a rank kills, only the one request that does can show; no second one is let through."""
    ranks: list[int] = []

    async def die_of_rank_3(request: InferRequest) -> InferResponse | None:
        rank = len(request.inputs[0].shape)
        ranks.append(rank)
        if rank == 3:
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        return None

    async def scenario(stack: Stack) -> None:
        stack.backends["tf"].fault = die_of_rank_3

        async def status_of(rows: str) -> int:
            body = b'{"instances": %b}' % rows.encode()
            return (await stack.rest.post(PREDICT, content=body, headers=TO_TF)).status_code

        assert await status_of("[[[1, 2, 3, 4]]]") == 503
        assert await status_of("[[[1, 2], [3, 4]]]") == 400  # another shape, the same rank
        assert await status_of("[[1, 2, 3]]") == 200  # the declared one
        assert await status_of("[1, 2]") == 200
        assert await status_of("[[1, 2, 3, 4]]") == 200
        assert ranks.count(3) == 1

    asyncio.run(_against(tmp_path, scenario))


def test_what_the_backend_says_is_told_word_for_word(tmp_path: Path) -> None:
    async def refuse(_: InferRequest) -> InferResponse | None:
        raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "Matrix size-incompatible\n\t [[node]]")

    async def scenario(stack: Stack) -> None:
        stack.backends["tf"].fault = refuse
        answer = await stack.rest.post(
            PREDICT, content=b'{"instances": [[1, 2, 3]]}', headers=TO_TF
        )
        assert answer.status_code == 400
        assert answer.json() == {"error": "Matrix size-incompatible\n\t [[node]]"}
        assert stack.count("tandem_requests_total", reason="input_refused", arm="tf") == 1

    asyncio.run(_against(tmp_path, scenario))


def test_what_could_end_the_backend_is_refused_here() -> None:
    """A convolution of the wrong rank is a failed CHECK in TensorFlow: the process ends."""
    image = Signature(
        "s", {"x": TensorSpec("x", "FP32", (-1, 8, 8, 1))}, {"y": TensorSpec("y", "FP32", (-1, 10))}
    )
    row = Signature(
        "s", {"x": TensorSpec("x", "FP32", (-1, 4))}, {"y": TensorSpec("y", "FP32", (-1, 3))}
    )
    for shape in ((1, 3), (8, 8, 1), (1, 8, 8, 2), ()):
        sent = (Tensor("x", "FP32", np.zeros(shape, np.float32)),)
        assert not scene.is_harmless(image, sent)
        assert scene.is_harmless(row, sent)
    assert scene.is_harmless(image, (Tensor("z", "FP32", np.zeros(1, np.float32)),))


def test_answers_can_be_read_by_other_pages_only_where_that_is_set(tmp_path: Path) -> None:
    async def asked(settings: str) -> list[str | None]:
        async with running(tmp_path / "tandem.toml", settings=settings) as stack:
            answers = [
                await stack.rest.get(path)
                for path in ("/v1/models/floats", "/v1/models/none", "/v2/health/live")
            ]
        return [answer.headers.get("access-control-allow-origin") for answer in answers]

    assert asyncio.run(asked("")) == [None, None, None]
    assert asyncio.run(asked("[rest]\ncors = true\n")) == ["*", "*", None]


async def _against(tmp_path: Path, scenario: Any) -> None:
    async with running(tmp_path / "tandem.toml", models=MODELS + SHADOWED) as stack:
        await scenario(stack)
