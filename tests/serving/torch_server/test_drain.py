"""How does a server end?"""

from __future__ import annotations

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.serving.torch_server.conftest import Packages, Start
from tests.serving.torch_server.running import TIMEOUT_S, until
from tests.serving.torch_server.stores import PAIR, publish
from tests.serving.torch_server.test_faults import BODY, asking, held
from tests.serving.torch_server.test_versions import Traffic

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0_and_nothing_is_left_behind(
    store: Path,
    start: Start,
    number: signal.Signals,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    server = start(store)
    server.wait_for("version_ready")
    workers = server.workers()
    assert list(scratch.glob("tandem-torch-*/worker-*"))
    assert server.end(number) == 0
    server.wait_for("stopped")
    assert server.noise == []
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert not list(scratch.glob("tandem-torch-*"))


def test_what_was_accepted_is_answered_before_the_end(store: Path, start: Start) -> None:
    server = start(store)
    server.wait_for("version_ready")
    with held(server) as worker, asking(server, 4) as asked:
        server.send(signal.SIGTERM)
        server.wait_for("draining")
        os.kill(worker, signal.SIGCONT)
        for each in asked:
            assert each.result(TIMEOUT_S).shape == (2, 3)
    assert server.wait() == 0


def test_rest_requests_that_were_accepted_are_answered_too(store: Path, start: Start) -> None:
    server = start(store)
    server.wait_for("version_ready")
    url = f"{server.rest}/v2/models/mlp/infer"
    with held(server) as worker, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(httpx.post, url, json=BODY, timeout=TIMEOUT_S)
        until(lambda: server.metric("in_flight") == 1, "it is in flight")
        server.send(signal.SIGTERM)
        server.wait_for("draining")
        os.kill(worker, signal.SIGCONT)
        assert asked.result(TIMEOUT_S).status_code == 200
    assert server.wait() == 0


def test_under_traffic_only_unavailable_is_seen_and_only_after_the_signal(
    store: Path, start: Start
) -> None:
    server = start(store)
    server.wait_for("version_ready")
    with Traffic(server).flowing() as traffic:
        traffic.wait_for("1")
        assert server.end() == 0
    for error in traffic.errors:
        assert "UNAVAILABLE" in str(error) or "CANCELLED" in str(error)
    assert traffic.versions


def test_during_the_notice_it_answers_and_is_not_ready(store: Path, start: Start) -> None:
    server = start(store, "--drain-notice-s", "3600")
    server.wait_for("version_ready")
    server.send(signal.SIGTERM)
    server.wait_for("draining")
    assert server.get("/v2/health/ready").status_code == 503
    assert server.get("/v2/health/live").status_code == 200
    answer = httpx.post(f"{server.rest}/v2/models/mlp/infer", json=BODY, timeout=TIMEOUT_S)
    assert answer.status_code == 200
    assert server.end() == 1  # the second signal


def test_a_second_signal_ends_it_at_once_with_status_1(store: Path, start: Start) -> None:
    server = start(store)
    server.wait_for("version_ready")
    with held(server) as worker:
        with asking(server, 1) as asked:
            server.send(signal.SIGTERM)
            server.wait_for("draining")
            assert server.end() == 1
            assert isinstance(asked[0].exception(TIMEOUT_S), Exception)
        assert server.wait_for("stopped")["level"] == "error"
        assert server.noise == []
        assert not Path(f"/proc/{worker}").exists()


def test_a_signal_while_a_package_loads_does_not_wait_for_it(
    store: Path, packages: Packages, start: Start
) -> None:
    server = start(store)
    server.wait_for("version_ready")
    publish(store, "pair/1", packages.data("pair"), PAIR)
    until(lambda: len(server.workers()) == 2, "its worker is started")
    loading = server.workers()[1]
    os.kill(loading, signal.SIGSTOP)
    assert server.end() == 0
    assert not Path(f"/proc/{loading}").exists()


def test_an_address_that_is_taken_is_an_error_that_says_so(
    store: Path, start: Start, torch_python: Path, root: Path
) -> None:
    taken = start(store).wait_for("listening")
    for flag, address in (("--rest", taken["rest"]), ("--grpc", taken["grpc"])):
        flags = {"--rest": "127.0.0.1:0", "--grpc": "127.0.0.1:0", flag: address}
        words = [word for pair in flags.items() for word in pair]
        second = subprocess.run(
            [torch_python, "-m", "serving.torch_server", "--model-store", store, *words],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert second.returncode == 1
        assert '"event": "cannot_listen"' in second.stderr
        assert address in second.stderr
        assert "Traceback" not in second.stderr
