"""Does the stand-in answer as the real server did? The recorded calls, asked with the real client stubs.

Every difference is listed here with its reason; serving/tf_serving/README.md tells users the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.serving.tf_serving.conftest import Replay, StartStandIn
from tests.serving.tf_serving.recorded import Call, comparable, models_in, read_calls

pytestmark = pytest.mark.slow

NOT_LOADED = "mlp_sig"
"""A model that the recorded server had, but could not load: what it then answered is no example."""

UNCARRIED = "a datatype that Tandem does not carry, refused before the model is looked up"
DIFFERENT_CODES: Mapping[int, tuple[str, str]] = {
    113: ("UNIMPLEMENTED", UNCARRIED),  # complex64
    142: ("UNIMPLEMENTED", UNCARRIED),  # resource
    143: ("UNIMPLEMENTED", UNCARRIED),  # variant
}

CALLS = [
    call
    for name in ("grpc.jsonl", "grpc_examples.jsonl")
    for call in read_calls(name)
    if call.model != NOT_LOADED
]


@pytest.fixture(scope="module")
def answers(
    start_stand_in: StartStandIn, recorded_store: Path, replay: Replay
) -> Mapping[int, Mapping[str, str]]:
    """What the stand-in answered, by the id of the call; in the recorded order, for `counter` counts."""
    stand_in = start_stand_in(models_in(recorded_store))
    address = stand_in.address
    assert stand_in.noise == [], "TensorFlow wrote to the log"
    return {
        int(answer["id"]): answer for answer in replay(address, [dict(call.line) for call in CALLS])
    }


def test_nearly_every_recorded_call_is_asked(answers: Mapping[int, Mapping[str, str]]) -> None:
    assert len(answers) == len(CALLS) == 226


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_the_answer_is_the_recorded_one(
    call: Call, answers: Mapping[int, Mapping[str, str]]
) -> None:
    got = answers[call.id]
    if call.id in DIFFERENT_CODES:
        assert got["code"] == DIFFERENT_CODES[call.id][0] != call.code
        return
    assert (got["code"], got["response"]) == (call.code, got["recorded"])
    if call.code != "INTERNAL" and call.method[0] != "/":  # those texts are the gRPC library's
        assert comparable(got["details"]) == comparable(call.details)
