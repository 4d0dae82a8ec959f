"""What a new user gets wrong is told in words that lead on, with status 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import main

Capture = pytest.CaptureFixture[str]


def said(words: list[str], capsys: Capture) -> str:
    """What a command line that is refused says; argparse leaves by SystemExit, our commands by status."""
    try:
        status: object = main(words)
    except SystemExit as leaving:
        status = leaving.code
    assert status == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "the following arguments are required: COMMAND\n"),
        (["chek"], "there is no command 'chek'; did you mean 'check'?"),
        (
            ["dance"],
            "there is no command 'dance': demo, up, serve, check, models, predict, plan, split",
        ),
        (["split"], "the following arguments are required: MODEL\n"),
        (["demo", "--scale", "x"], "got 'x', wants a number above 0, at most 1000"),
        (["predict", "iris", "@"], "got @ alone, wants @FILE"),
        (["predict", "iris", "@/nowhere/rows.json"], "/nowhere/rows.json: No such file"),
        (["predict", "iris", "rows.json"], "not JSON: "),
        (["predict", "iris", "rows.json"], "; a file is @FILE, standard input is -"),
        (["predict", "iris", "[" * 100_000], "not JSON: "),
        (["models", "--admin", "127.0.0.1:0"], "listen.admin (--admin): got 127.0.0.1:0, wants"),
    ],
)
def test_a_wrong_command_line_is_told_what_is_right(
    words: list[str], expected: str, capsys: Capture
) -> None:
    """Without a configuration, a checkout or a gateway."""
    assert expected in said(words, capsys)


def test_usage_says_that_weights_are_optional(capsys: Capture) -> None:
    """`tandem split MODEL` shows."""
    assert "MODEL [ARM=WEIGHT ...]" in said(["split"], capsys)


def test_a_reason_without_a_change_is_refused(config_file: Path, capsys: Capture) -> None:
    """Rather than dropped without a word."""
    words = ["split", "iris", "--why", "canary", "--config", str(config_file)]
    assert "--why explains a change, and there is none" in said(words, capsys)


def test_options_may_come_before_the_weights(
    config_file: Path, capsys: Capture, free_address: str
) -> None:
    """As people type them."""
    where = ["--config", str(config_file), "--admin", free_address]
    assert main(["split", "iris", *where, "--why", "canary", "tf=9", "torch=1"]) == 0
    assert "torch       1      1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "flag"), [("up", "--admin"), ("demo", "--rest"), ("demo", "--grpc")]
)
def test_a_stack_s_listeners_that_are_asked_need_a_port(
    command: str, flag: str, config_file: Path, capsys: Capture
) -> None:
    """Port 0 would be waited for in vain."""
    words = [command, "--config", str(config_file), flag, "127.0.0.1:0"]
    assert f"({flag}): got 127.0.0.1:0, wants a port other than 0" in said(words, capsys)
