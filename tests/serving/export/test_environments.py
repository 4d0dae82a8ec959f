"""Steps run at the same time in their own sessions, and none outlives its call."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from model_store.records import Framework
from serving.export.environments import Environments, Step, StepFailed, run_steps

# A step that tells its process id, and then fails, waits for ever or meets the other one.
STEP = """
import os, signal, socket, subprocess, sys
mode, folder = sys.argv[1:]
print("this is", mode)
if mode == "wait":
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    with open(f"{folder}/pids.tmp", "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    os.rename(f"{folder}/pids.tmp", f"{folder}/pids")
    with open(f"{folder}/ready", "w") as ready:
        ready.write("x")
    signal.pause()
if mode == "fail":
    open(f"{folder}/ready").read()  # a named pipe: the other one is up
    sys.exit("this went wrong")
if mode == "first":
    open(f"{folder}/ready", "w").close()
if mode == "second":
    open(f"{folder}/ready").close()
print("path", os.environ["PYTHONPATH"])
"""


@pytest.fixture
def environments(gateway_python: Path, tmp_path: Path) -> Environments:
    """Environments whose steps are `STEP`; the folder holds a named pipe for them to meet at."""
    package = tmp_path / "roots" / "serving" / "export"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    for name in ("torch_steps.py", "tensorflow_steps.py"):
        (package / name).write_text(STEP, encoding="utf-8")
    os.mkfifo(tmp_path / "ready")
    return Environments(
        torch=gateway_python,
        tensorflow=gateway_python,
        cache=tmp_path,
        roots=(tmp_path / "roots",),
    )


def step(framework: Framework, mode: str, folder: Path) -> Step:
    """A step in one of the modes of `STEP`."""
    log = folder / f"{mode}.log"
    return Step(name=f"{mode} step", framework=framework, arguments=(mode, str(folder)), log=log)


def has_ended(pid: int) -> bool:
    """Whether the process is gone. It was killed; the kernel is given a while to bury it."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 30)[0])
    finally:
        os.close(process)


def test_steps_run_at_the_same_time(environments: Environments, tmp_path: Path) -> None:
    """Each opens one end of a named pipe, which waits for the other."""
    steps = [step("torch", "first", tmp_path), step("tensorflow", "second", tmp_path)]
    run_steps(environments, steps)
    text = (tmp_path / "first.log").read_text(encoding="utf-8")
    assert text == f"this is first\npath {tmp_path / 'roots'}\n"


def test_a_failed_step_ends_the_others_and_what_they_started(
    environments: Environments, tmp_path: Path
) -> None:
    steps = [step("torch", "fail", tmp_path), step("tensorflow", "wait", tmp_path)]
    with pytest.raises(StepFailed) as caught:
        run_steps(environments, steps)
    assert "fail step: exit status 1" in str(caught.value)
    assert "this went wrong" in str(caught.value)
    pids = (tmp_path / "pids").read_text(encoding="utf-8").split()
    assert len(pids) == 2
    assert all(has_ended(int(pid)) for pid in pids)


def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    nowhere = Environments(torch=tmp_path / "none", tensorflow=tmp_path / "none", cache=tmp_path)
    with pytest.raises(StepFailed, match=r"first step: cannot start .*none: No such file"):
        run_steps(nowhere, [step("torch", "first", tmp_path)])
