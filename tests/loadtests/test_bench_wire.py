"""Does the benchmark of the wires send what it says and count what comes back; and are copies few?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway.codecs import oip_json, oip_proto
from loadtests.bench_wire.backend import answer
from loadtests.bench_wire.bodies import SIZES, WIRES, Wire, body_of, message_of
from loadtests.bench_wire.load import Asked, post, read_h2load
from loadtests.bench_wire.memory import ENVIRONMENT, copies_of
from loadtests.bench_wire.stack import Link, stack

IMAGE = SIZES["600KB"]
ALLOCATOR = 0.25  # of a copy, for all else that a request allocates

REPORT = """\
finished in 2.00s, 3333.00 req/s, 211.29KB/s
requests: 6666 total, 6698 started, 6666 done, 6666 succeeded, {failed} failed, 0 errored, 0 timeout
status codes: 6666 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 422.59KB (432730) total, 19.82KB (20298) headers (space savings 96.24%), 58.59KB ({data}) data
"""


@pytest.mark.parametrize("wire", WIRES)
def test_one_tensor_is_sent_over_every_wire(wire: Wire) -> None:
    body = body_of(wire, 5, "same")
    if wire == "gRPC raw":
        request = oip_proto.decode_request(message_of(body))
    else:
        length = body.headers.get("inference-header-content-length")
        request, _ = oip_json.decode_request(
            body.content, None if length is None else int(length), model="same", version=None
        )
    (tensor,) = request.inputs
    assert (tensor.datatype, tensor.shape) == ("FP32", (1, 5))
    np.testing.assert_array_equal(
        tensor.array, np.random.default_rng(5).standard_normal((1, 5), np.float32)
    )
    assert request.outputs == ("y",)


def test_the_backend_answers_the_same_or_a_brief_one() -> None:
    asked = [
        oip_proto.decode_request(message_of(body_of("gRPC raw", 3, model)))
        for model in ("same", "brief")
    ]
    shapes = [answer(request).outputs[0].shape for request in asked]
    assert shapes == [(1, 3), (1, 1)]


def test_answers_without_a_message_are_errors() -> None:
    """gRPC's errors come with status 200 and no data."""
    assert read_h2load(REPORT.format(failed=0, data=6666 * 9), 9) == Asked(6666, 0)
    assert read_h2load(REPORT.format(failed=2, data=6664 * 9), 9) == Asked(6666, 4)
    assert read_h2load(REPORT.format(failed=0, data=0), 9) == Asked(6666, 6666)


def test_an_image_is_held_three_times_at_most(tmp_path: Path) -> None:
    """1x3x224x224 FP32 as binary REST: as it came, as it is sent on, and in gRPC's hands."""
    with stack(tmp_path, environment=ENVIRONMENT, cores=(None, None)) as served:
        for wire in ("REST binary", "gRPC raw"):
            found = copies_of(wire, IMAGE, "brief", served)
            assert found.at_once <= 3 + ALLOCATOR, (wire, found)


def test_an_image_that_comes_and_goes_over_rest_is_held_once(tmp_path: Path) -> None:
    """It is received where it stays, and sent from there."""
    with stack(tmp_path, environment=ENVIRONMENT, link="rest+tcp", cores=(None, None)) as served:
        found = copies_of("REST binary", IMAGE, "brief", served)
        assert found.made <= 1 + ALLOCATOR, found


@pytest.mark.parametrize("link", ["grpc+unix", "rest+unix"])
def test_the_backend_is_asked_over_a_unix_socket(tmp_path: Path, link: Link) -> None:
    with stack(tmp_path, link=link, cores=(None, None)) as served:
        for model in ("same", "brief"):
            body = body_of("REST binary", IMAGE, model)
            assert len(post(served.rest, body)) > body.answer_bytes
