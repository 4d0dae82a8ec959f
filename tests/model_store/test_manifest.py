"""A manifest is read strictly, and a version directory that differs from it is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tensors import TensorSpec
from model_store.manifest import MANIFEST, Manifest, ManifestError, verify, versions
from tests.model_store.manifests import FILES, sound_manifest, write_version


def document() -> dict[str, Any]:
    """The sound manifest as plain JSON, to change."""
    loaded: dict[str, Any] = json.loads(sound_manifest().to_json())
    return loaded


def put(document: dict[str, Any], path: str, value: object) -> str:
    """The text of the document with `value` at the dotted path (numbers index lists)."""
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    place: Any = document
    for part in parents:
        place = place[part]
    place[last] = value
    return json.dumps(document)


def test_what_is_written_is_read_back() -> None:
    manifest = sound_manifest()
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_version_directory_is_loaded_and_verified(tmp_path: Path) -> None:
    version_dir = write_version(tmp_path)
    manifest = Manifest.load(version_dir)
    assert manifest.artifact("torch").entry == "model.pt2"
    verify(version_dir, "torch")
    verify(version_dir, "tensorflow")


def test_the_signature_is_the_gateways_too() -> None:
    signature = sound_manifest().signature.as_signature()
    assert signature.inputs == {"x": TensorSpec("x", "FP32", (-1, 4))}
    assert signature.is_batchable


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "artifacts/torch/entri",
            "x",
            'artifacts["torch"].entri: unknown key; did you mean "entry"?',
        ),
        ("version", "1", 'version: got "1", wanted an integer'),
        ("version", True, "version: got true, wanted an integer"),
        ("version", -1, "version: got -1"),
        ("format", 2, "format: got 2, this code reads 1"),
        ("model", "../iris", "model: got '../iris'"),
        ("created", "yesterday", "created: got 'yesterday'"),
        ("created", "2026-01-02T03:04:05+02:00", "wanted a UTC time"),
        ("fingerprint", "abc", "fingerprint: got 'abc'"),
        ("signature/inputs/0/datatype", "FP31", 'signature.inputs[0].datatype: got "FP31"'),
        ("signature/inputs/0/shape", [-1, -1], "signature.inputs[0]: got bounds for axes [0]"),
        ("signature/inputs/0/shape", [-2, 4], "got shape [-2, 4]"),
        ("signature/inputs/0/dynamic/0/min", 300, "rows: got bounds 300 to 256"),
        ("signature/outputs/0/dynamic/0/max", 8, "rows: other bounds than in another tensor"),
        ("signature/inputs", [], "signature.inputs: got none"),
        ("artifacts/torch/files", {}, "artifacts.torch.files: got none"),
        ("artifacts/torch/entry", "other.pt2", "artifacts.torch.entry: got 'other.pt2'"),
        ("artifacts/jax", {}, "artifacts"),
        ("training/optimizer/lr", "fast", 'training.optimizer.lr: got "fast", wanted a number'),
        ("parity/checks/0/rows", 1.5, "parity.checks[0].rows: got 1.5, wanted an integer"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(
    path: str, value: object, message: str
) -> None:
    with pytest.raises(ManifestError) as caught:
        Manifest.from_json(put(document(), path, value))
    assert message in str(caught.value)


@pytest.mark.parametrize("key", [*document()])
def test_no_key_may_be_missing(key: str) -> None:
    without = document()
    del without[key]
    with pytest.raises(ManifestError, match=f"{key}: missing"):
        Manifest.from_json(json.dumps(without))


@pytest.mark.parametrize("name", ["/etc/passwd", "../model.pt2", "a/../../b", "a//b", "."])
def test_no_file_may_lie_outside_the_version_directory(name: str) -> None:
    files = {name: {"sha256": "0" * 64, "bytes": 1}, "model.pt2": {"sha256": "0" * 64, "bytes": 1}}
    with pytest.raises(ManifestError, match="wanted a path inside the directory"):
        Manifest.from_json(put(document(), "artifacts/torch/files", files))


@given(st.text() | st.from_regex(r'[\[\]{}",:0-9a-z]*'))
def test_any_text_is_a_manifest_or_a_manifest_error(text: str) -> None:
    with pytest.raises(ManifestError):
        Manifest.from_json(text)


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(ManifestError):
        Manifest.from_json("[" * 100_000)


def test_a_directory_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"manifest\.json: cannot be read"):
        Manifest.load(tmp_path)


def test_a_manifest_belongs_to_its_place(tmp_path: Path) -> None:
    moved = tmp_path / "iris" / "2"
    write_version(tmp_path, version=1).rename(moved)
    with pytest.raises(ManifestError, match="is the manifest of iris/1, not of this directory"):
        Manifest.load(moved)


def test_an_artifact_that_was_not_published_is_named(tmp_path: Path) -> None:
    version_dir = write_version(tmp_path)
    text = (version_dir / MANIFEST).read_text(encoding="utf-8")
    loaded = json.loads(text)
    del loaded["artifacts"]["torch"]
    (version_dir / MANIFEST).write_text(json.dumps(loaded), encoding="utf-8")
    with pytest.raises(ManifestError, match="got 'torch', it has artifacts for: tensorflow"):
        verify(version_dir, "torch")


@given(data=st.data(), name=st.sampled_from(sorted(FILES)))
def test_one_changed_byte_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str
) -> None:
    """Any byte of any file of an artifact; the other artifact is none the worse."""
    version_dir = write_version(tmp_path_factory.mktemp("store"))
    content = bytearray(FILES[name])
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    (version_dir / name).write_bytes(content)
    touched, other = ("torch", "tensorflow") if name == "model.pt2" else ("tensorflow", "torch")
    with pytest.raises(ManifestError) as caught:
        verify(version_dir, touched)  # type: ignore[arg-type]  # one of the two literals
    assert str(version_dir / name) in str(caught.value)
    assert "the manifest wants" in str(caught.value)
    verify(version_dir, other)  # type: ignore[arg-type]  # one of the two literals
    shutil.rmtree(version_dir)


def test_a_missing_file_is_found(tmp_path: Path) -> None:
    version_dir = write_version(tmp_path)
    (version_dir / "model.pt2").unlink()
    with pytest.raises(ManifestError, match=r"model\.pt2: missing"):
        verify(version_dir, "torch")


def test_a_link_is_not_a_file(tmp_path: Path) -> None:
    """A link could be pointed elsewhere after the check."""
    version_dir = write_version(tmp_path)
    package = version_dir / "model.pt2"
    package.rename(tmp_path / "elsewhere")
    package.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ManifestError, match="not a regular file"):
        verify(version_dir, "torch")


def test_versions_are_the_integer_directories_in_order(tmp_path: Path) -> None:
    for name in ("1", "10", "2", "01", "-1", "latest", "__pycache__", ".build"):
        (tmp_path / "iris" / name).mkdir(parents=True)
    (tmp_path / "iris" / "3").write_text("a file", encoding="utf-8")
    assert versions(tmp_path, "iris") == (1, 2, 10)
    assert versions(tmp_path, "unknown") == ()
    assert versions(tmp_path, "../iris") == ()
