"""What does the command line say, and what does it refuse?"""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.tf_serving.settings import Settings, Threading, read_arguments

FILE = ["--model-config-file", "models.config"]


def test_everything_has_a_default_but_the_models() -> None:
    settings = read_arguments(FILE)
    wanted = Settings(config_file=Path("models.config"), threads=settings.threads)
    assert settings == wanted
    assert settings.threads >= 2


def test_every_flag_is_read() -> None:
    settings = read_arguments(
        [
            *FILE,
            *["--model-store", "store", "--model-base-path", "a=/x", "--model-base-path", "b=y=z"],
            *["--require-manifest", "--file-system-poll-wait-seconds", "0.5"],
            *["--host", "::1", "--port", "0", "--max-message-bytes", "9"],
            *["--drain-timeout-seconds", "3", "--threads", "3", "--max-queued", "0"],
            *["--tensorflow-intra-op-parallelism", "1", "--tensorflow-inter-op-parallelism", "2"],
        ]
    )
    assert settings == Settings(
        config_file=Path("models.config"),
        model_store=Path("store"),
        base_paths={"a": Path("/x"), "b": Path("y=z")},
        require_manifest=True,
        poll_wait_s=0.5,
        host="::1",
        port=0,
        max_message_bytes=9,
        drain_timeout_s=3.0,
        threads=3,
        max_queued=0,
        tensorflow=Threading(intra_op_threads=1, inter_op_threads=2),
    )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "--model-config-file"),
        ([*FILE, "--port", "-1"], "got '-1', wanted a whole number from 0"),
        ([*FILE, "--threads", "0"], "got '0', wanted a whole number from 1"),
        ([*FILE, "--threads", "many"], "got 'many', wanted a whole number from 0"),
        ([*FILE, "--model-base-path", "no-separator"], "wanted NAME=PATH"),
        ([*FILE, "--model-base-path", "=path"], "wanted NAME=PATH"),
        ([*FILE, "--file-system-poll-wait-seconds", "nan"], "wanted 0 to 86400 seconds"),
        ([*FILE, "--file-system-poll-wait-seconds", "-1"], "wanted 0 to 86400 seconds"),
        ([*FILE, "--drain-timeout-seconds", "soon"], "wanted 0 to 86400 seconds"),
        ([*FILE, "--prot", "1"], "unrecognized arguments: --prot"),
    ],
)
def test_what_makes_no_sense_is_refused_with_status_2(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        read_arguments(arguments)
    assert ended.value.code == 2
    assert problem in capsys.readouterr().err
