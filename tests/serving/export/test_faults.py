"""A real fault in one framework is refused by the gate, and its cause is named first.

Weights are trained once. Each fault is put into a copy of the definitions, which is exported anew in one
framework; the other framework's export is the sound one.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from model_store.definition import find
from model_store.records import Framework
from serving.export.environments import Environments
from serving.export.steps import Steps
from serving.export.work import Work
from tests.serving.export.faults import KERAS_FAULTS, TORCH_FAULTS, Fault, overlay

pytestmark = pytest.mark.slow

DRIVER = Path(__file__).with_name("spoil.py")
TIMEOUT_S = 900


def one_sided(model: str, framework: Framework, environments: Environments, root: Path) -> Steps:
    """A build in which only this framework has been exported and asked."""
    work = root / model
    work.mkdir()
    steps = Steps(find(model), environments, Work(work))
    steps.train()
    steps.export((framework,))
    steps.ask((framework,))
    steps.look_inside((framework,))
    return steps


def spoil(
    sound: Steps, framework: Framework, faults: Mapping[str, Fault], root: Path
) -> dict[str, Steps]:
    """For each fault a copy of the build, exported and asked with the fault in the framework."""
    spoiled: dict[str, Steps] = {}
    arguments: list[str] = []
    for name, fault in faults.items():
        folder = root / name.replace(" ", "-")
        work = shutil.copytree(sound.work.root, folder / sound.definition.name)
        arguments += [str(overlay(fault, folder / "copy")), str(work)]
        spoiled[name] = Steps(sound.definition, sound.environments, Work(work))
    python = sound.environments.python(framework)
    subprocess.run(
        [str(python), str(DRIVER), framework, *arguments],
        env=sound.environments.variables(),
        check=True,
        timeout=TIMEOUT_S,
    )
    return spoiled


@pytest.fixture(scope="module")
def digits_in_torch(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Steps:
    """digits, trained, and the answers of its sound torch export."""
    return one_sided("digits", "torch", environments, tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def spoiled_keras(
    digits_in_torch: Steps, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Steps]:
    """digits with each of Keras' faults, by name."""
    root = tmp_path_factory.mktemp("keras")
    return spoil(digits_in_torch, "tensorflow", KERAS_FAULTS, root)


@pytest.fixture(scope="module")
def spoiled_torch(
    environments: Environments, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Steps]:
    """iris with each of torch's faults, by name."""
    root = tmp_path_factory.mktemp("torch")
    sound = one_sided("iris", "tensorflow", environments, root)
    return spoil(sound, "torch", TORCH_FAULTS, root)


def check(steps: Steps, fault: Fault) -> None:
    """The gate refuses the build, and the first cause it names is the fault that was put in."""
    error = steps.work.root / "error.txt"
    assert not error.exists(), error.read_text(encoding="utf-8")
    verdict = steps.judge()
    causes = steps.find_causes()
    assert verdict.passed == (not fault.cause)
    if fault.cause:
        assert causes[0].name == fault.cause, causes
        assert fault.at in causes[0].evidence


@pytest.mark.parametrize("name", KERAS_FAULTS)
def test_a_fault_in_keras_is_refused_and_named(name: str, spoiled_keras: dict[str, Steps]) -> None:
    check(spoiled_keras[name], KERAS_FAULTS[name])


@pytest.mark.parametrize("name", TORCH_FAULTS)
def test_a_fault_in_torch_is_refused_and_named(name: str, spoiled_torch: dict[str, Steps]) -> None:
    check(spoiled_torch[name], TORCH_FAULTS[name])
