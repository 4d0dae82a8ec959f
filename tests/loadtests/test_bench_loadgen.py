"""The search for a valid rate, and one run of the real LoadGen against a server of the test's own."""

from __future__ import annotations

import http.server
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.answers import Tolerance
from loadtests.bench_loadgen.attempt import Scenario, attempt, by_sample, said, unmet
from loadtests.bench_loadgen.search import highest_valid
from loadtests.bench_loadgen.section import section
from loadtests.open_loop import Answer, post
from loadtests.peers.forms import TFS
from loadtests.peers.questions import Questions
from loadtests.results import Row
from tests.loadtests.reports import report


class TestSearch:
    @given(st.floats(1, 1e5), st.floats(1, 1e5), st.floats(0.01, 0.5))
    def test_it_comes_near_to_what_a_server_can_do(
        self, can: float, start: float, precision: float
    ) -> None:
        """From above and from below, and never says that it can more."""
        found = highest_valid(lambda rate: rate <= can, start=start, precision=precision, most=60)
        assert found is not None
        assert found <= can < found * (1 + precision) * (1 + 1e-9)

    @given(st.integers(1, 12), st.data())
    def test_it_ends_whatever_is_valid(self, most: int, data: st.DataObject) -> None:
        """And what it finds was tried and valid."""
        tried: dict[float, bool] = {}

        def is_valid(rate: float) -> bool:
            assert 0 < rate < math.inf
            tried[rate] = data.draw(st.booleans())
            return tried[rate]

        found = highest_valid(is_valid, start=100.0, precision=0.05, most=most)
        assert len(tried) <= most
        assert found is None or tried[found]
        assert found is not None or not any(tried.values())


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans())))
def test_every_answer_is_sorted_to_its_sample(asked: list[tuple[int, bool]]) -> None:
    """None is lost, and nothing is made up for those that are missing."""
    answers = [
        Answer(200, str(n).encode()) if is_there else None for n, (_, is_there) in enumerate(asked)
    ]
    found = by_sample([sample for sample, _ in asked], answers, 5)
    kept = [answer for answer in found if answer is not None]
    assert {answer.body for answer in kept} == {a.body for a in answers if a is not None}
    assert len(kept) == sum(is_there for _, is_there in asked)
    for place, answer in enumerate(found):
        assert answer is None or asked[int(answer.body)][0] == place % 5


SUMMARY = """
Completed samples per second    : 495.50
Result is : {result}
  Performance constraints satisfied : {bound}
  Early stopping satisfied: {confidence}
50.00 percentile latency (ns)   : 94765
99.00 percentile latency (ns)   : 1805794
"""


@pytest.mark.parametrize(
    ("bound", "confidence", "missed"),
    [("NO", "NO", "p99 over the bound"), ("Yes", "NO", "too few queries to be sure")],
)
def test_what_was_missed_is_told(bound: str, confidence: str, missed: str) -> None:
    told = said(SUMMARY.format(result="INVALID", bound=bound, confidence=confidence))
    assert told["p99_ns"] == "1805794"
    assert unmet(told) == missed


def test_a_summary_without_figures_is_refused() -> None:
    with pytest.raises(ValueError, match="no result, completed_per_s"):
        said("Result : none")


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers `[[1.0, 2.0]]`, or fails if it is asked at /broken."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = b'{"predictions": [[1.0, 2.0]]}'
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    """Takes every connection at once: the kernel would make the sixth wait for seconds."""

    request_queue_size = 1024


@contextmanager
def echo() -> Iterator[str]:
    server = Server(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("path", "expected", "reason"),
    [
        ("/right", [1.0, 2.0], ""),
        ("/wrong", [1.0, 2.5], "wrong: row 0: other numbers"),
        ("/broken", [1.0, 2.0], "failed"),
    ],
)
def test_a_rate_is_valid_if_loadgen_says_so_and_every_answer_is_right(
    tmp_path: Path, path: str, expected: list[float], reason: str
) -> None:
    """The real LoadGen, as fast as it will go."""
    questions = Questions(
        rows=[{"x": [1.0]}] * 4,
        expected=np.array([expected] * 4, np.float32),
        tolerance=Tolerance(atol=1e-6, rtol=0),
    )
    with echo() as address:
        found = attempt(
            1000.0,
            Scenario(latency_ms=30_000, seconds=0.1, min_queries=700),
            address=address,
            requests=[post(path, b"{}")] * 4,
            questions=questions,
            read=TFS.read,
            folder=tmp_path,
        )
    assert found.queries >= 700
    assert found.reason.endswith(reason)
    assert found.is_valid is (not reason)
    assert found.p99_ms > 0


def row(rate: float, *, is_valid: bool) -> Row:
    return {
        "model": "iris", "arm": "tf", "latency_ms": 20.0, "rate_per_s": rate, "is_valid": is_valid,
        "reason": "" if is_valid else "p99 over the bound", "p50_ms": 1.0, "p99_ms": 19.0,
    }  # fmt: skip


def test_the_section_tells_the_highest_valid_rate_and_what_stopped_it() -> None:
    rows = [row(100, is_valid=True), row(400, is_valid=False), row(200, is_valid=True)]
    text = section(report([*rows, {**row(5, is_valid=False), "arm": "torch"}]))
    assert "| iris | tf | 20 | 200 | 1.0 | 19.0 | 400 (p99 over the bound) |" in text
    assert "| iris | torch | 20 | none | – | – | 5 (p99 over the bound) |" in text
