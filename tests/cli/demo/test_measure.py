"""A whole measurement of one model, over every protocol, against a real gateway with two backends."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest

from gateway.cli.demo.callers import open_callers
from gateway.cli.demo.findings import Findings, find
from gateway.cli.demo.measure import Candidate, measure
from gateway.cli.demo.report import describe
from gateway.cli.demo.traffic import Subject
from gateway.cli.terminal import CommandError, Terminal
from gateway.control.source import load
from gateway.messages import InferRequest, InferResponse
from model_store.held_out import HeldOut
from tests.fakes.arithmetic import Arithmetic, Fault, Refusal
from tests.fakes.gateways import running

MODELS = """
[models.floats.arms.tf]
backend = "tf"
weight = 50
[models.floats.arms.torch]
backend = "torch"
weight = 50
[[models.floats.shadow]]
arm = "torch"
sample_ratio = 0.5
[models.tokens.arms.tf]
backend = "tf"
[models.tokens.arms.torch]
backend = "torch"
[models.pairs.arms.tf]
backend = "tf"
[models.pairs.arms.torch]
backend = "torch"
"""

X = np.random.default_rng(3).normal(size=(20, 4)).astype(np.float32)
IDS = np.arange(20 * 64).reshape(20, 64) % 7
LABELS = np.argmax(X, axis=1).astype(np.int64)


def floats() -> Subject:
    """Dense rows; decided by the largest output."""
    rows = HeldOut(
        inputs={"x": X},
        labels=LABELS,
        label_names=("a", "b", "c", "d"),
        expected={"y": X * 2 + 1},
        decision="argmax",
        decision_output="y",
    )
    return Subject(model="floats", held_out=rows, outputs=("y",))


def pairs() -> Subject:
    """Two inputs, two outputs."""
    rows = HeldOut(
        inputs={"a": X[:, :2].copy(), "b": np.arange(20, dtype=np.int32)},
        labels=np.zeros(20, np.int64),
        label_names=("a",),
        expected={"sum": X[:, :2]},
        decision="argmax",
        decision_output="sum",
    )
    return Subject(model="pairs", held_out=rows, outputs=("sum", "twice"))


def measured(
    path: Path,
    terminal: Terminal,
    subject: Subject,
    *,
    offset: float = 1.0,
    fault: Fault | None = None,
) -> Findings:
    """What a demo finds; `offset` and `fault` are the torch arm's."""

    async def scenario() -> Findings:
        backends = {"tf": Arithmetic(), "torch": Arithmetic(offset=offset, fault=fault)}
        async with running(path, models=MODELS, backends=backends) as stack:
            config = load(path).models[subject.model]
            candidate = Candidate(subject=subject, config=config, atol=1e-5, rtol=1e-5)
            addresses = stack.gateway.addresses
            async with open_callers(addresses["rest"], addresses["grpc"]) as callers:
                return find(
                    await measure(
                        candidate, callers, addresses["admin"], scale=0.2, terminal=terminal
                    )
                )

    return asyncio.run(scenario())


@pytest.mark.parametrize("make", [floats, pairs])
def test_every_protocol_carries_the_traffic_and_nothing_is_wrong(
    make: Callable[[], Subject], tmp_path: Path, terminal: Terminal
) -> None:
    """Each request is answered by its user's arm, with the same numbers as alone."""
    found = measured(tmp_path / "t.toml", terminal, make())
    assert found.problems == ()
    assert sum(arm.requests for arm in found.arms) == found.requests > 100
    assert all(arm.requests > 0 and arm.batches > 0 and arm.errors == 0 for arm in found.arms)
    assert found.split.moved == found.split.misplaced == ()
    assert found.agreements["torch"].same == found.test_rows == 20
    assert sum(one.rows for one in found.steadiness.values()) == found.rows
    assert json.loads(json.dumps(dataclasses.asdict(found)))["model"] == found.model
    text = "\n".join(describe(found, terminal))
    assert "every user kept one arm" in text
    assert "torch ÷ tf" in text


def test_shadows_are_counted(tmp_path: Path, terminal: Terminal) -> None:
    """Half of what tf answered was mirrored, and matched."""
    found = measured(tmp_path / "t.toml", terminal, floats())
    assert found.shadows["torch"]["match"] > 0
    assert found.shadows["torch"].get("mismatch", 0) == 0


def test_accuracy_is_each_arm_s_own(tmp_path: Path, terminal: Terminal) -> None:
    """Of the whole test set, whatever the split gave it."""
    subject = floats()
    rows = dataclasses.replace(subject.held_out, labels=(LABELS + (np.arange(20) < 5)) % 4)
    found = measured(tmp_path / "t.toml", terminal, dataclasses.replace(subject, held_out=rows))
    assert [arm.accuracy for arm in found.arms] == [0.75, 0.75]


def test_arms_that_disagree_are_a_problem(tmp_path: Path, terminal: Terminal) -> None:
    """The numbers differ though the decisions do not; the shadow sees it as well."""
    found = measured(tmp_path / "t.toml", terminal, floats(), offset=1.5)
    assert found.problems[0] == (
        "torch and tf disagree: 0 of 20 decisions differ, 20 rows are outside the tolerance,"
        " at most 0.5 apart"
    )
    assert found.problems[1].startswith("shadow torch: ")
    assert found.agreements["torch"].same == 20


def test_requests_that_fail_count_for_their_user_s_arm(tmp_path: Path, terminal: Terminal) -> None:
    """Errors are gathered, not raised, and shown by kind."""
    calls = 0

    async def fails_later(_: InferRequest) -> InferResponse | None:
        nonlocal calls
        calls += 1
        if calls > 30:
            raise Refusal(grpc.StatusCode.INTERNAL, "out of luck")
        return None

    found = measured(tmp_path / "t.toml", terminal, floats(), fault=fails_later)
    by_name = {arm.arm: arm for arm in found.arms}
    assert by_name["torch"].errors > 0
    assert by_name["tf"].errors == 0
    assert by_name["torch"].errors + sum(arm.requests for arm in found.arms) == found.requests
    assert any("out of luck" in problem for problem in found.problems)


def test_a_model_that_never_answers_is_said_before_any_load(
    tmp_path: Path, terminal: Terminal
) -> None:
    """With the error's own words."""

    async def fails(_: InferRequest) -> InferResponse | None:
        raise Refusal(grpc.StatusCode.INTERNAL, "out of luck")

    with pytest.raises(CommandError, match=r"floats does not answer, without any load: .*luck"):
        measured(tmp_path / "t.toml", terminal, floats(), fault=fails)
