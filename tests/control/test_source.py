"""What a configuration file says is read exactly, and everything wrong with it is said at once."""

from __future__ import annotations

import pytest

from gateway.control.source import parse
from tests.control.sound import SOUND, problems


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
            "t.toml:2  backends.tf.zzz   unknown key; known here: kind, address, protocol, replicas, max_hedge_ratio, max_message_bytes, tls, management, body, declared, forwards_reload",
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
