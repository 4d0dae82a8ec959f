"""A running gateway whose configuration, backends and weights change: nothing accepted is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import tomlkit

from gateway.lifecycle import State
from tests.fakes import gateways
from tests.fakes.arithmetic import Arithmetic, Gate, serving
from tests.fakes.gateways import MODELS, Stack, until

PATH = "/v1/models/floats:predict"
ROW = {"instances": [[1, 2, 3, 4]]}


def against(path: Path, scenario: Callable[[Stack], Awaitable[None]], models: str = MODELS) -> None:
    backends = {"tf": Arithmetic(), "torch": Arithmetic(offset=1.0)}
    gateways.against(path, scenario, models=models, backends=backends)


async def arms_seen(stack: Stack) -> set[str]:
    seen = set()
    for unit in range(30):
        headers = {"x-tandem-unit": str(unit), "x-tandem-explain": "1"}
        answer = await stack.rest.post(PATH, json=ROW, headers=headers)
        assert answer.status_code == 200, answer.text
        seen.add(answer.headers["x-tandem-arm"])
    return seen


async def one_in_flight_and_four_queued(
    stack: Stack, gate: Gate, group: asyncio.TaskGroup
) -> list[asyncio.Task[httpx.Response]]:
    def ask(n: int) -> asyncio.Task[httpx.Response]:
        path = "/v1/models/tokens:predict"
        return group.create_task(stack.rest.post(path, json={"instances": [[n]]}))

    asked = [ask(0)]
    await gate.reached()
    asked += [ask(n) for n in range(1, 5)]
    await until(lambda: stack.count("tandem_queued_rows", model="tokens") == 4)
    return asked


def rewrite(stack: Stack, old: str, new: str) -> None:
    text = stack.path.read_text()
    assert old in text
    stack.path.write_text(text.replace(old, new))


def test_weights_change_live_and_keep_their_lanes(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        assert await arms_seen(stack) == {"tf", "torch"}
        rewrite(stack, 'backend = "torch"\nweight = 50', 'backend = "torch"\nweight = 0')
        await until(lambda: stack.count("tandem_config_reloads_total", outcome="applied") == 1)
        assert await arms_seen(stack) == {"tf"}
        assert stack.count("tandem_arm_weight", model="floats", arm="torch") == 0

    against(tmp_path, scenario)


def test_a_bad_file_changes_nothing_and_says_why(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        rewrite(stack, "weight = 50", "wieght = 50")
        await until(lambda: stack.count("tandem_config_reloads_total", outcome="refused") == 1)
        assert stack.count("tandem_config_last_reload_successful") == 0
        assert await arms_seen(stack) == {"tf", "torch"}
        told = (await stack.admin.get("/admin/models")).json()["config"]["last_error"]
        assert 'did you mean "weight"' in told
        rewrite(stack, "wieght = 50", "weight = 50")
        await until(lambda: stack.count("tandem_config_last_reload_successful") == 1)

    against(tmp_path, scenario)


def test_a_model_added_and_removed_under_traffic_loses_nothing(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        async with asyncio.TaskGroup() as group:
            waiting = await one_in_flight_and_four_queued(stack, gate, group)
            text = stack.path.read_text()
            without = tomlkit.parse(text)
            del without["models"]["tokens"]
            stack.path.write_text(tomlkit.dumps(without))
            await until(lambda: stack.count("tandem_config_reloads_total", outcome="applied") == 1)
            gone = await stack.rest.post("/v1/models/tokens:predict", json={"instances": [[1]]})
            assert gone.status_code == 404
            gate.opened.set()
        assert [w.result().json() for w in waiting] == [{"predictions": [n]} for n in range(5)]
        stack.backends["tf"].fault = None
        stack.path.write_text(text)
        await until(lambda: stack.count("tandem_config_reloads_total", outcome="applied") == 2)
        back = await stack.rest.post("/v1/models/tokens:predict", json={"instances": [[1]]})
        assert back.json() == {"predictions": [1]}

    against(tmp_path, scenario)


def test_an_arm_becomes_ready_when_its_backend_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tandem.control")

    async def scenario(stack: Stack) -> None:
        late = Arithmetic(models=frozenset())
        async with serving(late):
            stack.path.write_text(
                stack.path.read_text()
                + f'\n[backends.late]\nkind = "oip"\naddress = "{late.address}"\n'
                + '[models.late.arms.a]\nbackend = "late"\nmodel = "floats"\n'
            )
            await until(lambda: stack.count("tandem_config_reloads_total", outcome="applied") == 1)
            early = await stack.rest.post("/v1/models/late:predict", json=ROW)
            assert early.status_code == 503
            assert "arm a" in early.json()["error"]
            assert (await stack.admin.get("/readyz")).status_code == 200
            assert (await stack.admin.get("/readyz?complete=true")).status_code == 503
            late.models = frozenset({"floats"})
            await until(lambda: stack.count("tandem_arm_ready", model="late") == 1)
            answer = await stack.rest.post("/v1/models/late:predict", json=ROW)
            assert answer.json() == {"predictions": [[3.0, 5.0, 7.0, 9.0]]}
            assert (await stack.admin.get("/readyz?complete=true")).status_code == 200

    against(tmp_path, scenario)
    control = [r for r in caplog.records if r.name == "tandem.control"]
    told = [r.getMessage() for r in control if getattr(r, "fields", {}).get("model") == "late"]
    assert told == ["arm is not ready", "arm is ready"]


def test_a_backend_that_goes_away_is_an_error_and_recovers_by_itself(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        away = Arithmetic()
        async with serving(away):
            address = away.address
            stack.path.write_text(
                stack.path.read_text()
                + f'\n[backends.away]\nkind = "tfserving"\naddress = "{address}"\n'
                + '[models.away.arms.a]\nbackend = "away"\nmodel = "floats"\n'
            )
            await until(lambda: stack.count("tandem_arm_ready", model="away") == 1)
        gone = await stack.rest.post("/v1/models/away:predict", json=ROW)
        assert gone.status_code == 503, gone.text
        assert "away" in gone.json()["error"]
        assert stack.count("tandem_requests_total", reason="backend_unavailable") == 1
        await until(lambda: stack.count("tandem_arm_ready", model="away") == 0)
        assert (await stack.admin.get("/readyz?complete=true")).status_code == 503
        assert (await stack.rest.get("/v2/models/away/ready")).status_code == 503
        (status,) = (await stack.rest.get("/v1/models/away")).json()["model_version_status"]
        assert status["status"]["error_code"] == "UNAVAILABLE"
        async with serving(Arithmetic(), address):
            async with asyncio.timeout(20):
                while (await stack.rest.post("/v1/models/away:predict", json=ROW)).is_error:  # noqa: ASYNC110  # a state, seen from outside
                    await asyncio.sleep(0.05)

    against(tmp_path, scenario)


def test_a_shadow_compares_and_never_answers(tmp_path: Path) -> None:
    shadowed = MODELS + '\n[[models.floats.shadow]]\narm = "torch"\nsample_ratio = 1.0\n'

    async def scenario(stack: Stack) -> None:
        headers = {"x-tandem-arm": "tf"}
        for _ in range(3):
            await stack.rest.post(PATH, json=ROW, headers=headers)
        await until(lambda: stack.count("tandem_shadow_total", outcome="match") == 3)
        stack.backends["torch"].offset = 2.0
        answer = await stack.rest.post(PATH, json=ROW, headers=headers)
        assert answer.json() == {"predictions": [[3.0, 5.0, 7.0, 9.0]]}
        await until(lambda: stack.count("tandem_shadow_total", outcome="mismatch") == 1)
        assert stack.count("tandem_requests_total", arm="torch") == 0

    against(tmp_path, scenario, shadowed)


def test_a_shadow_that_no_backend_has_described_harms_nobody(tmp_path: Path) -> None:
    absent = MODELS.replace(
        '[models.floats.arms.torch]\nbackend = "torch"\nweight = 50',
        '[models.floats.arms.torch]\nbackend = "torch"\nweight = 0\nmodel = "not-loaded-yet"',
    )
    assert "not-loaded-yet" in absent
    shadowed = absent + '\n[[models.floats.shadow]]\narm = "torch"\nsample_ratio = 1.0\n'

    async def scenario(stack: Stack) -> None:
        answer = await stack.rest.post(PATH, json=ROW)
        assert answer.json() == {"predictions": [[3.0, 5.0, 7.0, 9.0]]}

    against(tmp_path, scenario, shadowed)


def test_a_stuck_shadow_is_dropped_and_the_primary_never_waits(tmp_path: Path) -> None:
    stuck = (
        MODELS + '\n[[models.floats.shadow]]\narm = "torch"\nsample_ratio = 1.0\n'
        "max_queued = 2\nmax_in_flight = 1\n"
    )

    async def scenario(stack: Stack) -> None:
        stack.backends["torch"].fault = Gate()
        for _ in range(10):
            answer = await stack.rest.post(PATH, json=ROW, headers={"x-tandem-arm": "tf"})
            assert answer.status_code == 200
        await until(lambda: stack.count("tandem_shadow_total", outcome="dropped") >= 7)

    against(tmp_path, scenario, stuck)


def test_draining_answers_what_was_accepted_and_says_not_ready(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        async with asyncio.TaskGroup() as group:
            waiting = await one_in_flight_and_four_queued(stack, gate, group)
            drain = group.create_task(stack.gateway.drain())
            await until(lambda: stack.gateway.lifecycle.state is State.LEAVING)
            assert (await stack.admin.get("/readyz")).status_code == 503
            assert (await stack.admin.get("/healthz")).status_code == 200
            gate.opened.set()
        assert [w.result().json() for w in waiting] == [{"predictions": [n]} for n in range(5)]
        assert drain.result() is None
        assert stack.gateway.lifecycle.state is State.STOPPED

    against(tmp_path, scenario)
