"""Does the stand-in live as the real server does? A real process, TensorFlow and all."""

from __future__ import annotations

import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from gateway.codecs import tfs_proto
from gateway.messages import InferRequest, InferResponse, Target, VersionStatus
from gateway.tensors import Tensor
from serving.tf_serving.config import ModelConfig
from tests.serving.processes import TIMEOUT_S
from tests.serving.tf_serving.conftest import StandInProcess, StartStandIn

pytestmark = pytest.mark.slow

PREDICT = "/tensorflow.serving.PredictionService/Predict"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"


def predict(channel: grpc.Channel, model: str, *tensors: Tensor) -> InferResponse:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PREDICT)
    request = tfs_proto.encode_request(InferRequest(model=model, inputs=tensors))
    return tfs_proto.decode_response(call(request, timeout=TIMEOUT_S))


def halve(channel: grpc.Channel, model: str, value: float) -> tuple[str, float]:
    """The version that answered, and half of the value plus two (or three)."""
    answer = predict(channel, model, Tensor("x", "FP32", np.array([value], np.float32)))
    return answer.version, float(answer.outputs[0].array[0])


def states(channel: grpc.Channel, model: str) -> dict[str, VersionStatus]:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(STATUS)
    request = tfs_proto.encode_status_request(Target(model=model))
    statuses = tfs_proto.decode_status(call(request, timeout=TIMEOUT_S))
    return {status.version: status for status in statuses}


def publish(version_dir: Path, saved_model: Path) -> None:
    """Put a version in place as a publisher does: written aside, then renamed."""
    aside = version_dir.parent / f".{version_dir.name}"
    shutil.copytree(saved_model, aside)
    aside.rename(version_dir)


class Living:
    """One stand-in that several tests share, each with a model of its own in `store`."""

    def __init__(self, process: StandInProcess, channel: grpc.Channel, store: Path) -> None:
        self.process = process
        self.channel = channel
        self.store = store


@pytest.fixture(scope="module")
def living(
    start_stand_in: StartStandIn,
    golden_models: Path,
    spin_store: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Living]:
    store = tmp_path_factory.mktemp("store")
    half_plus_two = golden_models / "saved_model_half_plus_two_cpu/00000123"
    for model in ("changing", "steady", "verified", "mixed"):
        (store / model).mkdir()
        publish(store / model / "1", half_plus_two)
    configs = [
        ModelConfig(name=name, base_path="/replaced/by/the/store")
        for name in ("changing", "later", "mixed", "steady", "verified")
    ]
    configs += [
        ModelConfig(name=name, base_path="/replaced/by/a/flag") for name in ("elsewhere", "spin")
    ]
    process = start_stand_in(
        configs,
        *["--model-store", str(store), "--file-system-poll-wait-seconds", "0.05"],
        *["--model-base-path", f"elsewhere={golden_models / 'saved_model_half_plus_two_cpu'}"],
        *["--model-base-path", f"spin={spin_store}"],
    )
    with process.channel() as channel:
        yield Living(process, channel, store)


def test_paths_on_the_command_line_replace_those_in_the_file(living: Living) -> None:
    assert halve(living.channel, "elsewhere", 2.0) == ("123", 3.0)
    assert halve(living.channel, "steady", 2.0) == ("1", 3.0)


def test_an_input_with_a_default_may_be_left_out(living: Living) -> None:
    assert int(predict(living.channel, "spin").outputs[0].array) == 3
    steps = Tensor("steps", "INT64", np.array(5, np.int64))
    assert int(predict(living.channel, "spin", steps).outputs[0].array) == 5


def test_versions_come_and_go_while_it_serves(living: Living, golden_models: Path) -> None:
    store = living.store / "changing"
    publish(store / "2", golden_models / "saved_model_half_plus_two_2_versions/00000124")
    living.process.wait_for("version_unloaded", model="changing", version=1)
    assert halve(living.channel, "changing", 2.0) == ("2", 3.0)
    assert {v: s.state for v, s in states(living.channel, "changing").items()} == {
        "2": "AVAILABLE",
        "1": "END",
    }
    shutil.rmtree(store / "2")
    living.process.wait_for("version_unloaded", model="changing", version=2)
    assert halve(living.channel, "changing", 2.0)[0] == "1"


def test_a_bad_saved_model_ends_with_the_real_servers_words_and_the_others_serve(
    living: Living,
) -> None:
    garbage = living.store / ".garbage"
    garbage.mkdir()
    (garbage / "saved_model.pb").write_bytes(b"no such thing")
    garbage.rename(living.store / "mixed" / "2")
    living.process.wait_for("version_refused", model="mixed", version=2)
    (living.store / "mixed" / "3").mkdir()
    living.process.wait_for("version_refused", model="mixed", version=3)
    assert halve(living.channel, "mixed", 2.0) == ("1", 3.0)
    statuses = states(living.channel, "mixed")
    assert statuses["2"] == VersionStatus(
        version="2",
        state="END",
        error_code="OUT_OF_RANGE",
        error_message="Read less bytes than requested",
    )
    assert (statuses["3"].state, statuses["3"].error_code) == ("END", "NOT_FOUND")
    assert statuses["3"].error_message == (
        "Specified file path does not appear to contain a SavedModel bundle (should have a file called"
        f" `saved_model.pb`)\nSpecified file path: {living.store / 'mixed' / '3'}"
    )


def test_a_version_that_is_not_what_its_manifest_says_is_refused(
    living: Living, golden_models: Path
) -> None:
    model = living.store / "verified"
    saved_model = golden_models / "saved_model_half_plus_two_cpu/00000123"
    aside = living.store / ".2"
    shutil.copytree(saved_model, aside)
    (aside / "manifest.json").write_text("{}")
    aside.rename(model / "2")
    refused = living.process.wait_for("version_refused", model="verified", version=2)
    assert refused["error_code"] == "FAILED_PRECONDITION"
    assert "manifest.json" in str(refused["error_message"])
    assert halve(living.channel, "verified", 2.0) == ("1", 3.0)


def test_a_base_path_that_is_not_there_yet_is_waited_for(
    living: Living, golden_models: Path
) -> None:
    living.process.wait_for("base_path_unreadable", model="later")
    publish(living.store / "later", golden_models / "saved_model_half_plus_two_cpu")
    living.process.wait_for("version_available", model="later", version=123)
    assert halve(living.channel, "later", 2.0) == ("123", 3.0)


def test_nothing_but_events_is_written(living: Living) -> None:
    assert halve(living.channel, "steady", 4.0) == ("1", 4.0)
    assert living.process.noise == []


def _spin(channel: grpc.Channel, steps: int) -> grpc.Future[bytes]:
    """Begin a call that takes about `steps` times 20 µs."""
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PREDICT)
    tensor = Tensor("steps", "INT64", np.array(steps, np.int64))
    request = tfs_proto.encode_request(InferRequest(model="spin", inputs=(tensor,)))
    return call.future(request, timeout=TIMEOUT_S)


def test_after_sigterm_what_came_in_is_finished_and_nothing_new_begins(
    start_stand_in: StartStandIn, spin_store: Path
) -> None:
    models = [ModelConfig(name="spin", base_path=str(spin_store))]
    process = start_stand_in(models, "--threads", "1", "--file-system-poll-wait-seconds", "0")
    with process.channel() as channel, process.channel() as later:
        assert _spin(channel, 1).result(TIMEOUT_S)
        calls = [_spin(channel, 20_000), _spin(channel, 2)]  # the second one is queued
        states(channel, "spin")  # the server has seen both
        process.send(signal.SIGTERM)
        process.wait_for("draining")
        answers = [tfs_proto.decode_response(call.result(TIMEOUT_S)) for call in calls]
        assert [int(answer.outputs[0].array) for answer in answers] == [20_000, 2]
        error = _spin(later, 1).exception(TIMEOUT_S)
        assert isinstance(error, grpc.RpcError)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert process.wait() == 0
    assert process.wait_for("stopped")["calls"] == 0
    assert process.noise == []


def test_ctrl_c_ends_it_without_a_traceback(
    start_stand_in: StartStandIn, golden_models: Path
) -> None:
    process = start_stand_in([ModelConfig(name="named", base_path=str(golden_models / "named"))])
    process.wait_for("listening")
    process.send(signal.SIGINT)
    assert process.wait() == 0
    assert process.noise == []


def test_a_signal_while_tensorflow_is_imported_ends_it_too(
    start_stand_in: StartStandIn, golden_models: Path
) -> None:
    process = start_stand_in([ModelConfig(name="named", base_path=str(golden_models / "named"))])
    process.wait_for("starting")
    process.send(signal.SIGINT)
    assert process.wait() == 0
    assert process.noise == []


def test_a_call_that_does_not_end_is_left_when_the_time_is_up(
    start_stand_in: StartStandIn, spin_store: Path
) -> None:
    models = [ModelConfig(name="spin", base_path=str(spin_store))]
    process = start_stand_in(models, "--drain-timeout-seconds", "0.1")
    with process.channel() as channel:
        assert _spin(channel, 1).result(TIMEOUT_S)
        call = _spin(channel, 2**40)
        states(channel, "spin")
        process.send(signal.SIGTERM)
        assert process.wait() == 1
        assert process.wait_for("stopped")["calls"] == 1
        assert isinstance(call.exception(TIMEOUT_S), grpc.RpcError)


def test_a_second_signal_does_not_wait_for_the_calls(
    start_stand_in: StartStandIn, spin_store: Path
) -> None:
    process = start_stand_in([ModelConfig(name="spin", base_path=str(spin_store))])
    with process.channel() as channel:
        assert _spin(channel, 1).result(TIMEOUT_S)
        call = _spin(channel, 2**40)
        states(channel, "spin")
        process.send(signal.SIGTERM)
        process.wait_for("draining")
        process.send(signal.SIGTERM)
        assert process.wait() == 130
        error = call.exception(TIMEOUT_S)
        assert isinstance(error, grpc.RpcError)
        assert error.code() is grpc.StatusCode.UNAVAILABLE


def test_what_cannot_be_started_is_told_in_one_line_and_with_status_2(
    start_stand_in: StartStandIn, golden_models: Path, tmp_path: Path
) -> None:
    model = ModelConfig(name="named", base_path=str(golden_models / "named"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        cases = [
            start_stand_in([model, model]),
            start_stand_in([model], "--model-config-file", str(tmp_path / "nowhere")),
            start_stand_in([model], "--model-base-path", "x=/y"),
            start_stand_in([model], "--port", str(taken.getsockname()[1])),
        ]
        problems = [str(process.wait_for("cannot_start")["error"]) for process in cases]
        assert [process.wait() for process in cases] == [2, 2, 2, 2]
    assert "Illegal to list model named multiple times in config list" in problems[0]
    assert "nowhere: cannot be read" in problems[1]
    assert problems[2] == "got base paths for ['x'], which the file does not name"
    assert "cannot listen on 127.0.0.1 port" in problems[3]
    assert all(process.noise == [] for process in cases)
