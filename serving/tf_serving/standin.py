"""How do the stand-in's parts become one server, and how does it end?

Two threads of its own beside grpcio's: the main thread only waits for the signal to stop; the other one
loads what is there, opens the server, and then follows the base paths. So a signal is heard at once, even
while a large model is being loaded.
"""

from __future__ import annotations

import gc
import socket
import threading
import traceback
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import grpc

from model_store.manifest import MANIFEST, ManifestError, verify
from serving.tf_serving.config import ModelConfig
from serving.tf_serving.events import Report
from serving.tf_serving.loader import Loader
from serving.tf_serving.pool import CallPool
from serving.tf_serving.reload import Reloader
from serving.tf_serving.servable import SavedModel, load
from serving.tf_serving.served import LoadError, ServedModels
from serving.tf_serving.service import ModelServices
from serving.tf_serving.settings import Settings

__all__ = ["StandIn"]

_QUESTION_THREADS = 1  # for status and metadata: answers from memory
_MAX_QUESTIONS = 64  # beyond what the pool holds: questions, and calls about to be turned away
_LAST_WORDS_S = 1.0


class StandIn:
    """One server over one set of models. It runs once."""

    def __init__(
        self,
        models: Iterable[ModelConfig],
        settings: Settings,
        *,
        reserved: socket.socket,
        report: Report,
    ) -> None:
        """Nothing is loaded or answered yet; `reserved` is bound to the port that will be listened on."""
        self._settings = settings
        self._report = report
        self._reserved = reserved
        self._stop = threading.Event()
        self._stop_requests: SimpleQueue[None] = SimpleQueue()
        self._has_failed = False
        served = ServedModels(models)
        self._loader = Loader(models, served, partial(_load, settings), report=report)
        reloader = Reloader(served, self._loader, self._stop, report)
        self._pool = CallPool(settings.threads, settings.max_queued)
        self._server = grpc.server(
            ThreadPoolExecutor(_QUESTION_THREADS, thread_name_prefix="question"),
            handlers=[ModelServices(served, self._pool, reloader, report)],
            options=_channel_options(settings),
            maximum_concurrent_rpcs=self._pool.max_calls + _MAX_QUESTIONS,
        )

    @property
    def is_stopping(self) -> bool:
        """Whether it has begun to drain."""
        return self._stop.is_set()

    def request_stop(self) -> None:
        """Begin to drain; may be called from a signal's reaction, where no lock may be taken."""
        self._stop_requests.put(None)

    def run(self) -> int:
        """Serve until asked to stop; return 0 if all that came in was finished, else 1.

        Threads inside TensorFlow may still run afterwards; only the end of the process ends them.
        """
        # TensorFlow's modules stay: a full collection that walks them stops every thread for half a second.
        gc.freeze()
        follower = threading.Thread(target=self._follow, name="loader", daemon=True)
        follower.start()
        self._stop_requests.get()
        self._stop.set()
        self._loader.wake()
        self._report("draining", calls=self._pool.calls)
        timeout_s = self._settings.drain_timeout_s
        self._server.stop(timeout_s).wait(timeout_s + _LAST_WORDS_S)
        is_idle = self._pool.wait_until_idle(_LAST_WORDS_S)
        self._report("stopped", calls=self._pool.calls)
        return 0 if is_idle and not self._has_failed else 1

    def _follow(self) -> None:
        """Load, open, follow the base paths. If this ends, the process does: it would serve stale models."""
        try:
            self._loader.poll(self._stop)
            self._open()
            if self._settings.poll_wait_s:
                self._loader.run(self._stop, self._settings.poll_wait_s)
            else:
                self._stop.wait()
        except Exception:  # noqa: BLE001 - the end of a thread: report it where it can be read
            self._has_failed = True
            self._report("loader_failed", traceback=traceback.format_exc())
        finally:
            self.request_stop()

    def _open(self) -> None:
        """Listen, now that there is something to answer with: what a client that can connect expects."""
        if self._stop.is_set():
            return
        host, port = self._settings.host, self._reserved.getsockname()[1]
        self._reserved.close()
        self._server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        self._server.start()
        self._report("listening", host=host, port=port)


def _load(settings: Settings, model: str, version: int, path: Path) -> SavedModel:
    """Verify a version against its manifest, then load it."""
    if settings.require_manifest or (path / MANIFEST).exists():
        try:
            verify(path, "tensorflow")
        except ManifestError as exc:
            raise LoadError("FAILED_PRECONDITION", str(exc)) from exc
    rows = settings.max_batch_rows
    return load(model, version, path, settings.tensorflow, max_batch_rows=rows)


def _channel_options(settings: Settings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.so_reuseport", 0),  # a second server on the port must fail, not share it
    ]
