"""Does the manual tell every flag and every event?"""

from __future__ import annotations

import re
from pathlib import Path

from serving.tf_serving.settings import _parser

FLAG = re.compile(r"`(--[a-z-]+)")
EVENT = re.compile(r"""report\(\s*"([a-z_]+)\"""")


def _manual(root: Path) -> str:
    return (root / "serving/tf_serving/README.md").read_text()


def test_every_flag_of_the_stand_in_is_explained(root: Path) -> None:
    rows = [line for line in _manual(root).splitlines() if line.startswith("| `--")]
    explained = {flag for row in rows for flag in FLAG.findall(row.split("|")[1])}
    flags = {flag for action in _parser()._actions for flag in action.option_strings}

    assert explained == flags - {"-h", "--help"}


def test_every_event_is_named(root: Path) -> None:
    sources = (root / "serving/tf_serving").glob("*.py")
    events = {event for path in sources for event in EVENT.findall(path.read_text())}
    log = _manual(root).split("**The log**")[1].split("\n\n")[0]
    assert set(re.findall(r"`([a-z_]+)`", log)) == events
