"""The command builds what changed, does nothing when nothing did, and leaves nothing behind.

Each environment is a script that writes down how it was called before it becomes the real interpreter.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from model_store.held_out import TEST_SET, HeldOut
from model_store.manifest import Manifest, verify, versions
from tests.serving.export.faults import Fault, overlay

pytestmark = pytest.mark.slow

TIMEOUT_S = 600

SOFTMAX_IN_KERAS = Fault(
    file="model_store/iris/keras_model.py",
    sound='Dense(3, name="logits")',
    faulty='Dense(3, activation="softmax", name="logits")',
    cause="softmax vs logits",
    at="tensorflow",
)


@dataclass(frozen=True, slots=True)
class Command:
    """The build's command line, with a store and interpreters of its own."""

    python: Path
    root: Path
    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def start(self, *arguments: str, root: Path | None = None) -> subprocess.Popen[str]:
        """Start `build iris`; the modules are those of `root`."""
        return subprocess.Popen(
            [
                *(str(self.python), "-P", "-m", "serving.export", "build", "iris"),
                *("--store", str(self.store)),
                *("--torch-python", str(self.folder / "torch")),
                *("--tf-python", str(self.folder / "tf")),
                *arguments,
            ],
            env={**os.environ, "PYTHONPATH": f"{root or self.root}:{self.root}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, root: Path | None = None) -> tuple[int, str, str]:
        """Run it to its end: exit status, standard output, standard error."""
        with self.start(*arguments, root=root) as process:
            out, err = process.communicate(timeout=TIMEOUT_S)
        return process.returncode, out, err

    def calls(self) -> list[str]:
        """How the environments were called since this was last asked."""
        log = self.folder / "calls"
        text = log.read_text(encoding="utf-8") if log.exists() else ""
        log.unlink(missing_ok=True)
        return text.splitlines()

    def leftovers(self) -> list[Path]:
        """What lies in the build's scratch folder."""
        return list((self.store / ".build").iterdir())


def make_command(
    folder: Path, root: Path, gateway_python: Path, pythons: dict[str, Path]
) -> Command:
    """A command whose interpreters are scripts in `folder`."""
    for name, python in pythons.items():
        script = folder / name
        script.write_text(
            f'#!/bin/sh\necho "$$ {name} $*" >> {folder}/calls\nexec {python} "$@"\n',
            encoding="utf-8",
        )
        script.chmod(0o755)
    return Command(gateway_python, root, folder)


@pytest.fixture
def command(
    tmp_path: Path, root: Path, gateway_python: Path, torch_python: Path, tf_python: Path
) -> Command:
    """A command with an empty store."""
    pythons = {"torch": torch_python, "tf": tf_python}
    return make_command(tmp_path, root, gateway_python, pythons)


def test_a_model_is_built_once(command: Command) -> None:
    status, out, err = command.run()
    assert status == 0, err
    assert out.startswith("iris ✓ parity ")
    assert out.endswith("10/10 and 30/30 same decisions, accuracy 0.967 both (version 1)\n")
    assert not command.leftovers()
    check_version(command.store / "iris" / "1")
    command.calls()

    status, out, _ = command.run("--json")
    assert status == 0
    (told,) = json.loads(out)
    assert (told["status"], told["version"]) == ("unchanged", 1)
    assert not [call for call in command.calls() if " -m " in call], "a step was run again"


def test_a_broken_environment_is_named(command: Command) -> None:
    (command.folder / "tf").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    status, out, err = command.run()
    assert (status, out) == (3, "")
    assert "tf: does not say what it holds" in err


def check_version(version_dir: Path) -> None:
    """Both artifacts are as the manifest says, and the test set can be asked without a framework."""
    manifest = Manifest.load(version_dir)
    verify(version_dir, "torch")
    verify(version_dir, "tensorflow")
    assert set(manifest.artifact("tensorflow").files) >= {"saved_model.pb", "fingerprint.pb"}
    assert manifest.artifact("torch").options["aot_inductor.check_lowerbound"] is False
    training = manifest.training
    assert training.optimizer is not None
    assert training.optimizer.epsilon == 1e-8
    assert (training.data.rows_train, training.data.rows_test) == (120, 30)
    held_out = HeldOut.load(version_dir / TEST_SET)
    right = held_out.is_right(np.arange(held_out.rows), held_out.expected["logits"])
    assert right.mean() == pytest.approx(training.accuracy["torch"])


def test_a_damaged_version_is_not_taken_for_the_newest(command: Command) -> None:
    """It has the fingerprint, but not the bytes: another is built."""
    damaged = command.store / "iris" / "1"
    damaged.mkdir(parents=True)
    (damaged / "manifest.json").write_text("{}", encoding="utf-8")
    with command.start() as process:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT_S)
    assert "iris: version 1 is damaged, another is built: " in lines[0]
    assert lines[1] == "  iris: training\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_ended_leaves_nothing_behind(command: Command, number: int) -> None:
    with command.start() as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "  iris: training\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert (out, err) == ("", "")
    assert not command.leftovers()
    assert versions(command.store, "iris") == ()
    assert not [call for call in command.calls() if Path(f"/proc/{call.split()[0]}").exists()]


def test_a_refused_build_is_not_published_and_says_why(command: Command) -> None:
    faulty = overlay(SOFTMAX_IN_KERAS, command.folder / "copy")
    status, out, err = command.run(root=faulty)
    assert status == 1, err
    assert out.startswith("iris ✗ not published")
    assert "tensorflow against the definition: logits: " in out
    assert "torch against the definition" not in out
    assert "1. softmax vs logits: logits of tensorflow is the softmax of the other's" in out
    assert versions(command.store, "iris") == ()
    assert not command.leftovers()
