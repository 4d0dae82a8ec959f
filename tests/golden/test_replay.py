"""Does Tandem answer as the real TensorFlow Serving did, but for what it does otherwise on purpose?"""

from __future__ import annotations

import asyncio
import fcntl
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from serving.tf_serving.config import ModelConfig
from tests.fronts import Front
from tests.golden.exchanges import (
    conversations,
    differences,
    grpc_exchanges,
    lifecycle_exchanges,
    rest_exchanges,
)
from tests.golden.lifecycle import MODEL, half_plus_two, replay_lifecycle
from tests.golden.replay import (
    BATCHED_ROWS,
    COUNTED,
    Verdict,
    agreement,
    explained,
    replay,
    summary,
)
from tests.golden.stack import gateway_of, served_models
from tests.serving.tf_serving.conftest import StartStandIn, start_stand_in

__all__ = ["start_stand_in"]

pytestmark = pytest.mark.slow

BUILD_TIMEOUT_S = 300
BEHIND_ENVOY = frozenset({("rest", 1819)})
"""A path that decodes to no UTF-8 is refused by Envoy, before it could name a model that is not there."""


@pytest.fixture(scope="module")
def models(root: Path, tf_python: Path) -> Path:
    """The like of the recorded models; built once for a version of the program that makes them."""
    made = root / ".tandem" / "golden_models"
    made.parent.mkdir(exist_ok=True)
    with (made.parent / "golden_models.lock").open(
        "w"
    ) as lock:  # several runs may share a checkout
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(
            [tf_python, "-m", "tests.golden.make_models", made],
            cwd=root,
            check=True,
            capture_output=True,
            timeout=BUILD_TIMEOUT_S,
        )
    return made


@pytest.fixture(scope="module", params=["own", "envoy"])
def front(request: pytest.FixtureRequest) -> Front:
    """What listens before the gateway."""
    found: Front = request.param
    return found


@pytest.fixture(scope="module")
def base_path(front: Front, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the versions of the model lie that come and go.

    One for each front: in the end none is left, and a reload would wait for one.
    """
    base = tmp_path_factory.mktemp(f"lifecycle_{front}") / "life"
    half_plus_two(base, models)
    return base


@pytest.fixture(scope="module")
def verdicts(
    front: Front,
    models: Path,
    base_path: Path,
    start_stand_in: StartStandIn,
    root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Sequence[Verdict]:
    """What came of every recorded call; the summary is left in .tandem/golden_replay_*.txt."""
    config = tmp_path_factory.mktemp("gateway") / "tandem.toml"
    coming_and_going = ModelConfig(name=MODEL, base_path=str(base_path))
    stand_in = start_stand_in([*served_models(models), coming_and_going])
    batching = {
        flags: start_stand_in(served_models(models), f"--max-batch-rows={rows}")
        for flags, rows in BATCHED_ROWS.items()
    }
    addresses = {flags: server.address for flags, server in batching.items()}
    addresses[""] = stand_in.address

    async def ask() -> list[Verdict]:
        found = await replay(addresses, config, models, coming_and_going, front=front)
        async with gateway_of(stand_in.address, config, MODEL, front=front) as gateway:
            return found + await replay_lifecycle(gateway, base_path, models)

    found = asyncio.run(ask())
    (root / ".tandem" / f"golden_replay_{front}.txt").write_text(summary(found, explained()))
    return found


def test_every_recorded_call_is_asked(verdicts: Sequence[Verdict]) -> None:
    rest = len(rest_exchanges()) + len(lifecycle_exchanges()) + len(conversations())
    assert len(verdicts) == rest + len(grpc_exchanges())


def test_nearly_every_answer_about_models_is_the_real_one(verdicts: Sequence[Verdict]) -> None:
    """Of all that were recorded: none is left out for its group, or for its server's flags."""
    assert sum(verdict.kind in COUNTED for verdict in verdicts) == 1609
    assert agreement(verdicts) >= 0.97


def test_every_other_answer_has_its_reason(front: Front, verdicts: Sequence[Verdict]) -> None:
    known = explained() | (BEHIND_ENVOY if front == "envoy" else frozenset())
    assert [v for v in verdicts if not v.agrees and (v.protocol, v.id) not in known] == []


def test_every_difference_in_the_table_is_one(front: Front, verdicts: Sequence[Verdict]) -> None:
    """Envoy agrees in a few more, which HTTP by hand asks."""
    if front == "envoy":
        return
    agreeing = {(verdict.protocol, verdict.id) for verdict in verdicts if verdict.agrees}
    assert sorted(explained() & agreeing) == []


def test_the_table_names_recorded_calls_once_and_with_a_reason() -> None:
    table = differences()
    rest = {exchange.id for exchange in (*rest_exchanges(), *lifecycle_exchanges())}
    rest |= {conversation.id for conversation in conversations()}
    assert all(difference.why for difference in table)
    for protocol, recorded in (
        ("rest", rest),
        ("grpc", {exchange.id for exchange in grpc_exchanges()}),
    ):
        named = [number for entry in table for number in getattr(entry, protocol)]
        assert sorted(set(named) - recorded) == []
        assert len(named) == len(set(named))
