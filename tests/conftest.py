"""What every test may ask for: the hypothesis profiles and the interpreters of the environments."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# No deadline anywhere: a busy machine is not a failing test. CI repeats itself exactly.
settings.register_profile("dev", deadline=None)
settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if "CI" in os.environ else "dev")
)


def _python_of(environment: str) -> Path:
    python = ROOT / environment / "bin" / "python"
    if not python.exists():
        pytest.fail(f"{environment} is missing: run `make setup`")
    return python


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def gateway_python() -> Path:
    """The interpreter that has neither framework."""
    return _python_of(".venv")


@pytest.fixture(scope="session")
def torch_python() -> Path:
    """The interpreter that has PyTorch."""
    return _python_of(".venv-torch")


@pytest.fixture(scope="session")
def tf_python() -> Path:
    """The interpreter that has TensorFlow."""
    return _python_of(".venv-tf")
