from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from serving.torch_server.scratch import scratch_folder

_HOLD = """
import sys
from serving.torch_server.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "unpacked").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def test_the_folder_is_ours_alone_and_gone_at_the_end() -> None:
    with scratch_folder() as folder, scratch_folder() as other:
        assert folder != other
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "unpacked").write_text("x")
    assert not folder.exists()
    assert not other.exists()


def test_what_a_killed_server_left_is_removed_and_what_a_living_one_has_is_not(root: Path) -> None:
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", _HOLD],
            env={**os.environ, "PYTHONPATH": str(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    folders = []
    for holder in holders:
        assert holder.stdout is not None
        folders.append(Path(holder.stdout.readline().strip()))
    holders[0].send_signal(signal.SIGKILL)
    holders[0].communicate()
    with scratch_folder():
        assert [folder.exists() for folder in folders] == [False, True]
    holders[1].communicate()
    assert not folders[1].exists()
