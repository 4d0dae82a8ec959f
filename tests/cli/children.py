"""Children that say through a socket in their directory what they do; nobody has to look again and again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.cli.processes import Launch

__all__ = ["SAYS", "STAYS", "WAIT_S", "door", "python"]

WAIT_S = 20.0

SAYS = """\
import signal, socket, subprocess, sys

def say(*words):
    with socket.socket(socket.AF_UNIX) as door:
        door.connect("door")
        door.sendall(" ".join(map(str, words)).encode())
"""
STAYS = SAYS + "say('ready')\nsignal.pause()"


def python(name: str, program: str, *, cwd: Path, grace_s: float = 10.0) -> Launch:
    """A launch of a Python program."""
    return Launch(name=name, argv=(sys.executable, "-c", program), cwd=cwd, grace_s=grace_s)


@asynccontextmanager
async def door(directory: Path) -> AsyncIterator[asyncio.Queue[str]]:
    """What the children in a directory say, in the order they say it."""
    said: asyncio.Queue[str] = asyncio.Queue()

    async def on_visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.put_nowait((await reader.read()).decode())
        writer.close()

    async with await asyncio.start_unix_server(on_visit, directory / "door"):
        async with asyncio.timeout(WAIT_S):
            yield said
