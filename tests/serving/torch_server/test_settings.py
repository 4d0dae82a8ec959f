from __future__ import annotations

import re
from pathlib import Path

import pytest

from serving.torch_server.settings import Address, Settings, parse


def test_only_the_store_must_be_given(tmp_path: Path) -> None:
    settings = parse(["--model-store", str(tmp_path)])
    assert settings == Settings(
        model_store=tmp_path.resolve(),
        rest=Address("127.0.0.1", 8610),
        grpc=Address("127.0.0.1", 8611),
    )


def test_what_is_given_is_taken(tmp_path: Path) -> None:
    more = "--models iris,digits --rest [::1]:0 --device cpu --runners 3 --poll-s 0.5"
    settings = parse(["--model-store", str(tmp_path), *more.split(), "--latest-versions", "1"])
    assert settings.models == ("iris", "digits")
    assert (settings.rest.host, str(settings.rest)) == ("::1", "[::1]:0")
    assert (settings.runners, settings.poll_s, settings.latest_versions) == (3, 0.5, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rest", "nowhere"], "wanted HOST:PORT"),
        (["--rest", "host:65536"], "wanted HOST:PORT"),
        (["--runners", "0"], "wanted 1 or more"),
        (["--threads", "-1"], "wanted 0 or more"),
        (["--models", "../iris"], "names match"),
        (["--poll-s", "0"], "more than 0 seconds"),
        (["--poll-s", "soon"], "wanted seconds"),
        (["--drain-timeout-s", "inf"], "0 to 86400"),
        (["--device", "tpu"], "choose from"),
        (["--model-store", "/nowhere"], "existing folder"),
    ],
)
def test_a_wrong_argument_is_named_with_what_was_wanted(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--model-store", str(tmp_path), *arguments])
    told = capsys.readouterr().err
    assert caught.value.code == 2
    assert arguments[0] in told
    assert words in told


def test_every_flag_is_in_the_manual(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    flags = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    manual = (root / "serving/torch_server/README.md").read_text(encoding="utf-8")
    assert flags == set(re.findall(r"^\| `(--[a-z-]+)", manual, re.MULTILINE))
