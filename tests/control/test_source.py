"""What a configuration file says is read exactly, and everything wrong with it is said at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config import Config
from gateway.control.source import (
    MAX_FILE_BYTES,
    ConfigError,
    ConfigFile,
    ListenOverrides,
    load,
    parse,
    split_address,
)

SOUND = """\
[backends.tf]
kind = "tfserving"
address = "127.0.0.1:8500"

[models.digits]
split = { unit = ["header:x-user"], salt = "s" }
[models.digits.arms]
tf = { backend = "tf", weight = 50 }
old = { backend = "tf", weight = 0, version = 3 }
[[models.digits.shadow]]
arm = "old"
"""


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
            "t.toml:2  backends.tf.zzz   unknown key; known here: kind, address, max_message_bytes",
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
                "t.toml:2  backends.tf.kind   got \"tfservin\", wants 'tfserving' or 'oip'; "
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


def test_files_that_cannot_be_read_are_problems(tmp_path: Path) -> None:
    """Missing, too large, and not text: each says so and names the file."""
    path = tmp_path / "t.toml"
    for content, said in (
        (None, "no such file"),
        (b"#" * (MAX_FILE_BYTES + 1), "is over 1048576 bytes"),
        (b"a = 1\nb = '\xff'\n", f"{path}:2   is not UTF-8 text"),
    ):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"t\.toml") as caught:
            load(path)
        assert said in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_a_byte_order_mark_is_read_past(tmp_path: Path) -> None:
    """Some editors write one."""
    path = tmp_path / "t.toml"
    path.write_text(SOUND, encoding="utf-8-sig")
    assert load(path).models


@pytest.mark.parametrize(
    ("address", "expected"),
    [("a:1", ("a", 1)), ("[::1]:65535", ("::1", 65535)), ("0.0.0.0:0", ("0.0.0.0", 0))],
)
def test_addresses_are_split(address: str, expected: tuple[str, int]) -> None:
    """Host and port; brackets of IPv6 come off."""
    assert split_address(address) == expected


@pytest.mark.parametrize(
    "address", ["", "a", ":1", "a:", "a:65536", "a:-1", "a:x", "::1:80", "a:²"]
)
def test_other_addresses_are_refused(address: str) -> None:
    """Each is a ValueError that shows what was got."""
    with pytest.raises(ValueError, match="got"):
        split_address(address)


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    """Only the listeners named change; a bad flag is named as the flag it is."""
    path = tmp_path / "t.toml"
    path.write_text(SOUND)
    listen = load(path, ListenOverrides(rest="127.0.0.1:1")).listen
    assert (listen.rest, listen.grpc) == ("127.0.0.1:1", "127.0.0.1:8081")
    with pytest.raises(ConfigError, match=r'^--admin   got port "x"'):
        load(path, ListenOverrides(admin="a:x"))


async def _next(changes: AsyncIterator[Config | ConfigError]) -> Config | ConfigError:
    async with asyncio.timeout(5):
        return await anext(changes)


async def _watch(directory: Path) -> None:
    first, second = directory / "..1", directory / "..2"
    for version, weight in ((first, 1), (second, 2)):
        version.mkdir()
        (version / "t.toml").write_text(SOUND.replace("weight = 50", f"weight = {weight}"))
    data, path = directory / "..data", directory / "t.toml"
    data.symlink_to(first.name)
    path.symlink_to("..data/t.toml")

    file = ConfigFile(path)
    assert file.load().models["digits"].arms["tf"].weight == 1
    async with contextlib.aclosing(file.changes(0.002)) as changes:
        swap = directory / "..tmp"
        swap.symlink_to(second.name)
        swap.rename(data)  # as the kubelet does
        swapped = await _next(changes)
        assert isinstance(swapped, Config)
        assert swapped.models["digits"].arms["tf"].weight == 2

        (second / "t.toml").write_text("nonsense")
        assert isinstance(await _next(changes), ConfigError)
        path.unlink()
        missing = await _next(changes)
        assert "no such file" in str(missing)
        path.write_text(SOUND)
        assert isinstance(await _next(changes), Config)


def test_changes_follow_swapped_symlinks_bad_files_and_missing_ones(tmp_path: Path) -> None:
    """Each change of content is told once, sound or not."""
    asyncio.run(_watch(tmp_path))


async def _next_after_equal_bytes(path: Path, other: str) -> Config | ConfigError:
    file = ConfigFile(path)
    await asyncio.to_thread(file.load)
    async with contextlib.aclosing(file.changes(0.001)) as changes, asyncio.TaskGroup() as group:
        first = group.create_task(_next(changes))
        for content in (SOUND, SOUND, other):
            await asyncio.to_thread(_replace, path, content)
        return await first


def _replace(path: Path, content: str) -> None:
    aside = path.with_suffix(".new")
    aside.write_text(content)
    aside.rename(path)


def test_the_same_bytes_are_no_change(tmp_path: Path) -> None:
    """A file replaced by an equal one tells nothing: the first thing told is the real change."""
    path = tmp_path / "t.toml"
    path.write_text(SOUND)
    changed = asyncio.run(_next_after_equal_bytes(path, SOUND.replace("weight = 50", "weight = 7")))
    assert isinstance(changed, Config)
    assert changed.models["digits"].arms["tf"].weight == 7


def test_a_change_between_load_and_watching_is_told(tmp_path: Path) -> None:
    """What `load` returned is the point from which changes count."""

    async def first_change() -> Config | ConfigError:
        async with contextlib.aclosing(file.changes(0.001)) as changes:
            return await _next(changes)

    path = tmp_path / "t.toml"
    path.write_text(SOUND)
    file = ConfigFile(path)
    file.load()
    path.write_text("nonsense")
    assert isinstance(asyncio.run(first_change()), ConfigError)
