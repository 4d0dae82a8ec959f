"""Padding changes no answer of the real sentence transformer, in either runtime."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import numpy as np
import pytest

from gateway.app import Gateway
from gateway.control.source import ConfigFile
from model_store.manifest import Manifest
from tests.e2e.conftest import Up
from tests.fakes.gateways import LISTEN, sample, until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

CONFIG = """
[limits]
default_timeout_s = 200.0
[backends.tf]
kind = "tfserving"
address = "{tf}"
[backends.torch]
kind = "oip"
address = "{torch}"
[models.minilm.arms]
tf = {{ backend = "tf" }}
torch = {{ backend = "torch" }}
[models.minilm.batching]
max_in_flight = 1
[models.minilm.sequence]
buckets = [128]
min_length = 2
inputs = {{ input_ids = {{}}, attention_mask = {{}} }}
"""
LENGTHS = [8, 128, *range(9, 127, 4)]
CLS, SEP, VOCABULARY = 101, 102, 30522


def sentence(length: int, rows: int = 1) -> dict[str, dict[str, list[list[int]]]]:
    """Token ids that no other sentence has, in both dialects' columns."""
    ids = np.random.default_rng(length).integers(1000, VOCABULARY, (rows, length))
    ids[:, 0], ids[:, -1] = CLS, SEP
    mask = np.ones((rows, length), np.int64)
    return {"inputs": {"input_ids": ids.tolist(), "attention_mask": mask.tolist()}}


async def embedding(
    client: httpx.AsyncClient, arm: str, length: int, *, rows: int = 1
) -> tuple[int, np.ndarray]:
    """How many requests its batch had, and the answer."""
    headers = {"x-tandem-arm": arm, "x-tandem-explain": "1"}
    path, body = "/v1/models/minilm:predict", sentence(length, rows)
    answer = await client.post(path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    requests = int(answer.headers["x-tandem-batch-requests"])
    return requests, np.array(answer.json()["outputs"], np.float32)


@pytest.mark.parametrize("arm", ["tf", "torch"])
def test_sentences_of_8_to_128_tokens_mean_the_same_in_one_batch_as_alone(
    stack: Up, root: Path, tmp_path: Path, arm: str
) -> None:
    async def run() -> None:
        path = tmp_path / "tandem.toml"
        path.write_text(LISTEN + CONFIG.format(tf=stack.tf, torch=stack.torch))
        file = ConfigFile(path)
        async with (
            Gateway(file, file.load()) as gateway,
            httpx.AsyncClient(
                base_url=f"http://{gateway.addresses['rest']}", timeout=200
            ) as client,
        ):

            def count(name: str) -> float:
                return sample(gateway, name, model="minilm", arm=arm)

            alone = [await embedding(client, arm, length) for length in LENGTHS]
            assert {requests for requests, _ in alone} == {1}
            assert count("tandem_batch_positions_total") == sum(LENGTHS)
            async with asyncio.TaskGroup() as group:
                # It keeps the backend busy for long enough that all the others queue behind it.
                group.create_task(embedding(client, arm, 500, rows=16))
                await until(lambda: count("tandem_in_flight_batches") == 1)
                asked = [group.create_task(embedding(client, arm, n)) for n in LENGTHS]
                await until(lambda: count("tandem_queued_rows") == len(LENGTHS))
            together = [task.result() for task in asked]
            assert {requests for requests, _ in together} == {len(LENGTHS)}
        parity = Manifest.load(root / "model_store/minilm/1").parity
        for length, (_, one), (_, other) in zip(LENGTHS, alone, together, strict=True):
            np.testing.assert_allclose(
                other, one, atol=parity.atol, rtol=parity.rtol, err_msg=f"{length} tokens"
            )

    asyncio.run(run())


def test_what_is_shipped_fits_both_runtimes(stack: Up) -> None:
    models = httpx.get(f"http://{stack.admin}/admin/models").json()["models"]
    (minilm,) = [model for model in models if model["name"] == "minilm"]
    assert minilm["sequence"]["buckets"]
    assert {arm["name"]: arm["complaint"] for arm in minilm["arms"]} == {"tf": "", "torch": ""}
