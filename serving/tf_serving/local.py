"""The stand-in: TensorFlow Serving's gRPC API on the tensorflow package, where the binary is missing.

    python -m serving.tf_serving.local --model-config-file serving/tf_serving/models.config \
        --model-store model_store --port 8500

Its manual, and what it does differently from the real server, are in README.md beside this file. A life:
read the configuration → reserve the port → load what is there → listen, and keep polling → on SIGTERM or
Ctrl-C take no new calls, finish those that came in, exit 0. A second signal ends it at once.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from serving.tf_serving.config import ConfigError, ModelConfig
from serving.tf_serving.events import EventLog
from serving.tf_serving.settings import Settings, read_arguments

__all__ = ["main"]

_EXIT_CONFIG = 2
_EXIT_FORCED = 130
_STDERR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; return 0 after a drain, 2 if it could not start, 1 if calls were left or it broke."""
    settings = read_arguments(arguments)
    report = EventLog(sys.stderr)
    _on_signals(lambda: os._exit(0))  # there is nothing to finish yet
    try:
        models = _read_models(settings)
        reserved = _reserve_port(settings.host, settings.port)
    except ConfigError as exc:
        report("cannot_start", error=str(exc))
        return _EXIT_CONFIG
    report("starting", models=[model.name for model in models], pid=os.getpid())
    with _quiet_tensorflow():
        # Seconds of import: whatever can go wrong without it has gone wrong by now.
        from serving.tf_serving.standin import StandIn  # noqa: PLC0415
    stand_in = StandIn(models, settings, reserved=reserved, report=report)

    def stop() -> None:
        if stand_in.is_stopping:  # whoever sends a second signal is not kept waiting
            os._exit(_EXIT_FORCED)
        stand_in.request_stop()

    _on_signals(stop)
    return stand_in.run()


def _on_signals(react: Callable[[], None]) -> None:
    def on_signal(_number: int, _frame: object) -> None:
        react()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


def _read_models(settings: Settings) -> tuple[ModelConfig, ...]:
    from serving.tf_serving.textproto import parse  # noqa: PLC0415 - only here: it needs the TF environment

    try:
        models = parse(settings.config_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{settings.config_file}: cannot be read: {exc}") from exc
    except ConfigError as exc:
        raise ConfigError(f"{settings.config_file}: {exc}") from exc
    unknown = settings.base_paths.keys() - {model.name for model in models}
    if unknown:
        raise ConfigError(f"got base paths for {sorted(unknown)}, which the file does not name")
    return tuple(replace(model, base_path=str(_base_path(settings, model))) for model in models)


def _base_path(settings: Settings, model: ModelConfig) -> Path:
    if model.name in settings.base_paths:
        return settings.base_paths[model.name].absolute()
    if settings.model_store is not None:
        return settings.model_store.absolute() / model.name
    return Path(model.base_path)


def _reserve_port(host: str, port: int) -> socket.socket:
    """Bind the port without listening: it is ours, and whoever connects meanwhile is refused."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        reserved = socket.socket(family)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(address)
    except (OSError, OverflowError) as exc:
        raise ConfigError(f"cannot listen on {host} port {port}: {exc}") from exc
    return reserved


@contextmanager
def _quiet_tensorflow() -> Iterator[None]:
    """Import TensorFlow without its greetings, which no log level holds back; kept if the import fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    saved = os.dup(_STDERR)
    # In memory: a container's file system may be read-only.
    with os.fdopen(os.memfd_create("greetings"), "w+b") as greetings:
        os.dup2(greetings.fileno(), _STDERR)
        try:
            yield
        except BaseException:
            greetings.seek(0)
            os.write(saved, greetings.read())
            raise
        finally:
            os.dup2(saved, _STDERR)
            os.close(saved)


if __name__ == "__main__":
    status = main()
    # Not sys.exit: it would wait for calls that were left inside TensorFlow, which nothing can interrupt.
    os._exit(status)
