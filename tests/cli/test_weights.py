"""Changing a weight changes a weight, and nothing else that a person wrote."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.weights import replace_file, with_weights
from gateway.control.source import ConfigError, parse

TEXT = """\
# what this is for
[backends.tf]
kind    = "tfserving"   # odd spacing stays
address = "127.0.0.1:8500"

[models.iris.arms.tf]
backend = "tf"
weight = 50  # half

[models.iris.arms.other]
backend = "tf"   # no weight yet: 1
[models.digits]
arms = { a = { backend = "tf", weight = 1.5 }, b = { backend = "tf" } } # inline
[models."mini.lm".arms]
a.backend = "tf"
a.weight = 1
"""


def test_only_the_weight_changes() -> None:
    """Comments, spacing and order stay."""
    changed = with_weights(TEXT, "iris", {"tf": 90}, "t.toml")
    assert changed == TEXT.replace("weight = 50  # half", "weight = 90  # half")


@pytest.mark.parametrize(
    ("model", "arm"), [("iris", "other"), ("digits", "b"), ("mini.lm", "a"), ("digits", "a")]
)
def test_every_way_to_write_an_arm_can_be_changed(model: str, arm: str) -> None:
    """A table without a weight, inline tables, dotted keys, quoted names."""
    changed = with_weights(TEXT, model, {arm: 2.5}, "t.toml")
    assert parse(changed, "t.toml").models[model].arms[arm].weight == 2.5
    comments = [line.split("#")[1] for line in TEXT.splitlines() if "#" in line]
    assert [line.split("#")[1] for line in changed.splitlines() if "#" in line] == comments


@given(st.floats(0, 1e9), st.floats(0.001, 1e9))
def test_any_weights_come_back_as_they_were_given(first: float, second: float) -> None:
    """And the rest of the file says what it said."""
    changed = with_weights(TEXT, "iris", {"tf": first, "other": second}, "t.toml")
    arms = parse(changed, "t.toml").models["iris"].arms
    assert (arms["tf"].weight, arms["other"].weight) == (first, second)
    before, after = tomllib.loads(TEXT), tomllib.loads(changed)
    for document in (before, after):
        for arm in document["models"]["iris"]["arms"].values():
            arm.pop("weight", None)
    assert before == after


def test_a_file_that_is_already_wrong_is_not_touched() -> None:
    """Whoever has to repair it should find it as it was."""
    with pytest.raises(ConfigError, match=r"t\.toml:8"):
        with_weights(TEXT.replace("50  #", '"50"  #'), "iris", {"tf": 1}, "t.toml")


def test_a_replaced_file_keeps_its_permissions_and_its_symlinks(tmp_path: Path) -> None:
    """And leaves nothing else in the folder."""
    real, link = tmp_path / "real.toml", tmp_path / "link.toml"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real.name)
    replace_file(link, "new")
    assert real.read_text() == "new"
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.toml", "real.toml"]
