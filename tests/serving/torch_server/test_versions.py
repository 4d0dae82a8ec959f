"""What happens to traffic while versions come and go?"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc

from tests.serving.torch_server.conftest import Packages, Start
from tests.serving.torch_server.running import TIMEOUT_S, RunningServer, grpc_inputs, until
from tests.serving.torch_server.stores import MLP, publish, unpublish

pytestmark = pytest.mark.slow

X = {"x": np.ones((2, 4), np.float32)}


class Traffic:
    """Requests one after another over several connections; `versions` are those that answered."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._stop = threading.Event()
        self._news = threading.Condition()
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]
        self.versions: list[str] = []
        self.errors: list[Exception] = []

    def _ask(self) -> None:
        with tritonclient.grpc.InferenceServerClient(self._server.grpc) as client:
            while not self._stop.is_set():
                try:
                    answer = client.infer("mlp", grpc_inputs(X), client_timeout=TIMEOUT_S)
                    with self._news:
                        self.versions.append(answer.get_response().model_version)
                        self._news.notify_all()
                except Exception as exc:  # noqa: BLE001  # whatever it is, the test wants to know
                    self.errors.append(exc)
                    return

    def wait_for(self, version: str) -> None:
        """Wait until this version answers."""
        with self._news:
            seen = len(self.versions)
            assert self._news.wait_for(lambda: version in self.versions[seen:], TIMEOUT_S)

    @contextmanager
    def flowing(self) -> Iterator[Traffic]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(TIMEOUT_S)


def test_versions_come_and_go_under_traffic_and_nothing_is_lost(
    store: Path, packages: Packages, start: Start
) -> None:
    server = start(store)
    server.wait_for("version_ready", version="1")
    with Traffic(server).flowing() as traffic:
        traffic.wait_for("1")
        publish(store, "mlp/2", packages.data("mlp-2"), MLP)
        server.wait_for("version_ready", version="2")
        traffic.wait_for("2")
        unpublish(store, "mlp/1")
        server.wait_for("version_unloaded", version="1")
        publish(store, "mlp/10", packages.data("mlp-1"), MLP)
        unpublish(store, "mlp/2")  # while 10 is loading: it serves until that is done
        server.wait_for("version_unloaded", version="2")
        traffic.wait_for("10")
    assert traffic.errors == []
    assert server.get("/v2/models/mlp").json()["versions"] == ["10"]
    assert server.metric("requests_total") == len(traffic.versions)
    assert len(server.workers()) == 1


def test_with_latest_versions_the_old_one_serves_until_the_new_one_is_ready(
    store: Path, packages: Packages, start: Start
) -> None:
    server = start(store, "--latest-versions", "1")
    server.wait_for("version_ready", version="1")
    publish(store, "mlp/2", b"no package", MLP)
    server.wait_for("version_refused", version="2")
    assert server.get("/v2/models/mlp/versions/1").status_code == 200
    publish(store, "mlp/3", packages.data("mlp-2"), MLP)
    server.wait_for("version_unloaded", version="1")
    assert server.get("/v2/models/mlp").json()["versions"] == ["3"]
    ready = [event["version"] for event in server.events if event["event"] == "version_ready"]
    assert ready == ["1", "3"]


def test_the_same_version_published_again_replaces_the_old_one(
    store: Path, packages: Packages, start: Start
) -> None:
    server = start(store)
    server.wait_for("version_ready")
    inputs, (old,) = packages.case("mlp-1", 2)
    assert np.allclose(server.ask("mlp", inputs).astype(np.float32), old.astype(np.float32))
    unpublish(store, "mlp/1")
    publish(store, "mlp/1", packages.data("mlp-2"), MLP)
    server.wait_for("version_unloaded", version="1")
    until(lambda: server.get("/v2/models/mlp").status_code == 200, "it is back")
    assert not np.allclose(server.ask("mlp", inputs).astype(np.float32), old.astype(np.float32))


def test_a_model_that_is_taken_away_is_unknown_and_the_server_lives_on(
    store: Path, packages: Packages, start: Start
) -> None:
    server = start(store)
    server.wait_for("version_ready")
    unpublish(store, "mlp/1")
    server.wait_for("version_unloaded")
    assert server.get("/v2/models/mlp").status_code == 404
    publish(store, "mlp/2", packages.data("mlp-2"), MLP)
    server.wait_for("version_ready", version="2")


def test_a_store_that_goes_away_changes_nothing(store: Path, start: Start) -> None:
    server = start(store)
    server.wait_for("version_ready")
    store.rename(store.with_name("elsewhere"))
    server.wait_for("store_unreadable")
    assert server.ask("mlp", X).shape == (2, 3)
    store.with_name("elsewhere").rename(store)
