"""`max_hedge_ratio`: off unless it is set, and for backends with several addresses alone."""

from __future__ import annotations

import asyncio

import pytest

from gateway.backend_config import BackendConfig
from gateway.backends.make import make_backend
from gateway.control.source import parse
from tests.control.sound import SOUND, problems

HEDGED = SOUND.replace('kind = "tfserving"', 'kind = "tfserving"\nmax_hedge_ratio = 0.05')
SEVERAL = HEDGED.replace("max_hedge_ratio", 'replicas = ["other:8500"]\nmax_hedge_ratio')


def test_it_is_taken_where_there_is_a_second_replica() -> None:
    assert parse(SEVERAL, "t.toml").backends["tf"].max_hedge_ratio == 0.05


def test_it_makes_no_sense_alone() -> None:
    (problem,) = problems(HEDGED)
    assert "backends.tf.max_hedge_ratio" in problem
    assert "needs more than one address" in problem


@pytest.mark.parametrize("ratio", ["-0.1", "1.5"])
def test_it_is_a_ratio(ratio: str) -> None:
    (problem,) = problems(SEVERAL.replace("0.05", ratio))
    assert "backends.tf.max_hedge_ratio" in problem


@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_a_backend_hedges_only_if_it_shall(ratio: float) -> None:
    async def story() -> None:
        config = BackendConfig(kind="oip", address="h:1", replicas=("h:2",), max_hedge_ratio=ratio)
        backend = make_backend("pt", config)
        assert (backend._hedging is None) is (ratio == 0)  # type: ignore[attr-defined]  # Replicas'
        await backend.aclose()

    asyncio.run(story())
