"""Where may a test's server listen? On port 0; this is for servers that must be told a number."""

from __future__ import annotations

import socket

__all__ = ["free_port"]


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago.

    Another process may take it first, so prefer `host:0` and ask the server what it got.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
