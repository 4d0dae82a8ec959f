"""`python -m serving.torch_server`: arguments, server, exit status."""

from __future__ import annotations

import os
import signal
import sys

from serving.torch_server.settings import parse

__all__ = ["main"]


def main() -> int:
    """Run the server; 0 after a drain, 1 if it was cut short or could not listen, 2 for bad arguments."""
    # Until the server catches signals, they simply end it: no traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    settings = parse(sys.argv[1:])
    # gRPC reads these when it is imported. Workers are started by fork and exec at once: its fork handlers
    # would only say, on standard error and not as JSON, that they have nothing to do.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from serving.torch_server import server  # noqa: PLC0415  # `--help` answers without half a second of imports
    from serving.torch_server.logs import log, set_up_logs  # noqa: PLC0415  # as above

    set_up_logs()
    try:
        return server.run(settings)
    except server.CannotListen as exc:
        log("cannot_listen", level="error", reason=str(exc))
        return 1


if __name__ == "__main__":
    sys.exit(main())
