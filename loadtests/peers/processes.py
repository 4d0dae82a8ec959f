"""What have a process and all that it started used, and how do they end? From Linux's /proc."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loadtests.bench.processes import Running

__all__ = ["Family"]

STOP_S = 6.0  # what does not end by itself by then is killed; its figures are taken
_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of /proc: `born` tells a process from a later one of the same number."""

    pid: int
    parent: int
    session: int
    born: int
    ticks: int


@dataclass(frozen=True, slots=True)
class Family:
    """A process that leads a session of its own, its session, and all their descendants."""

    running: Running

    def cpu_s(self) -> float:
        """Processor seconds, user and system, of all of them and of those that have ended and were waited for."""
        return sum(entry.ticks for entry in self._members()) / _TICKS_PER_S

    def stop(self) -> None:
        """Ask the first to end, and end whoever is left after that."""
        members = self._members()
        process = self.running.process
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        process.kill()  # nothing, if it has ended
        process.wait()
        # Also those that were started meanwhile: they are still of its session.
        known = {(entry.pid, entry.born) for entry in [*members, *self._members()]}
        for entry in _entries():
            if (entry.pid, entry.born) in known:
                _end(entry.pid)

    def _members(self) -> list[_Entry]:
        first = self.running.process.pid
        entries = _entries()
        found = {entry.pid for entry in entries if first in (entry.session, entry.pid)}
        while True:  # one generation a turn
            more = {entry.pid for entry in entries if entry.parent in found} - found
            if not more:
                return [entry for entry in entries if entry.pid in found]
            found |= more


def _end(pid: int) -> None:
    """Kill it, and wait until it is gone."""
    with suppress(ProcessLookupError):
        ended = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(ended, signal.SIGKILL)
            select.select([ended], [], [], STOP_S)
        finally:
            os.close(ended)


def _entries() -> list[_Entry]:
    found = []
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                found.append(_entry(int(folder.name), (folder / "stat").read_text()))
    return found


def _entry(pid: int, stat: str) -> _Entry:
    # After the name, which may hold anything: state, parent, group, session, ...; proc(5).
    fields = stat.rsplit(")", 1)[1].split()
    return _Entry(
        pid=pid,
        parent=int(fields[1]),
        session=int(fields[3]),
        born=int(fields[19]),
        ticks=sum(map(int, fields[11:15])),  # user, system, and both of children waited for
    )
