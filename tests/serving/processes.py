"""A server that a test starts as a process, and the events that it writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

__all__ = ["TIMEOUT_S", "ServerProcess", "run_module"]

TIMEOUT_S = 240.0  # importing a framework on a busy machine takes its time


class ServerProcess:
    """`python -m MODULE ARGUMENTS`, whose standard error is one JSON object a line.

    Attributes:
        events: What it wrote, in order; the last one is `ended`, which is ours.
        noise: The lines that were no events.
    """

    def __init__(self, python: Path, root: Path, module: str, arguments: Sequence[str]) -> None:
        self.events: list[dict[str, Any]] = []
        self.noise: list[str] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [python, "-m", module, *arguments],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        self._stderr = self._process.stderr
        self._reader = threading.Thread(target=self._read, args=(self._stderr,))
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def wait_for(self, event: str, **fields: object) -> dict[str, Any]:
        """The first such event; fails if the process ends without it."""
        wanted = {"event": event, **fields}

        def find() -> dict[str, Any] | None:
            for seen in self.events:
                if wanted.items() <= seen.items() or seen["event"] == "ended":
                    return seen
            return None

        with self._news:
            found = self._news.wait_for(find, TIMEOUT_S)
        assert found is not None, f"no {wanted} in {TIMEOUT_S} s: {self.events} {self.noise}"
        assert wanted.items() <= found.items(), f"no {wanted}: {self.events} {self.noise}"
        return found

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait until it has ended and all it wrote was read; the exit status."""
        status = self._process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        return status

    def close(self) -> None:
        """End it, whatever state it is in."""
        self._process.kill()
        self.wait()
        self._stderr.close()

    def _read(self, stderr: IO[str]) -> None:
        for line in stderr:
            with self._news:
                try:
                    self.events.append(json.loads(line))
                except json.JSONDecodeError:
                    self.noise.append(line)
                self._news.notify_all()
        with self._news:
            self.events.append({"event": "ended"})
            self._news.notify_all()


def run_module(
    python: Path, root: Path, module: str, *arguments: str, sent: str | None = None
) -> str:
    """Run a module of the tests in another environment to its end; what it printed."""
    done = subprocess.run(
        [python, "-m", module, *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        input=sent,
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
