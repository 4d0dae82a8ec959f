"""What a configuration file says is read exactly, and everything wrong with it is said at once."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.source import ConfigError, parse
from tests.control.sound import SOUND


def problems(text: str) -> list[str]:
    """The problems of a text, as a person sees them."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "t.toml")
    return [str(problem) for problem in caught.value.problems]


def test_a_sound_file_is_read_whole() -> None:
    """Values arrive typed, and what the file leaves out has its default."""
    config = parse(SOUND, "t.toml")
    digits = config.models["digits"]
    assert digits.arms["tf"].weight == 50.0
    assert digits.arms["old"].version == 3
    assert digits.split.unit == ("header:x-user",)
    assert digits.shadow[0].sample_ratio == 0.1
    assert config.listen.rest == "127.0.0.1:8080"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "weight = 50",
            "wieght = 50",
            't.toml:8  models.digits.arms.tf.wieght   unknown key; did you mean "weight"?',
        ),
        (
            "[models.digits]",
            "[models.digits]\nmax_batch_rows = 5",
            (
                "t.toml:6  models.digits.max_batch_rows   "
                'unknown key; did you mean "batching.max_batch_rows"?'
            ),
        ),
        (
            "[backends.tf]",
            "[backends.tf]\nzzz = 1",
            "t.toml:2  backends.tf.zzz   unknown key; known here: kind, address, protocol, replicas, max_message_bytes, tls, management, body, declared",
        ),
        (
            "weight = 50",
            'weight = "50"',
            't.toml:8  models.digits.arms.tf.weight   got "50", wants a number',
        ),
        (
            "weight = 50",
            "weight = -1",
            "t.toml:8  models.digits.arms.tf.weight   got -1, wants at least 0",
        ),
        (
            "weight = 50",
            "weight = inf",
            "t.toml:8  models.digits.arms.tf.weight   got inf, wants a finite number",
        ),
        (
            "weight = 50",
            "weight = true",
            "t.toml:8  models.digits.arms.tf.weight   got true, wants a number",
        ),
        (
            "version = 3",
            "version = 3.0",
            "t.toml:9  models.digits.arms.old.version   got 3.0, wants a whole number",
        ),
        (
            '"tfserving"',
            '"tfservin"',
            (
                "t.toml:2  backends.tf.kind   got \"tfservin\", wants 'tfserving', 'oip' or 'torchserve'; "
                'did you mean "tfserving"?'
            ),
        ),
        (
            'backend = "tf", weight = 50',
            'backend = "torch"',
            "t.toml:8  models.digits.arms.tf.backend   got 'torch', known backends: tf",
        ),
        (
            'arm = "old"',
            'arm = "new"',
            "t.toml:11  models.digits.shadow[0].arm   got 'new', arms of digits: old, tf",
        ),
        (
            'arm = "old"',
            "",
            "t.toml:10  models.digits.shadow[0].arm   missing; this setting has no default",
        ),
        (
            'arm = "old"',
            'arm = "old"\ntimeout_s = 0',
            "t.toml:12  models.digits.shadow[0].timeout_s   got 0, wants more than 0 (seconds)",
        ),
        (
            'arm = "old"',
            'arm = "old"\ntimeout_s = "5 s"',
            't.toml:12  models.digits.shadow[0].timeout_s   got "5 s", wants a number (seconds)',
        ),
        (
            "127.0.0.1:8500",
            "127.0.0.1",
            (
                't.toml:3  backends.tf.address   got "127.0.0.1", '
                "wants host:port, for example 127.0.0.1:8080"
            ),
        ),
        (
            "[backends.tf]",
            '[listen]\nrest = "[::1]:80"\ngrpc = "[::1]:80"\n[backends.tf]',
            't.toml:3  listen.grpc   got "[::1]:80", which listen.rest has already',
        ),
        (
            "[backends.tf]",
            "limits = 5\n[backends.tf]",
            "t.toml:1  limits   got 5, wants a table",
        ),
        (
            '["header:x-user"]',
            '"header:x-user"',
            't.toml:6  models.digits.split.unit   got "header:x-user", wants an array',
        ),
        (
            '["header:x-user"]',
            '["cookie:user"]',
            (
                "t.toml:6  models.digits.split.unit[0]   got 'cookie:user', "
                'wants "header:NAME" with the name of an HTTP header'
            ),
        ),
        (
            "[backends.tf]",
            "[limits]\nmax_timeout_s = 5\n[backends.tf]",
            "t.toml:2  limits.max_timeout_s   got 5, wants default_timeout_s = 30 or more",
        ),
        (
            "[models.digits.arms]",
            "batching = { max_batch_rows = 9, max_queued_rows = 8 }\n[models.digits.arms]",
            (
                "t.toml:7  models.digits.batching.max_queued_rows   "
                "got 8, wants max_batch_rows = 9 or more (rows)"
            ),
        ),
        (
            "[models.digits.arms]",
            "batching = { max_batch_rows = 5000 }\n[models.digits.arms]",
            (
                "t.toml:7  models.digits.batching.max_queued_rows   "
                "got 4096, wants max_batch_rows = 5000 or more (rows)"
            ),
        ),
        (
            "weight = 50",
            "batching = { max_queued_rows = 8 }",
            (
                "t.toml:8  models.digits.arms.tf.batching.max_queued_rows   "
                "got 8, wants max_batch_rows = 64 or more (rows)"
            ),
        ),
        (
            'salt = "s"',
            "salt = 1979-05-27",
            (
                "t.toml:6  models.digits.split.salt   got the date or time 1979-05-27, "
                "which no setting takes; a string goes in quotes"
            ),
        ),
        (
            "weight = 50 }",
            "weight = 50",
            "t.toml:8   not TOML: Unclosed inline table",
        ),
        (
            "[models.digits.arms]",
            "[backends.tf]",
            "t.toml:7   not TOML: Cannot declare ('backends', 'tf') twice",
        ),
    ],
)
def test_a_problem_names_line_place_got_and_wanted(old: str, new: str, expected: str) -> None:
    """One change to a sound file gives exactly one problem, in the words a person needs."""
    assert problems(SOUND.replace(old, new, 1)) == [expected]


def test_all_problems_are_reported_at_once_in_the_file_s_order() -> None:
    """Unknown keys do not hide a broken reference."""
    text = SOUND.replace("weight = 50", "wieght = 50").replace('arm = "old"', 'arm = "x"')
    text = "loging = 1\n" + text
    assert [line.split("  ")[0] for line in problems(text)] == ["t.toml:1", "t.toml:9", "t.toml:12"]


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


def test_a_model_name_with_a_dot_is_still_found() -> None:
    """`minilm.v2` is one name; its place is not cut in two."""
    text = SOUND.replace("models.digits", 'models."minilm.v2"').replace('arm = "old"', 'arm = "x"')
    assert problems(text) == [
        "t.toml:11  models.minilm.v2.shadow[0].arm   got 'x', arms of minilm.v2: old, tf"
    ]


@pytest.mark.parametrize(
    "text", ["x = " + "[" * 5000, "x = " + "9" * 5000, "x = 1e999", "x = {" * 3000, "\0"]
)
def test_hostile_text_is_a_problem_not_a_crash(text: str) -> None:
    """Depth and size cost a clear error."""
    assert problems(text)


def test_a_huge_number_is_a_problem() -> None:
    """An integer beyond any float is refused by the schema, not by an overflow."""
    assert len(problems(SOUND.replace("weight = 50", f"weight = {'9' * 400}"))) == 1
