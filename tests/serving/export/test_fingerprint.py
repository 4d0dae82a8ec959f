"""What decides a build is in its fingerprint, and nothing else is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import serving.export
from model_store.definition import SourceFile, find
from serving.export.environments import Environments, StepFailed
from serving.export.fingerprint import (
    MODULES,
    NEUTRAL_MODULES,
    code_digest,
    fingerprint,
    probe_environments,
)

CODE = '''
def f(x):
    """Twice."""
    return x * 2  # why
'''


@pytest.fixture
def only_gateway(gateway_python: Path, tmp_path: Path) -> Environments:
    """Environments that hold neither framework."""
    return Environments(torch=gateway_python, tensorflow=gateway_python, cache=tmp_path)


def test_every_module_of_the_build_is_in_it_or_known_to_be_neutral() -> None:
    here = Path(serving.export.__path__[0])
    modules = {path.stem for path in here.glob("*.py")} - {"__init__"}
    assert modules == {*MODULES, *NEUTRAL_MODULES}
    assert not set(MODULES) & set(NEUTRAL_MODULES)


@pytest.mark.parametrize(
    "same",
    [
        CODE.replace("  # why", ""),
        CODE.replace("Twice.", "Two times."),
        CODE.replace('    """Twice."""\n', ""),
        CODE.replace("x * 2", "(x   *   2)"),
    ],
)
def test_comments_docstrings_and_formatting_do_not_count(same: str) -> None:
    assert code_digest(same) == code_digest(CODE)


@pytest.mark.parametrize("other", [CODE.replace("2", "3"), CODE.replace("x", "y"), CODE + "y = 1"])
def test_what_the_code_does_counts(other: str) -> None:
    assert code_digest(other) != code_digest(CODE)


@given(st.sampled_from(["cpu", "cuda"]), st.dictionaries(st.text(), st.text(), max_size=3))
def test_environments_and_device_count(device: str, environments: dict[str, object]) -> None:
    one = fingerprint(find("iris"), environments, device)
    assert one == fingerprint(find("iris"), dict(reversed(environments.items())), device)
    assert one != fingerprint(find("digits"), environments, device)
    assert one != fingerprint(find("iris"), {**environments, "more": ""}, device)
    assert one != fingerprint(find("iris"), environments, f"{device}:1")


def test_an_environment_says_what_it_holds(only_gateway: Environments) -> None:
    definition = dataclasses.replace(
        find("iris"), sources=(SourceFile(distribution="numpy", path="numpy/version.py"),)
    )
    found = probe_environments(definition, only_gateway)
    torch = found["torch"]
    assert isinstance(torch, dict)
    assert torch["versions"]["torch"] is None
    assert torch["versions"]["numpy"]
    assert len(torch["files"]["numpy:numpy/version.py"]) == 64
    assert found == probe_environments(definition, only_gateway)


def test_missing_data_and_interpreters_are_named(
    only_gateway: Environments, tmp_path: Path
) -> None:
    with pytest.raises(StepFailed, match=r"no file scikit-learn:sklearn/datasets/data/iris\.csv"):
        probe_environments(find("iris"), only_gateway)
    nowhere = dataclasses.replace(only_gateway, torch=tmp_path / "python")
    with pytest.raises(StepFailed, match="`make setup` makes the environments"):
        probe_environments(find("iris"), nowhere)
