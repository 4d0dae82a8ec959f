"""Does the stand-in answer as the real server did? The recorded calls, asked with the real client stubs.

Every difference is listed here with its reason; serving/tf_serving/README.md tells users the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway._stubs import tfs_wire_pb2 as wire
from serving.tf_serving.config import ModelConfig
from serving.tf_serving.versions import AllVersions
from tests.codecs.tfs_golden import GOLDEN, GrpcExchange, grpc_exchanges
from tests.serving.tf_serving.conftest import Replay, StartStandIn

pytestmark = pytest.mark.slow

NOT_HERE = {"est", "half_plus_two_tf2", "mlp_sig"}
"""Models whose files are not among the recorded ones."""

UNCARRIED = "a datatype that Tandem does not carry, refused before the model is looked up"
DIFFERENT_CODES: Mapping[int, tuple[str, str]] = {
    113: ("UNIMPLEMENTED", UNCARRIED),  # complex64
    142: ("UNIMPLEMENTED", UNCARRIED),  # resource
    143: ("UNIMPLEMENTED", UNCARRIED),  # variant
}

PARSING = "tensor parsing error: "  # the real server stops there; ours goes on to say what is wrong
IN_THE_GRAPH = "\n\t [["  # then the node that failed: of two that would fail, either one


def _model_of(exchange: GrpcExchange) -> str:
    if exchange.group == "raw":
        return ""
    # Every request has its model_spec in the same field, and this message has no other.
    return wire.GetModelStatusRequest.FromString(exchange.request).model_spec.name


def _calls() -> list[GrpcExchange]:
    return [call for call in grpc_exchanges() if _model_of(call) not in NOT_HERE]


@pytest.fixture(scope="module")
def answers(
    start_stand_in: StartStandIn, golden_models: Path, replay: Replay
) -> Mapping[int, Mapping[str, str]]:
    """What the stand-in answered, by the id of the call; in the recorded order, for `counter` counts."""

    def model(name: str, directory: str) -> ModelConfig:
        return ModelConfig(name=name, base_path=str(golden_models / directory))

    two_versions = golden_models / "saved_model_half_plus_two_2_versions"
    stand_in = start_stand_in(
        [
            model("half_plus_two", "saved_model_half_plus_two_cpu"),
            model("half_plus_two_2v_latest", "saved_model_half_plus_two_2_versions"),
            model("counter", "saved_model_counter"),
            *[model(name, name) for name in ("mlp", "named", "types")],
            ModelConfig(
                name="half_plus_two_2v",
                base_path=str(two_versions),
                policy=AllVersions(),
                labels={"stable": 123, "canary": 124},
            ),
        ]
    )
    address = stand_in.address
    assert stand_in.noise == [], "TensorFlow wrote to the log"
    wanted = {call.id for call in _calls()}
    lines = (GOLDEN / "grpc.jsonl").read_text().splitlines()
    calls = [call for call in map(json.loads, lines) if call["id"] in wanted]
    return {int(answer["id"]): answer for answer in replay(address, calls)}


def test_nearly_every_recorded_call_is_asked(answers: Mapping[int, Mapping[str, str]]) -> None:
    assert len(answers) == len(_calls()) > 130


@pytest.mark.parametrize("call", _calls(), ids=lambda call: f"{call.id}-{call.group}")
def test_the_answer_is_the_recorded_one(
    call: GrpcExchange, answers: Mapping[int, Mapping[str, str]]
) -> None:
    got = answers[call.id]
    if call.id in DIFFERENT_CODES:
        assert got["code"] == DIFFERENT_CODES[call.id][0] != call.code
        return
    assert (got["code"], got["response"]) == (call.code, got["recorded"])
    if call.code not in {"INTERNAL", "UNIMPLEMENTED"}:  # those texts are the gRPC library's
        assert _comparable(got["details"]) == _comparable(call.details)


def _comparable(details: str) -> str:
    if details.startswith(PARSING):
        return ":".join(details.split(":")[:2])
    return details.split(IN_THE_GRAPH, maxsplit=1)[0]
