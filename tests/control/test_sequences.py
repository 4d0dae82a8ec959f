"""What a file says of a model's sequences, and a running gateway that goes by it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from gateway.control.source import parse
from tests.control.sound import SOUND, problems
from tests.fakes import gateways
from tests.fakes.arithmetic import Gate
from tests.fakes.gateways import Stack, until

MODELS = """
[models.masked]
shadow = [{ arm = "torch", sample_ratio = 1.0 }]
arms.tf = { backend = "tf" }
arms.torch = { backend = "torch", weight = 0 }

[models.masked.sequence]
buckets = [4, 16]
inputs.ids.pad = 9
inputs.mask = {}
outputs.squares = {}
"""
PATH = "/v1/models/masked:predict"


def against(path: Path, scenario: Callable[[Stack], Awaitable[None]], models: str = MODELS) -> None:
    gateways.against(path, scenario, models=models)


def body(*ids: int, mask: tuple[int, ...] | None = None) -> dict[str, dict[str, list[list[int]]]]:
    return {"inputs": {"ids": [[*ids]], "mask": [[*(mask or (1,) * len(ids))]]}}


def answer_to(*ids: int) -> dict[str, dict[str, list[object]]]:
    return {"outputs": {"mean": [sum(ids) / len(ids)], "squares": [[number**2 for number in ids]]}}


async def asked_while_busy(stack: Stack, *requests: tuple[int, ...]) -> list[httpx.Response]:
    """All of them queue behind one that the backend holds, so that they leave as the queue joins them."""
    stack.backends["tf"].fault = gate = Gate()
    async with asyncio.TaskGroup() as group:
        group.create_task(stack.rest.post(PATH, json=body(1)))
        await gate.reached()
        asked = [group.create_task(stack.rest.post(PATH, json=body(*ids))) for ids in requests]
        await until(lambda: stack.count("tandem_queued_rows", role="primary") == len(requests))
        stack.backends["tf"].fault = None
        gate.opened.set()
    return [task.result() for task in asked]


def test_lengths_of_one_bucket_share_a_batch_and_each_gets_its_own_answer(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        requests = [(2, 4), (5, 5, 5), (1, 2, 3, 6, 8), (7,)]
        answers = await asked_while_busy(stack, *requests)
        assert [a.json() for a in answers] == [answer_to(*ids) for ids in requests]
        assert stack.backends["tf"].batches == [1, 3, 1]
        assert _positions(stack, "primary") == {"real": 12, "padding": 3}
        await until(lambda: stack.count("tandem_shadow_total", outcome="match") == 5)
        assert _positions(stack, "shadow")["real"] == 12

    against(tmp_path, scenario)


def _positions(stack: Stack, role: str) -> dict[str, float]:
    return {
        what: stack.count("tandem_batch_positions_total", model="masked", role=role, what=what)
        for what in ("real", "padding")
    }


def test_a_mask_is_wanted_and_of_the_sequence_s_length(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        headers = {"x-tandem-arm": "torch"}  # tf judges for itself what does not fit
        without = {"inputs": {"ids": [[1, 2]]}}
        answer = await stack.rest.post(PATH, json=without, headers=headers)
        assert answer.status_code == 400
        assert "mask" in answer.json()["error"]
        unequal = body(1, 2, mask=(1, 1, 1))
        answer = await stack.rest.post(PATH, json=unequal, headers=headers)
        wanted = "inputs: got a sequence of 3 in 'mask', but of 2 in 'ids'"
        assert (answer.status_code, answer.json()) == (400, {"error": wanted})

    against(tmp_path, scenario)


def test_what_does_not_fit_the_backend_is_said_and_requests_are_answered_unpadded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tandem.control")
    complaint = (
        "models.masked.sequence.inputs: got ids, masc, which no signature has together: "
        "serving_default has ids, mask"
    )

    async def scenario(stack: Stack) -> None:
        told = (await stack.admin.get("/admin/models")).json()["models"][0]["arms"]
        assert [(arm["state"], arm["complaint"]) for arm in told] == [("ready", complaint)] * 2
        answers = await asked_while_busy(stack, (2, 4), (5, 5, 5))
        assert [a.json() for a in answers] == [answer_to(2, 4), answer_to(5, 5, 5)]
        assert stack.backends["tf"].batches == [1, 1, 1]
        assert _positions(stack, "primary") == {"real": 0, "padding": 0}
        stack.path.write_text(stack.path.read_text().replace("masc", "mask"))
        await until(lambda: stack.count("tandem_config_reloads_total", outcome="applied") == 1)
        await asked_while_busy(stack, (2, 4), (5, 5, 5))
        assert stack.backends["tf"].batches[3:] == [1, 2]

    against(tmp_path, scenario, MODELS.replace("inputs.mask", "inputs.masc"))
    errors = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert [getattr(r, "fields", {}).get("error") for r in errors] == [complaint] * 2


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        (
            "{ buckets = [8] }",
            "t.toml:6  models.digits.sequence.inputs   wants the inputs that have the sequence axis",
        ),
        (
            "{ inputs.ids = {} }",
            (
                "t.toml:6  models.digits.sequence.buckets   "
                "wants upper bounds of lengths, for example [16, 32, 48, 64]"
            ),
        ),
        (
            "{ inputs.ids = {}, buckets = [8, 32, 16] }",
            (
                "t.toml:6  models.digits.sequence.buckets   "
                "got [8, 32, 16], wants each above the one before"
            ),
        ),
        (
            "{ inputs.ids = {}, buckets = [8, 8] }",
            "t.toml:6  models.digits.sequence.buckets   got [8, 8], wants each above the one before",
        ),
        (
            "{ inputs.ids = {}, buckets = [8], min_length = 9 }",
            (
                "t.toml:6  models.digits.sequence.min_length   "
                "got 9, wants at most 8, the first bucket"
            ),
        ),
        (
            "{ inputs.ids.axis = 0, buckets = [8] }",
            "t.toml:6  models.digits.sequence.inputs.ids.axis   got 0, wants at least 1",
        ),
        (
            '{ inputs.ids.pad = "x", buckets = [8] }',
            't.toml:6  models.digits.sequence.inputs.ids.pad   got "x", wants a number',
        ),
        (
            "{ inputs.ids = {}, bucket = [8], buckets = [8] }",
            ('t.toml:6  models.digits.sequence.bucket   unknown key; did you mean "buckets"?'),
        ),
    ],
)
def test_what_no_backend_need_be_asked_for_is_said_at_once(sequence: str, expected: str) -> None:
    text = SOUND.replace("[models.digits]\n", f"[models.digits]\nsequence = {sequence}\n")
    assert problems(text) == [expected]


def test_a_sound_declaration_is_read_whole() -> None:
    text = SOUND + "[models.digits.sequence]\nbuckets = [8, 16]\ninputs.ids.pad = 1\n"
    sequence = parse(text, "t.toml").models["digits"].sequence
    assert (sequence.buckets, sequence.min_length) == ((8, 16), 1)
    assert (sequence.inputs["ids"].axis, sequence.inputs["ids"].pad) == (1, 1.0)
