"""What the tests of the build share: the environments, and a trained model to spoil."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.export.environments import Environments


@pytest.fixture(scope="session")
def environments(
    torch_python: Path, tf_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Environments:
    """The real environments, with one cache of compiled headers for the whole session."""
    cache = tmp_path_factory.mktemp("cache")
    return Environments(torch=torch_python, tensorflow=tf_python, cache=cache)
