"""A version appears all at once, is never overwritten, and nothing is left behind."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model_store.manifest import Manifest, verify, versions
from model_store.publish import AlreadyPublished, build_folder, publish, publish_next
from tests.model_store.manifests import sound_manifest, with_real_files, write_files


def staged(folder: Path) -> tuple[Path, Manifest]:
    """A finished version, aside, and its manifest."""
    version = folder / "version"
    version.mkdir(mode=0o700)
    write_files(version)
    return version, with_real_files(sound_manifest(), version)


def modes(folder: Path) -> set[int]:
    """The permissions of everything in the folder."""
    return {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}


def test_a_published_version_is_complete_and_readable_by_others(tmp_path: Path) -> None:
    with build_folder(tmp_path, "iris") as folder:
        version_dir = publish(*_order(staged(folder), tmp_path))
    assert version_dir == tmp_path / "iris" / "1"
    verify(version_dir, "torch")
    verify(version_dir, "tensorflow")
    assert modes(version_dir) == {0o755, 0o644}


def test_the_build_folder_is_gone_whatever_happened(tmp_path: Path) -> None:
    def fail() -> None:
        with build_folder(tmp_path, "iris") as folder:
            staged(folder)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list((tmp_path / ".build").iterdir())


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    taken = tmp_path / "iris" / "1"
    taken.mkdir(parents=True)  # even if it is empty, when a rename would succeed
    with build_folder(tmp_path, "iris") as folder:
        version, manifest = staged(folder)
        with pytest.raises(AlreadyPublished):
            publish(version, tmp_path, manifest)
        assert version.exists()
    assert not list(taken.iterdir())


def test_the_next_version_follows_the_newest(tmp_path: Path) -> None:
    (tmp_path / "iris" / "7").mkdir(parents=True)
    with build_folder(tmp_path, "iris") as folder:
        version, manifest = staged(folder)
        assert publish_next(version, tmp_path, manifest).version == 8
    assert Manifest.load(tmp_path / "iris" / "8").version == 8


def test_publishers_at_the_same_moment_all_succeed(tmp_path: Path) -> None:
    """Each gets a number of its own, and each version is complete."""

    def one(_: int) -> int:
        with build_folder(tmp_path, "iris") as folder:
            version, manifest = staged(folder)
            return publish_next(version, tmp_path, manifest).version

    with ThreadPoolExecutor(8) as pool:
        numbers: Sequence[int] = list(pool.map(one, range(16)))
    assert sorted(numbers) == list(range(1, 17)) == list(versions(tmp_path, "iris"))
    for number in numbers:
        verify(tmp_path / "iris" / str(number), "torch")


def _order(both: tuple[Path, Manifest], store: Path) -> tuple[Path, Path, Manifest]:
    version, manifest = both
    return version, store, manifest
