"""Is a TensorProto read as TensorFlow reads it, whatever is in it?"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.serving.processes import run_module

pytestmark = pytest.mark.slow


def test_odd_messages_are_read_as_tensorflow_reads_them(tf_python: Path, root: Path) -> None:
    told = run_module(
        tf_python, root, "tests.serving.tf_serving.tensor_protos", "1", "6000"
    ).splitlines()
    seen = ast.literal_eval(told[-1])
    assert seen.keys() == {"refused", "taken"}, told[:12]
    assert min(seen.values()) > 200
