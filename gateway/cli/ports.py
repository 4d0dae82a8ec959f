"""Can we listen there, and if not, who does already?"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.cli.terminal import CommandError
from gateway.control.addresses import split_address

__all__ = ["UNIX", "holder_of", "is_local", "require_free"]

UNIX = "unix:"
_PROBE_S = 1.0
_LISTENING = "0A"  # in /proc/net/tcp


def require_free(addresses: Mapping[str, str]) -> None:
    """Check that every address, by the name of its setting, can be listened on now.

    Raises:
        CommandError: names each one that cannot, its setting, and the process that holds the port.
    """
    problems = [
        f"{setting}: {problem}"
        for setting, address in addresses.items()
        if (problem := _problem(address)) is not None
    ]
    if problems:
        raise CommandError("cannot listen\n" + "\n".join(f"  {problem}" for problem in problems))


def is_local(address: str) -> bool:
    """Whether `host:port` is on this machine's loopback interface."""
    try:
        host, _ = split_address(address)
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (ValueError, OSError):
        return False
    return all(str(info[4][0]).startswith("127.") or info[4][0] == "::1" for info in found)


def holder_of(port: int) -> str | None:
    """The process that listens on a TCP port, `pid 4711 (python -m http.server)`; None if not to be seen.

    Only the owner of a process, or root, can see its sockets.
    """
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        if any(link in inodes for link in _links(process / "fd")):
            return f"pid {process.name} ({_command(process)})"
    return None


def _problem(address: str) -> str | None:
    if address.startswith(UNIX):
        return _socket_problem(address)
    host, port = split_address(address)
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[
            0
        ]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(where)
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            return f"{address}: {exc.strerror}"
        holder = holder_of(port)
        by = f"{holder}; stop it" if holder else "a process that we may not see, or by a connection"
        return f"{address} is taken by {by}, or choose another port"
    return None


def _socket_problem(address: str) -> str | None:
    path = Path(address.removeprefix(UNIX))
    if not path.parent.is_dir():
        return f"{address}: there is no folder {path.parent}"
    with socket.socket(socket.AF_UNIX) as trial:
        trial.settimeout(_PROBE_S)
        try:
            trial.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None  # not there, or left by a server that has ended
        except OSError as exc:
            return f"{address}: {exc.strerror or exc}"
    return f"{address} is taken by another server; stop it, or choose another path"


def _listening_inodes(port: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue  # no IPv6, or not Linux
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _links(folder: Path) -> Iterator[str]:
    try:
        descriptors = list(folder.iterdir())
    except OSError:
        return  # not ours, or gone
    for descriptor in descriptors:
        try:
            yield str(descriptor.readlink())
        except OSError:
            continue  # closed meanwhile


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "unknown"
    return " ".join(words).strip()[:80] or "unknown"
