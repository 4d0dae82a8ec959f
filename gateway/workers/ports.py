"""How does a supervisor hold a port on which its workers listen, and nobody else?"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.http1.listen import ListenError, joined, split

__all__ = ["kept_port"]


@contextmanager
def kept_port(address: str, *, setting: str) -> Iterator[str]:
    """The address with the port really taken (port 0 takes a free one), ours while the block runs.

    The port is bound and not listened on, so that connections go to the workers alone, which bind it too.

    Raises:
        ListenError: the address is taken, or is none of this machine's.
    """
    host, port = split(address)
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if port:
            _require_free(family, where)
        kept = _bound(family, where)
    except OSError as exc:
        raise ListenError(f"{setting}: cannot listen on {address}: {exc.strerror}") from exc
    with kept:
        yield joined(host, kept.getsockname()[1])


def _bound(family: socket.AddressFamily, where: tuple[object, ...]) -> socket.socket:
    kept = socket.socket(family)
    try:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(where)
    except OSError:
        kept.close()
        raise
    return kept


def _require_free(family: socket.AddressFamily, where: tuple[object, ...]) -> None:
    """Raise OSError if somebody listens there: another gateway's workers would share the port with ours."""
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(where)
