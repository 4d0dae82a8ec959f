"""May a backend be asked about inputs that do not fit its signature? What ends TensorFlow's process, and what does not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TIMEOUT_S = 600


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the signatures are exported to, by the first run."""
    return tmp_path_factory.mktemp("misfits") / "1"


def feed(
    folder: Path, tf_python: Path, root: Path, *flags: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tf_python, "-m", "tests.serving.tf_serving.misfits", folder, *flags],
        cwd=root,
        env={"PYTHONPATH": str(root), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


def test_other_sizes_of_the_declared_rank_are_refused_at_worst(
    folder: Path, tf_python: Path, root: Path
) -> None:
    ran = feed(folder, tf_python, root, "--declared-ranks")
    lines = ran.stdout.splitlines()
    assert lines[-1:] == ["finished"], (lines[-2:], ran.stderr[-1000:])
    assert sum(line.startswith("try") for line in lines) > 3000
    assert sum(line.startswith("refused") for line in lines) > 300


def test_another_rank_may_end_the_process(folder: Path, tf_python: Path, root: Path) -> None:
    """Ids into an embedding and a convolution, a list of them instead of rows."""
    ran = feed(folder, tf_python, root, "--only", "embedding_conv")
    assert ran.returncode < 0
    assert ran.stdout.splitlines()[-1].startswith("try")
    assert "embedding_conv:1" in ran.stdout.splitlines()[-1]
