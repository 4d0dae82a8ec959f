"""What does each gRPC method answer, and how is a call turned away? Over a real channel, without models."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeAlias

import grpc
import pytest
from google.protobuf.message import Message

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs import tfs_proto
from gateway.errors import InvalidRequest
from gateway.messages import InferRequest, InferResponse, Target
from serving.tf_serving.config import ModelConfig
from serving.tf_serving.pool import CallPool
from serving.tf_serving.served import ModelFailed, ServedModels
from serving.tf_serving.service import ModelServices
from tests.serving.tf_serving.fakes import Events, FakeReloads, FakeServable

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
EXAMPLES = tuple(
    f"/tensorflow.serving.PredictionService/{name}"
    for name in ("Classify", "Regress", "MultiInference")
)
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
TIMEOUT_S = 30

Method: TypeAlias = "grpc.UnaryUnaryMultiCallable[bytes, bytes]"


class Server:
    """The services on a free port, over one model `m`, version 1, held by `gate`."""

    def __init__(self, *, threads: int, max_queued: int) -> None:
        self.gate = threading.Event()
        self.servable = FakeServable("m", 1, self.gate)
        self.served = ServedModels([ModelConfig(name="m", base_path="/m")])
        self.served.add("m", 1, self.servable)
        self.served.note("m", 1, "AVAILABLE")
        self.pool = CallPool(threads, max_queued)
        self.events = Events()
        self.reloads = FakeReloads()
        services = ModelServices(self.served, self.pool, self.reloads, self.events)
        self.grpc = grpc.server(ThreadPoolExecutor(1), handlers=[services])
        self.address = f"127.0.0.1:{self.grpc.add_insecure_port('127.0.0.1:0')}"


@contextmanager
def serving(*, threads: int = 1, max_queued: int = 1) -> Iterator[tuple[Server, grpc.Channel]]:
    server = Server(threads=threads, max_queued=max_queued)
    server.grpc.start()
    try:
        with grpc.insecure_channel(server.address) as channel:
            yield server, channel
    finally:
        server.gate.set()
        server.grpc.stop(None).wait(TIMEOUT_S)
        server.pool.shutdown()


def start(channel: grpc.Channel, timeout_s: float = TIMEOUT_S) -> grpc.Future[bytes]:
    """Begin a Predict call and return at once."""
    data = tfs_proto.encode_request(InferRequest(model="m", inputs=()))
    predict: Method = channel.unary_unary(PREDICT)
    return predict.future(data, timeout=timeout_s)


def ask(channel: grpc.Channel, method: str, data: bytes) -> bytes:
    call: Method = channel.unary_unary(method)
    return call(data, timeout=TIMEOUT_S)


def settle(channel: grpc.Channel) -> None:
    """Wait until the server has seen all that was sent before: one connection keeps its order."""
    ask(channel, STATUS, tfs_proto.encode_status_request(Target(model="m")))


def refusal(channel: grpc.Channel, method: str, data: bytes) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        ask(channel, method, data)
    return caught.value.code().name, caught.value.details() or ""


def test_each_method_answers() -> None:
    with serving() as (server, channel):
        server.gate.set()
        answer = tfs_proto.decode_response(start(channel).result(TIMEOUT_S))
        assert (answer.model, answer.version) == ("m", "1")
        target = Target(model="m")
        metadata = ask(channel, METADATA, tfs_proto.encode_metadata_request(target))
        assert metadata == b"m 1"
        status = ask(channel, STATUS, tfs_proto.encode_status_request(target))
        assert [s.state for s in tfs_proto.decode_status(status)] == ["AVAILABLE"]


@pytest.mark.parametrize(
    ("method", "request_message", "code", "details"),
    [
        (PREDICT, wire.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (METADATA, wire.GetModelMetadataRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (STATUS, wire.GetModelStatusRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (EXAMPLES[0], wire.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (EXAMPLES[1], wire.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (
            EXAMPLES[2],
            wire.PredictRequest(),
            "INVALID_ARGUMENT",
            "ModelSpec has no name specified.",
        ),
        (
            EXAMPLES[0],
            wire.ClassificationRequest(model_spec=wire.ModelSpec(name="m")),
            "INVALID_ARGUMENT",
            "No signature was found with the name: serving_default",
        ),
        (
            PREDICT,
            wire.PredictRequest(model_spec=wire.ModelSpec(name="x")),
            "NOT_FOUND",
            "Servable not found for request: Latest(x)",
        ),
        (
            PREDICT,
            wire.PredictRequest(model_spec=wire.ModelSpec(name="m", version_label="x")),
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: x",
        ),
        (
            STATUS,
            wire.GetModelStatusRequest(model_spec=wire.ModelSpec(name="x")),
            "NOT_FOUND",
            "Could not find any versions of model x",
        ),
    ],
)
def test_errors_have_the_real_servers_codes(
    method: str,
    request_message: Message,
    code: str,
    details: str,
) -> None:
    with serving() as (_, channel):
        assert refusal(channel, method, request_message.SerializeToString()) == (code, details)


def test_bytes_that_are_no_message_are_an_internal_error_as_with_the_real_server() -> None:
    with serving() as (_, channel):
        assert refusal(channel, PREDICT, b"\xff\xff\xff")[0] == "INTERNAL"


@pytest.mark.parametrize(
    "method",
    [
        "/tensorflow.serving.PredictionService/PredictStreamed",
        "/tensorflow.serving.SessionService/SessionRun",
        "/foo.Bar/Baz",
    ],
)
def test_what_is_not_served_is_unimplemented(method: str) -> None:
    with serving() as (_, channel):
        assert refusal(channel, method, b"")[0] == "UNIMPLEMENTED"


class Failing(FakeServable):
    """Fails with the error that it is given."""

    def __init__(self, error: Exception) -> None:
        super().__init__("m", 2)
        self._error = error

    def predict(self, request: InferRequest) -> InferResponse:
        assert request.model == "m"
        raise self._error


@pytest.mark.parametrize(
    ("error", "code", "details"),
    [
        (ModelFailed("INVALID_ARGUMENT", "In[0] is not a matrix"), "INVALID_ARGUMENT", None),
        (ModelFailed("RESOURCE_EXHAUSTED", "out of memory"), "RESOURCE_EXHAUSTED", None),
        (InvalidRequest("duplicate output tensor alias: y"), "INVALID_ARGUMENT", None),
        (ModelFailed("INTERNAL", "x" * 2000), "INTERNAL", "x" * 1024 + "...TRUNCATED"),
        (RuntimeError("a bug"), "INTERNAL", "RuntimeError: a bug"),
    ],
)
def test_what_fails_in_a_model_is_that_calls_error(
    error: Exception, code: str, details: str | None
) -> None:
    with serving() as (server, channel):
        server.gate.set()
        server.served.add("m", 2, Failing(error))
        data = tfs_proto.encode_request(InferRequest(model="m", inputs=()))
        wanted = details or getattr(error, "message", "")
        assert refusal(channel, PREDICT, data) == (code, wanted)
        server.served.remove("m", 2)
        assert tfs_proto.decode_response(ask(channel, PREDICT, data)).version == "1"
        surprises = [event for event, _, _ in server.events.seen]
        assert surprises == (["call_failed"] if isinstance(error, RuntimeError) else [])


def test_one_call_too_many_is_turned_away_at_once() -> None:
    with serving(threads=1, max_queued=1) as (server, channel):
        calls = [start(channel), start(channel)]
        assert server.servable.started.acquire(timeout=TIMEOUT_S)
        settle(channel)
        error = start(channel).exception(TIMEOUT_S)
        assert isinstance(error, grpc.RpcError)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "2 run or wait" in (error.details() or "")
        for method in EXAMPLES:
            assert refusal(channel, method, b"")[0] == "RESOURCE_EXHAUSTED"
        server.gate.set()
        assert all(call.result(TIMEOUT_S) for call in calls)


def test_a_full_server_still_says_what_it_serves() -> None:
    with serving(threads=1, max_queued=0) as (server, channel):
        call = start(channel)
        assert server.servable.started.acquire(timeout=TIMEOUT_S)
        status = ask(channel, STATUS, tfs_proto.encode_status_request(Target(model="m")))
        assert tfs_proto.decode_status(status)[0].state == "AVAILABLE"
        server.gate.set()
        assert call.result(TIMEOUT_S)


def test_a_call_cancelled_while_it_waits_never_starts() -> None:
    with serving(threads=1, max_queued=2) as (server, channel):
        running = start(channel)
        assert server.servable.started.acquire(timeout=TIMEOUT_S)
        # Only now: of two calls sent together either may be the one that runs.
        waiting = start(channel)
        settle(channel)
        waiting.cancel()
        settle(channel)
        server.gate.set()
        assert running.result(TIMEOUT_S)
        last = start(channel)  # queued behind the cancelled one
        assert last.result(TIMEOUT_S)
        assert server.servable.calls == 2


def test_a_call_whose_deadline_passes_while_it_waits_never_starts() -> None:
    with serving(threads=1, max_queued=2) as (server, channel):
        running = start(channel)
        assert server.servable.started.acquire(timeout=TIMEOUT_S)
        error = start(channel, timeout_s=0.05).exception(TIMEOUT_S)
        assert isinstance(error, grpc.RpcError)
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        settle(channel)
        server.gate.set()
        assert running.result(TIMEOUT_S)
        assert start(channel).result(TIMEOUT_S)
        assert server.servable.calls == 2


def test_a_running_call_is_finished_when_the_server_stops() -> None:
    with serving() as (server, channel):
        call = start(channel)
        assert server.servable.started.acquire(timeout=TIMEOUT_S)
        stopped = server.grpc.stop(TIMEOUT_S)
        server.gate.set()
        assert call.result(TIMEOUT_S)
        assert stopped.wait(TIMEOUT_S)


def test_a_reload_is_answered_beside_calls_that_fill_the_server() -> None:
    with serving(threads=1, max_queued=0) as (server, channel):
        call = start(channel)
        assert server.servable.started.acquire(timeout=TIMEOUT_S)
        assert ask(channel, RELOAD, b"a configuration") == b"taken"
        assert server.reloads.told == [b"a configuration"]
        server.gate.set()
        assert call.result(TIMEOUT_S)


def test_a_reload_ends_when_its_caller_gives_up() -> None:
    with serving() as (server, channel):
        server.reloads.waits = True
        call: Method = channel.unary_unary(RELOAD)
        error = call.future(b"", timeout=0.2).exception(TIMEOUT_S)
        assert isinstance(error, grpc.RpcError)
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert server.reloads.left.wait(TIMEOUT_S)
