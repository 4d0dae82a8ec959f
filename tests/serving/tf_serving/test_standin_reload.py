"""Is another configuration taken as the real server took it? The recorded reloads, and what was asked after.

The real server was started anew before each reload; here the configuration that it started with is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from serving.tf_serving.config import render
from tests.serving.tf_serving.conftest import Replay, StandInProcess, StartStandIn
from tests.serving.tf_serving.recorded import Call, comparable, models_in, read_calls

pytestmark = pytest.mark.slow

CALLS = read_calls("grpc_reload.jsonl")
RELOAD = "HandleReloadConfigRequest"
GIVES_UP_S = (
    1.0  # recorded callers that waited for what never came; how long they did was not recorded
)

CONFIG = 'model_config_list {{ config {{ name: "{name}" base_path: "{path}" {rest} }} }}'
TENSORFLOW = 'model_platform: "tensorflow"'
OTHER = 'model_platform: "other"'

REFUSED = {
    # No such call was recorded; the words are those of the real server's source.
    1001: (
        CONFIG.format(name="new", path="/models/est", rest=OTHER),
        "Model new requests unsupported platform other",
    ),
    1002: (
        CONFIG.format(name="est", path="/models/est", rest=OTHER),
        (
            "Illegal to change a model's platform. For model est platform was tensorflow and new"
            " platform requested is other"
        ),
    ),
    1003: (
        CONFIG.format(name="est", path="", rest=TENSORFLOW),
        "Expected model est to have an absolute path or URI; got base_path()=",
    ),
    1004: (
        CONFIG.format(name="est", path="/models/est", rest=f"{TENSORFLOW} model_type: TENSORFLOW"),
        (
            "Illegal setting both ModelServerConfig::model_type (deprecated) and"
            " ModelServerConfig::model_platform, model name is est"
        ),
    ),
    1005: (
        CONFIG.format(name="new", path="/models/est", rest="model_type: OTHER"),
        "ModelServerConfig::model_type choice 2 not supported.",
    ),
}
METRIC = "/tensorflow/serving/model_load_count"
ASKED_FOR_METRICS = 1006


@pytest.fixture(scope="module")
def stand_in(start_stand_in: StartStandIn, recorded_store: Path) -> StandInProcess:
    process = start_stand_in(models_in(recorded_store))
    process.wait_for("listening")
    return process


@pytest.fixture(scope="module")
def answers(
    stand_in: StandInProcess, recorded_store: Path, replay: Replay
) -> Mapping[int, Mapping[str, str]]:
    """What the stand-in answered, by the id of the call."""
    at_first = reload_to(render(models_in(recorded_store)), recorded_store)
    lines = []
    for call in CALLS:
        if call.group == "reload":
            lines.append({"id": -call.id, **at_first})
        line: dict[str, Any] = {**call.line, "models": str(recorded_store)}
        if call.code == "DEADLINE_EXCEEDED":
            line["timeout_s"] = GIVES_UP_S
        lines.append(line)
    lines.append({"id": -ASKED_FOR_METRICS, **at_first})
    lines += [
        {"id": number, **reload_to(models, recorded_store)}
        for number, (models, _) in REFUSED.items()
    ]
    asking = f'{at_first["request_text"]} metric_names: "{METRIC}"'
    lines.append({"id": ASKED_FOR_METRICS, **at_first, "request_text": asking})
    return {int(answer["id"]): answer for answer in replay(stand_in.address, lines)}


def reload_to(models: str, store: Path) -> dict[str, str]:
    return {"method": RELOAD, "request_text": f"config {{ {models} }}", "models": str(store)}


def test_the_first_configuration_is_always_taken_again(
    answers: Mapping[int, Mapping[str, str]],
) -> None:
    taken = [answer["code"] for number, answer in answers.items() if number < 0]
    assert taken == ["OK"] * len(taken)
    assert len(taken) > 10


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_the_answer_is_the_recorded_one(
    call: Call, answers: Mapping[int, Mapping[str, str]]
) -> None:
    got = answers[call.id]
    assert (got["code"], got["response"]) == (call.code, got["recorded"])
    assert comparable(got["details"]) == comparable(call.details)


@pytest.mark.parametrize(("number", "words"), [(n, words) for n, (_, words) in REFUSED.items()])
def test_what_cannot_be_served_is_refused_in_the_real_servers_words(
    number: int, words: str, answers: Mapping[int, Mapping[str, str]]
) -> None:
    refused = answers[number]
    assert (refused["code"], refused["details"]) == ("INVALID_ARGUMENT", words)


def test_metrics_that_are_asked_for_have_not_grown(
    answers: Mapping[int, Mapping[str, str]],
) -> None:
    wanted = f'status {{ }} metric {{ name: "{METRIC}" int64_value_increase: 0 }}'
    assert answers[ASKED_FOR_METRICS]["response"].split() == wanted.split()
