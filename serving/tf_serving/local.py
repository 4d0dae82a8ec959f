"""The stand-in: TensorFlow Serving's gRPC API on the tensorflow package, where the binary is missing.

    python -m serving.tf_serving.local --model-config-file serving/tf_serving/models.config \
        --model-store model_store --port 8500

Its manual, and what it does differently from the real server, are in README.md beside this file. A life:
read the configuration → take the port → load what is there → serve and keep polling → on SIGTERM or
Ctrl-C take no new calls, finish those that came in, exit 0. A second signal ends it at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile

from serving.tf_serving.config import ConfigError, ModelConfig
from serving.tf_serving.events import EventLog
from serving.tf_serving.settings import Settings, read_arguments

__all__ = ["main"]

_EXIT_CONFIG = 2
_EXIT_FORCED = 130
_STDERR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; return 0 after a drain, 2 if it could not start, 1 if it broke."""
    settings = read_arguments(arguments)
    stop = _stop_on_signals()
    report = EventLog(sys.stderr)
    try:
        models = _read_models(settings)
        report("starting", models=[model.name for model in models], pid=os.getpid())
        with _quiet_tensorflow():
            # Seconds of import: signals and the configuration come first.
            from serving.tf_serving.standin import StandIn  # noqa: PLC0415
        return StandIn(models, settings, stop=stop, report=report).run()
    except ConfigError as exc:
        report("cannot_start", error=str(exc))
        return _EXIT_CONFIG


def _stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; whoever sends a second one is not kept waiting."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        if stop.is_set():
            os._exit(_EXIT_FORCED)
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


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


@contextmanager
def _quiet_tensorflow() -> Iterator[None]:
    """Import TensorFlow without its greetings, which no log level holds back; kept if the import fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    saved = os.dup(_STDERR)
    with TemporaryFile() as greetings:
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
    sys.exit(main())
