"""`models`, `predict` and `split` against a running gateway with two backends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.routing.split import choose
from tests.fakes.arithmetic import Arithmetic
from tests.fakes.gateways import Stack, running

Capture = pytest.CaptureFixture[str]

ROWS = "[[1, 2, 3, 4]]"


def with_gateway(path: Path, script: Callable[[Stack], None]) -> None:
    """Run a script of command lines beside a gateway; `torch` adds 1.5 where `tf` adds 1."""

    async def scenario() -> None:
        backends = {"tf": Arithmetic(), "torch": Arithmetic(offset=1.5)}
        async with running(path, backends=backends) as stack:
            await asyncio.to_thread(script, stack)

    asyncio.run(scenario())


def tandem(stack: Stack, *words: str) -> int:
    """A command line that asks this gateway."""
    addresses = stack.gateway.addresses
    command = words[0]
    where = ["--config", str(stack.path)]
    if command == "predict":
        where += ["--rest", addresses["rest"], "--grpc-address", addresses["grpc"]]
    else:
        where += ["--admin", addresses["admin"]]
    return main([*words, *where])


def test_models_tells_arms_versions_and_signatures(tmp_path: Path, capsys: Capture) -> None:
    """For people, and as JSON for programs."""

    def script(stack: Stack) -> None:
        assert tandem(stack, "models") == 0
        shown = capsys.readouterr().out
        assert "tf     50 %   tf       tfserving  1        ready" in shown
        assert "serving_default: x FP32 [rows, 4] → y FP32 [rows, 4]" in shown
        assert tandem(stack, "models", "--json") == 0
        listed = json.loads(capsys.readouterr().out)["models"]
        assert [model["name"] for model in listed] == ["floats", "pairs", "tokens"]

    with_gateway(tmp_path / "t.toml", script)


@pytest.mark.parametrize("protocol", [[], ["--grpc"]])
@pytest.mark.parametrize("dialect", ["tfs", "oip"])
def test_predict_speaks_every_dialect_and_protocol(
    dialect: str, protocol: list[str], tmp_path: Path, capsys: Capture
) -> None:
    """The same rows, the same numbers."""

    def script(stack: Stack) -> None:
        words = ["predict", "floats", ROWS, "--dialect", dialect, *protocol]
        assert tandem(stack, *words, "--arm", "torch", "--explain") == 0
        answer, *facts = capsys.readouterr().out.splitlines()
        assert "[3.5,5.5,7.5,9.5]" in answer
        assert ["arm", "torch"] in [line.split() for line in facts]
        assert ["why", "forced"] in [line.split() for line in facts]

    with_gateway(tmp_path / "t.toml", script)


def test_predict_takes_bodies_of_either_dialect_and_files(tmp_path: Path, capsys: Capture) -> None:
    """As a user of the API has them at hand."""
    body = {"instances": [{"a": [1, 2], "b": 3}]}
    oip = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [0, 0, 0, 0]}]}
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(body))

    def script(stack: Stack) -> None:
        for words in ([], ["--grpc"], ["--dialect", "oip"], ["--dialect", "oip", "--grpc"]):
            assert tandem(stack, "predict", "pairs", f"@{file}", *words) == 0
            shown = capsys.readouterr().out
            assert "twice" in shown
            assert "6" in shown
        for words in (["--dialect", "oip"], ["--grpc"], ["--grpc", "--dialect", "oip"]):
            assert tandem(stack, "predict", "floats", json.dumps(oip), "--arm", "tf", *words) == 0
            assert "[1.0,1.0,1.0,1.0]" in capsys.readouterr().out

    with_gateway(tmp_path / "t.toml", script)


def test_predict_passes_errors_on_with_status_1(tmp_path: Path, capsys: Capture) -> None:
    """The gateway's own words, on standard error."""

    def script(stack: Stack) -> None:
        # On the arm of the torch server: a TensorFlow Serving judges by itself what does not fit.
        assert tandem(stack, "predict", "floats", "[[1]]", "--arm", "torch") == 1
        assert "model floats wants [rows, 4]" in capsys.readouterr().err
        assert tandem(stack, "predict", "nobody", ROWS, "--grpc") == 1
        assert "nobody" in capsys.readouterr().err
        assert tandem(stack, "predict", "floats", ROWS, "--grpc", "--version", "9") == 1
        assert "NOT_FOUND" in capsys.readouterr().err
        assert tandem(stack, "predict", "floats", "[[1") == 2
        assert "not JSON" in capsys.readouterr().err

    with_gateway(tmp_path / "t.toml", script)


def test_predict_with_a_unit_gets_the_unit_s_arm(tmp_path: Path, capsys: Capture) -> None:
    """The arm that `split --unit` tells."""

    def script(stack: Stack) -> None:
        for unit in ("ada", "grace", "alan", "edsger"):
            assert tandem(stack, "split", "floats", "--unit", unit, "--json") == 0
            told = json.loads(capsys.readouterr().out)["arm"]
            assert told == choose({"tf": 50, "torch": 50}, unit, "floats")
            assert tandem(stack, "predict", "floats", ROWS, "--unit", unit, "--explain") == 0
            facts = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
            assert ["arm", told] in facts
        assert tandem(stack, "split", "floats", "--json") == 0
        assert sum(json.loads(capsys.readouterr().out)["requests"].values()) == 4

    with_gateway(tmp_path / "t.toml", script)


def test_split_explains_a_unit_s_arm(config_file: Path, capsys: Capture) -> None:
    """Without a gateway: it is arithmetic."""
    assert main(["split", "iris", "--unit", "u", "--config", str(config_file)]) == 0
    shown = capsys.readouterr().out
    arm = choose({"tf": 3, "torch": 1}, "u", "iris")
    assert shown.startswith(f"u gets {arm} of iris")
    assert "lowest, wins" in shown.split("−ln(h)/weight")[1].splitlines()[1]


def test_split_changes_a_running_gateway(tmp_path: Path, capsys: Capture) -> None:
    """The file is edited, the gateway follows, and the reason is on record."""
    path = tmp_path / "t.toml"

    def script(stack: Stack) -> None:
        assert tandem(stack, "split", "floats", "tf=90", "torch=10", "--why", "a look") == 0
        shown = capsys.readouterr().out
        assert "torch      50     10" in shown
        assert "the gateway has it since" in shown
        arms = stack.gateway.pipeline.table.model("floats").arms
        assert {name: arm.weight for name, arm in arms.items()} == {"tf": 90, "torch": 10}

    with_gateway(path, script)
    record = json.loads((tmp_path / ".tandem" / "decisions.jsonl").read_text())
    assert (record["before"]["tf"], record["after"]["tf"], record["why"]) == (50, 90, "a look")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tf=x"], "got 'tf=x', wants arm=weight"),
        (["tf=-1"], "wants arm=weight with a weight from 0"),
        (["tf=1", "tf=2"], "arm tf is named twice"),
        (["jax=1"], "got arm 'jax', arms of iris: tf, torch"),
        (["tf=0", "torch=0"], "at least one arm needs a weight above 0"),
    ],
)
def test_a_bad_change_changes_nothing(
    words: list[str], said: str, config_file: Path, capsys: Capture
) -> None:
    """And says why, with status 2."""
    before = config_file.read_bytes()
    assert main(["split", "iris", *words, "--config", str(config_file)]) == 2
    assert said in capsys.readouterr().err
    assert config_file.read_bytes() == before


def test_without_a_gateway_the_split_is_shown_and_changed(
    config_file: Path, capsys: Capture, free_address: str
) -> None:
    """What was seen is then unknown, and the change waits in the file."""
    where = ["--config", str(config_file), "--admin", free_address]
    assert main(["split", "iris", *where]) == 0
    shown = capsys.readouterr().out
    assert "tf          3   75 %" in shown
    assert f"nothing listens at {free_address}" in shown
    assert main(["split", "iris", "torch=3", *where]) == 0
    assert "it will read the file when it starts" in capsys.readouterr().out
    assert 'torch = { backend = "torch", weight = 3,' in config_file.read_text()


def test_an_address_where_nothing_listens_is_a_clear_error(
    capsys: Capture, free_address: str
) -> None:
    """No traceback, and the next step."""
    assert main(["models", "--admin", free_address]) == 1
    expected = (
        f"tandem models: nothing listens at {free_address}; `tandem up` starts the demo's stack"
    )
    assert capsys.readouterr().err.strip() == expected
