"""`tandem check` says what is wrong without starting anything."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import main


def run(*words: object) -> subprocess.CompletedProcess[str]:
    """A real command line."""
    argv = [sys.executable, "-m", "gateway", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_the_demo_s_configuration_is_sound(root: Path) -> None:
    """The file that `tandem up` uses by default."""
    done = run("check", root / "tandem.toml")
    assert done.returncode == 0, done.stdout
    assert "3 models, 2 backends" in done.stdout
    assert "tf 50 % · torch 50 %" in done.stdout


def test_every_problem_is_printed_and_the_status_is_2(tmp_path: Path) -> None:
    """One a line, and nothing else."""
    path = tmp_path / "bad.toml"
    path.write_text('[backends.tf]\nkindd = "oip"\naddress = 5\n[models]\n')
    done = run("check", path)
    assert done.returncode == 2
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"{path}:1  backends.tf.kind   missing; this setting has no default",
        f'{path}:2  backends.tf.kindd   unknown key; did you mean "kind"?',
        f"{path}:3  backends.tf.address   got 5, wants a string",
    ]


def test_json_is_for_programs(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sound and broken alike."""
    assert main(["check", str(config_file), "--json"]) == 0
    sound = json.loads(capsys.readouterr().out)
    assert sound["config"]["models"]["iris"]["arms"]["tf"]["weight"] == 3
    config_file.write_text("x = 1")
    assert main(["check", str(config_file), "--json"]) == 2
    broken = json.loads(capsys.readouterr().out)
    assert broken["ok"] is False
    assert [problem["line"] for problem in broken["problems"]] == [None, None, 1]


@pytest.mark.parametrize("command", ["demo", "up", "serve", "check", "models", "predict", "split"])
def test_every_command_has_help_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also without a configuration, a checkout or a gateway."""
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert caught.value.code == 0
    assert f"usage: tandem {command}" in shown
    assert f"  tandem {command}" in shown.split("Examples:")[1]


def test_wrong_usage_is_status_2() -> None:
    """An unknown command, an unknown option, none at all."""
    for words in (["dance"], ["check", "--sideways"], []):
        assert run(*words).returncode == 2


def test_help_does_not_import_what_it_does_not_need() -> None:
    """So that it answers at once."""
    program = (
        "import sys, gateway.cli\n"
        "try: gateway.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "slow = {'grpc', 'numpy', 'fastapi', 'pydantic', 'aiohttp', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(str(slow) if slow else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_reader_that_leaves_early_is_no_traceback(config_file: Path) -> None:
    """As in `tandem check | head -1`."""
    argv = [sys.executable, "-m", "gateway", "check", str(config_file), "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        process.wait(60)


def test_a_terminal_without_the_characters_still_gets_the_text(config_file: Path) -> None:
    """A dash that Latin-1 lacks becomes a question mark, not an exception."""
    argv = [sys.executable, "-m", "gateway", "check", str(config_file)]
    environment = {"PYTHONIOENCODING": "ascii", "PATH": ""}
    done = subprocess.run(argv, capture_output=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert io.BytesIO(done.stdout).readline().isascii()
