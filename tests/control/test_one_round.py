"""Nothing that is wrong with a file hides anything else that is, whatever kind of check finds it."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.source import ConfigError, parse
from tests.control.sound import SOUND, problems


def test_one_round_tells_what_each_kind_of_check_finds() -> None:
    """A wrong type hides no range, no date, no address, no reference and no contradiction."""
    text = """\
[listen]
rest = "nowhere"
admin = 5
[limits]
max_timeout_s = 5
max_body_bytes = inf
[backends.tf]
kind = "tfservin"
address = "127.0.0.1"
[backends.torch]
kind = "oip"
[backends.odd]
kind = "oip"
address = 1979-05-27
[models.digits]
labels = { good = "x" }
batching = { max_batch_rows = 9, max_queued_rows = 8, max_in_flight = 0 }
[models.digits.arms.tf]
backend = "jax"
weight = -1
[models.digits.arms.torch]
wieght = 2
[[models.digits.shadow]]
arm = "none"
sample_ratio = 2
"""
    assert [line.split("   ")[0].removeprefix("t.toml:") for line in problems(text)] == [
        "2  listen.rest",
        "3  listen.admin",
        "5  limits.max_timeout_s",
        "6  limits.max_body_bytes",
        "8  backends.tf.kind",
        "9  backends.tf.address",
        "10  backends.torch.address",
        "14  backends.odd.address",
        "16  models.digits.labels.good",
        "17  models.digits.batching.max_in_flight",
        "17  models.digits.batching.max_queued_rows",
        "19  models.digits.arms.tf.backend",
        "20  models.digits.arms.tf.weight",
        "21  models.digits.arms.torch.backend",
        "22  models.digits.arms.torch.wieght",
        "24  models.digits.shadow[0].arm",
        "25  models.digits.shadow[0].sample_ratio",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # `max_timeout_s` would be too short for the default of what is wrong
        (
            "[backends.tf]",
            "[limits]\nmax_timeout_s = 5\ndefault_timeout_s = -1\n[backends.tf]",
            "limits.default_timeout_s",
        ),
        (
            "[models.digits.arms]",
            'batching = { max_queued_rows = 8, max_batch_rows = "4" }\n[models.digits.arms]',
            "models.digits.batching.max_batch_rows",
        ),
        # arms and shadows refer to what is wrong, not to nothing
        ('kind = "tfserving"\naddress = "127.0.0.1:8500"', "nothing = 1", ""),
        ('tf = { backend = "tf", weight = 50 }', "tf = 5", "models.digits.arms.tf"),
        (
            'old = { backend = "tf", weight = 0, version = 3 }',
            "old = nan",
            "models.digits.arms.old",
        ),
        ('split = { unit = ["header:x-user"], salt = "s" }', "split = 1", "models.digits.split"),
    ],
)
def test_nothing_is_said_of_what_a_wrong_value_was_replaced_by(
    old: str, new: str, expected: str
) -> None:
    """Only of what the person wrote."""
    places = [line.split("   ")[0].split("  ")[1] for line in problems(SOUND.replace(old, new, 1))]
    if expected:
        assert places == [expected]
    else:
        assert sorted(places) == ["backends.tf.address", "backends.tf.kind", "backends.tf.nothing"]


JUNK = st.recursive(
    st.one_of(
        st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.text(max_size=3), st.dates()
    ),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(st.data())
def test_whatever_is_written_where_is_told_or_taken(data: st.DataObject) -> None:
    """Junk in any place, or nothing there: never another exception."""
    document = tomlkit.parse(SOUND).unwrap()
    for _ in range(data.draw(st.integers(1, 3))):
        table: Any = document
        while table:
            keys = list(table) if isinstance(table, dict) else list(range(len(table)))
            key = data.draw(st.sampled_from(keys))
            inner = table[key]
            if isinstance(inner, dict | list) and inner and data.draw(st.integers(0, 4)):
                table = inner
                continue
            if data.draw(st.booleans()):
                table[key] = data.draw(JUNK)
            else:
                del table[key]
            break
    text = tomlkit.dumps(document)
    with contextlib.suppress(ConfigError):
        parse(text, "t.toml")
