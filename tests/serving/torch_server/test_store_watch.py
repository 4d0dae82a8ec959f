from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.torch_server.registry import Key
from serving.torch_server.store_watch import StoreReader
from tests.serving.torch_server.stores import MLP, publish, unpublish


def names(reader: StoreReader) -> dict[str, str]:
    """`model/version` to what is wrong with it."""
    return {f"{key.model}/{key.version}": found.problem for key, found in reader.read().items()}


def keys(reader: StoreReader) -> set[Key]:
    return set(reader.read())


def test_versions_with_a_torch_artifact_are_found(tmp_path: Path) -> None:
    publish(tmp_path, "mlp/1", b"", MLP)
    publish(tmp_path, "mlp/12", b"", MLP)
    found = StoreReader(tmp_path).read()
    assert {(key.model, key.version) for key in found} == {("mlp", 1), ("mlp", 12)}
    for key, stored in found.items():
        assert stored.manifest is not None
        assert stored.manifest.version == key.version


def test_what_is_not_a_version_of_ours_is_passed_over(tmp_path: Path) -> None:
    publish(tmp_path, "mlp/1", b"", MLP)
    (tmp_path / "manifest.py").write_text("")
    (tmp_path / "mlp" / "2").mkdir()  # no manifest: another server's, or none's
    for name in ("01", "1.0", "latest", "x"):
        shutil.copytree(tmp_path / "mlp" / "1", tmp_path / "mlp" / name)
    shutil.copytree(tmp_path / "mlp", tmp_path / "_hidden")
    other = publish(tmp_path, "tf/1", b"", MLP) / "manifest.json"
    text = other.read_text().replace('"torch": {', '"tensorflow": {')
    other.write_text(text)
    assert names(StoreReader(tmp_path)) == {"mlp/1": ""}


def test_a_manifest_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    (publish(tmp_path, "mlp/1", b"", MLP) / "manifest.json").write_text("{")
    shutil.copytree(publish(tmp_path, "mlp/2", b"", MLP), tmp_path / "mlp" / "3")
    found = names(StoreReader(tmp_path))
    assert "manifest.json" in found["mlp/1"]
    assert found["mlp/2"] == ""
    assert "not of this directory" in found["mlp/3"]


def test_a_folder_outside_the_store_is_passed_over(tmp_path: Path) -> None:
    publish(tmp_path / "other", "mlp/1", b"", MLP)
    store = tmp_path / "store"
    store.mkdir()
    (store / "mlp").symlink_to(tmp_path / "other" / "mlp")
    assert names(StoreReader(store)) == {}


def test_a_version_keeps_its_identity_until_its_files_change(tmp_path: Path) -> None:
    reader = StoreReader(tmp_path)
    folder = publish(tmp_path, "mlp/1", b"one", MLP)
    first = keys(reader)
    assert keys(reader) == first
    (folder / "model.pt2").write_bytes(b"two")
    second = keys(reader)
    assert not first & second
    unpublish(tmp_path, "mlp/1")
    assert keys(reader) == set()
    publish(tmp_path, "mlp/1", b"two", MLP)
    assert not keys(reader) & (first | second)


def test_a_store_that_cannot_be_listed_is_an_error_and_not_an_empty_store(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        StoreReader(tmp_path / "nowhere").read()


class Leaving(type(Path())):  # type: ignore[misc]  # Path is made as what fits the system
    """A store that is moved away as soon as its models have been listed."""

    def iterdir(self) -> Iterator[Path]:
        yield from super().iterdir()
        self.rename(self.with_name("elsewhere"))


def test_a_store_that_goes_away_while_it_is_read_is_no_empty_store(tmp_path: Path) -> None:
    publish(tmp_path / "store", "mlp/1", b"", MLP)
    with pytest.raises(OSError, match="store"):
        StoreReader(Leaving(tmp_path / "store")).read()
    assert names(StoreReader(tmp_path / "elsewhere")) == {"mlp/1": ""}
