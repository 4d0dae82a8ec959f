"""What does the process do that heavy work is given to? `python -m gateway.servers.heavy_worker PARENT`.

It answers one message after the other on the socket that is its standard input, and lives no longer than
its parent: the kernel kills it when the parent dies (Linux), and it ends when the socket does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from io import BufferedReader
from typing import cast

from gateway.errors import GatewayError
from gateway.servers.heavy_wire import COUNT, Part, dump, exhaust, load, sizes_of, written

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Work until the parent is gone."""
    # The parent drains on these, and may still have work for us then.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if not _dies_with(parent=int(sys.argv[1])):
        return
    with socket.socket(fileno=sys.stdin.fileno()) as line, line.makefile("rb") as incoming:
        try:
            while (parts := _receive(incoming)) is not None:
                answer = exhaust(dump(_work(parts)))
                del parts
                for piece in written(answer):
                    line.sendall(piece)
        except ConnectionError:
            return  # nobody waits for the answer


def _dies_with(*, parent: int) -> bool:
    """Tie our life to the parent's; False if it is over already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent


def _receive(incoming: BufferedReader) -> list[Part] | None:
    """The parts of the next message, None when there is none any more."""
    count = incoming.read(COUNT.size)
    if len(count) < COUNT.size:
        return None
    sizes = sizes_of(incoming.read(8 * COUNT.unpack(count)[0]))
    parts: list[Part] = [incoming.read(size) for size in sizes]
    return parts if sum(map(len, parts)) == sum(sizes) else None


def _work(parts: list[Part]) -> tuple[bool, object]:
    """Whether it went well, and the result, the error for the caller, or the trace of ours."""
    message = exhaust(load(parts))
    function, positional, named = cast(
        "tuple[Callable[..., object], tuple[object, ...], dict[str, object]]", message
    )
    try:
        return True, function(*positional, **named)
    except GatewayError as error:
        return False, error
    except Exception:  # noqa: BLE001  # a supervisor: the parent logs the trace, and raises
        return False, traceback.format_exc()


if __name__ == "__main__":
    main()
