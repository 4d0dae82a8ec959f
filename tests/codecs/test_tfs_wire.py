"""Are our own stubs the real TensorFlow Serving's messages, in field numbers and in bytes?"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest


@pytest.mark.slow
def test_fields_and_bytes_agree_with_the_real_stubs(tf_python: Path, root: Path) -> None:
    """In an interpreter of its own: tensorflow is not in the gateway's environment."""
    done = subprocess.run(
        [tf_python, "-m", "tests.codecs.against_tensorflow"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    agreed = re.fullmatch(r"(\d+) fields and (\d+) tensors agree", done.stdout.strip())
    assert agreed is not None
    assert int(agreed[1]) > 50
    assert int(agreed[2]) == 42
