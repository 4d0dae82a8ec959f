from __future__ import annotations

import contextlib
import io
import json
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.manifest import describe_files
from serving.torch_server.package import (
    Limits,
    PackageRefused,
    check_archive,
    choose_device,
    open_verified,
)
from tests.serving.torch_server.archives import LIBRARY, archive, package


def check(data: bytes, limits: Limits | None = None) -> None:
    file = io.BytesIO(data)
    check_archive(file, device="cpu", machine="x86_64", limits=limits or Limits())
    assert file.tell() == 0


def refusal(data: bytes, limits: Limits | None = None) -> PackageRefused:
    with pytest.raises(PackageRefused) as caught:
        check(data, limits)
    return caught.value


def linked(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def test_a_sound_package_passes() -> None:
    check(package())


@pytest.mark.parametrize("name", ["/etc/x", "../x", "m/../../x", "m/..", "m\\..\\x", "c:/x"])
def test_names_that_leave_the_folder_are_refused(name: str) -> None:
    assert "leaves the folder" in str(refusal(package(more={name: b""})))


def test_a_name_that_hides_something_behind_a_nul_is_refused() -> None:
    data = package(more={"m/data/x_y": b""}).replace(b"m/data/x_y", b"m/data/x\0y")
    assert "leaves the folder" in str(refusal(data))


def test_links_are_refused() -> None:
    assert "neither a file nor a folder" in str(refusal(package(more={linked("m/x"): b"/etc"})))


def test_an_entry_given_twice_is_refused() -> None:
    data = package(more={"m/one": b"", "m/two": b""}).replace(b"m/two", b"m/one")
    assert "twice" in str(refusal(data))


@pytest.mark.parametrize(
    "content",
    [
        b'{"w": {"use_pickle": true}}',
        b'{"config": [[{"a": {"use_pickle": 1}}]]}',
        b"[" * 100_000,
        b"not json",
    ],
)
def test_a_config_that_asks_to_be_unpickled_or_cannot_be_read_is_refused(content: bytes) -> None:
    name = "m/data/weights/model_weights_config.json"
    assert refusal(package(more={name: content})).reason == "archive"
    check(package(more={name: b'{"w": {"use_pickle": false}}'}))


def test_a_pickle_is_refused() -> None:
    assert "unpickled" in str(refusal(package(more={"m/data/x.pkl": b""})))


def test_what_unpacks_to_too_much_is_refused() -> None:
    assert "at most 3 are taken" in str(
        refusal(package(more={"a": b"", "b": b""}), Limits(max_entries=3))
    )
    assert "at most 10 are taken" in str(refusal(package(), Limits(max_unpacked_bytes=10)))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("m/zeros", bytes(10_000_000))
    assert "at most 200 times" in str(refusal(file.getvalue()))
    large = {"m/x_config.json": json.dumps("x" * 200).encode()}
    assert "at most 100 are" in str(refusal(package(more=large), Limits(max_config_bytes=100)))


@pytest.mark.parametrize("target", [{}, {"AOTI_DEVICE_KEY": "cuda", "AOTI_MACHINE": "x86_64"}])
def test_a_package_for_another_device_is_refused(target: dict[str, str]) -> None:
    refused = refusal(package(target=target))
    assert refused.reason == "device"
    assert "this worker wants 'cpu'" in str(refused)


def test_a_package_for_another_machine_is_refused() -> None:
    target = {"AOTI_DEVICE_KEY": "cpu", "AOTI_MACHINE": "riscv64"}
    assert "'riscv64'" in str(refusal(package(target=target)))


def test_a_package_without_its_one_model_is_refused() -> None:
    assert "wanted one named 'model'" in str(refusal(archive({"m/x": b""})))
    assert "wanted one named" in str(refusal(package(more={"m/other.wrapper.so": b""})))
    assert "not what a compiler wrote" in str(refusal(archive({LIBRARY: b""})))


def test_a_truncated_package_is_refused_at_every_length() -> None:
    data = package()
    for length in range(0, len(data), 7):
        assert refusal(data[:length]).reason == "archive"


@given(st.data())
def test_a_damaged_package_passes_or_is_refused_and_never_another_error(
    data: st.DataObject,
) -> None:
    damaged = bytearray(package())
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PackageRefused):
        check(bytes(damaged))


def test_a_verified_file_is_open_at_its_start(tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(b"a package")
    (tmp_path / "more").write_bytes(b"and more")
    files = describe_files(tmp_path, ("model.pt2", "more"))
    with open_verified(tmp_path, "model.pt2", files) as file:
        assert file.read() == b"a package"


def test_a_file_that_differs_from_its_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(b"a package")
    files = describe_files(tmp_path, ("model.pt2",))
    (tmp_path / "model.pt2").write_bytes(b"A package")
    with pytest.raises(PackageRefused, match=r"model\.pt2: got sha256 .* wants") as caught:
        open_verified(tmp_path, "model.pt2", files)
    assert caught.value.reason == "integrity"


def test_a_file_that_is_missing_or_a_link_or_outside_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (tmp_path / "real").write_bytes(b"x")
    (record,) = describe_files(tmp_path, ("real",)).values()
    (folder / "link").symlink_to(folder / "real")
    (folder / "real").write_bytes(b"x")
    (folder / "out").symlink_to(tmp_path / "real")
    for name in ("missing", "link", "out", "../real", "/etc/hostname"):
        with pytest.raises(PackageRefused) as caught:
            open_verified(folder, name, {name: record})
        assert caught.value.reason == "integrity"


def test_the_entry_is_one_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    with pytest.raises(PackageRefused, match="not among its files"):
        open_verified(tmp_path, "other", describe_files(tmp_path, ("real",)))


@pytest.mark.parametrize(
    ("asked", "built_for", "device"),
    [
        ("auto", "cpu", "cpu"),
        ("auto", "cuda", "cuda"),
        ("auto", "any", "cpu"),
        ("cpu", "cpu", "cpu"),
        ("cpu", "any", "cpu"),
        ("cuda", "cuda", "cuda"),
        ("cuda", "any", "cuda"),
        ("cpu", "cuda", None),
        ("cuda", "cpu", None),
    ],
)
def test_a_package_runs_where_it_was_built_for_if_the_operator_takes_that(
    asked: str, built_for: str, device: str | None
) -> None:
    if device is not None:
        assert choose_device(asked, built_for) == device
        return
    with pytest.raises(PackageRefused, match=f"built for {built_for}, the server takes {asked}"):
        choose_device(asked, built_for)
