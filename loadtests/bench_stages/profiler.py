"""Which stacks does a running gateway have, and what does each of its threads use?

py-spy stops the process for each stack, some milliseconds with native frames, and reads the memory: nothing is added to
the process. Its very first stacks take seconds, in which it reads every library's symbols.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from loadtests.bench.processes import ROOT, Running, pause, running

__all__ = ["cpu_s_of_threads", "spent", "watched"]

_START_S, _WRITE_S = 60.0, 60.0
_SAMPLES = "Sampling process"
_PRIORITY = -10  # who waits for the profiler stands still
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@contextmanager
def watched(pid: int, rate_per_s: int, scratch: Path, *, core: int | None) -> Iterator[Path]:
    """Take stacks of the process until the block ends; the file is there after that.

    Ends the program when the profiler cannot do its work, with what it said.

    Args:
        pid: Of the process.
        rate_per_s: Stacks a second.
        scratch: A folder, for the file and what the profiler says.
        core: Where the profiler runs; None for anywhere. The process' own is free while it stands still.
    """
    stacks = scratch / "stacks.txt"
    stacks.unlink(missing_ok=True)
    argv: list[str | Path] = [
        ROOT / ".venv/bin/py-spy", "record", "--pid", str(pid), "--rate", str(rate_per_s),
        "--native", "--threads", "--nolineno", "--format", "raw", "--output", stacks,
    ]  # fmt: skip
    with running("py-spy", argv, core=core, logs=scratch) as profiler:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, profiler.process.pid, _PRIORITY)
        _wait_for_word(profiler)
        yield stacks
        profiler.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            profiler.process.wait(_WRITE_S)
    if not stacks.is_file():
        _give_up(profiler)


def _wait_for_word(profiler: Running) -> None:
    """It says that it begins, or why it cannot."""
    until = time.monotonic() + _START_S
    while profiler.process.poll() is None and time.monotonic() < until:
        if _SAMPLES in profiler.log.read_text(errors="replace"):
            return
        pause(0.05)
    _give_up(profiler)


def _give_up(profiler: Running) -> NoReturn:
    sys.exit(f"py-spy took no stacks:\n{profiler.log.read_text(errors='replace')[-2000:]}")


def cpu_s_of_threads(pid: int) -> dict[int, float]:
    """Seconds of CPU, user and system, that each thread of the process has used so far."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
            found[int(task.name)] = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return found


def spent(before: Mapping[int, float], after: Mapping[int, float]) -> dict[int, float]:
    """Seconds of CPU by thread between two of those, of the threads that were there at the end."""
    return {thread: used_s - before.get(thread, 0.0) for thread, used_s in after.items()}
