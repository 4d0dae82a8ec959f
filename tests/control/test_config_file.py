"""A file is read whole or not at all, flags win over it, and each change of it is told once."""

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
)
from tests.control.sound import SOUND


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
