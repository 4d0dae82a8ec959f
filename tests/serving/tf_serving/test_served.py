"""Which version answers, what state is each in, and when may one be let go?"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.errors import UnknownLabel, UnknownModel
from gateway.messages import InferRequest, Target, VersionStatus
from serving.tf_serving.config import ModelConfig
from serving.tf_serving.served import Loaded, ServedModels
from tests.serving.tf_serving.fakes import FakeServable, broken

MODEL = ModelConfig(name="m", base_path="/m", labels={"stable": 1, "canary": 2, "gone": 9})


def served(*versions: int) -> ServedModels:
    models = ServedModels([MODEL])
    for version in versions:
        models.add("m", version, FakeServable("m", version))
    return models


def version_of(models: ServedModels, version: str | None = None, label: str | None = None) -> str:
    request = InferRequest(model="m", inputs=(), version=version, label=label)
    return models.predict(request).version


def test_the_newest_version_answers_unless_another_is_asked_for() -> None:
    models = served(2, 10, 1)
    assert version_of(models) == "10"
    assert version_of(models, version="2") == "2"
    assert version_of(models, label="stable") == "1"
    assert models.metadata(Target(model="m", label="canary")) == b"m 2"


def test_what_is_not_there_is_told_in_the_real_servers_words() -> None:
    models = served(1)
    cases = [
        (InferRequest(model="x", inputs=()), "Servable not found for request: Latest(x)"),
        (
            InferRequest(model="x", inputs=(), version="3"),
            "Servable not found for request: Specific(x, 3)",
        ),
        (
            InferRequest(model="m", inputs=(), version="-1"),
            "Servable not found for request: Specific(m, -1)",
        ),
        (
            InferRequest(model="m", inputs=(), label="gone"),
            "Servable not found for request: Specific(m, 9)",
        ),
    ]
    for request, words in cases:
        with pytest.raises(UnknownModel) as caught:
            models.predict(request)
        assert str(caught.value) == words


@pytest.mark.parametrize(("model", "label"), [("m", "x"), ("m", ""), ("x", "stable")])
def test_an_unknown_label_is_told_before_an_unknown_model(model: str, label: str) -> None:
    with pytest.raises(UnknownLabel, match=f"^Unrecognized servable version label: {label}$"):
        served(1).predict(InferRequest(model=model, inputs=(), label=label))


def test_a_configured_model_without_versions_answers_nothing() -> None:
    with pytest.raises(UnknownModel, match=r"Latest\(m\)"):
        version_of(served())
    with pytest.raises(UnknownModel, match=r"^Could not find any versions of model m$"):
        served().statuses(Target(model="m"))


def test_states_are_told_newest_first_and_linger() -> None:
    models = served()
    models.note("m", 1, "END")
    models.note("m", 3, "END", broken())
    models.note("m", 2, "AVAILABLE")
    statuses = models.statuses(Target(model="m"))
    assert [(status.version, status.state) for status in statuses] == [
        ("3", "END"),
        ("2", "AVAILABLE"),
        ("1", "END"),
    ]
    assert (statuses[0].error_code, statuses[0].error_message) == ("DATA_LOSS", "broken")
    assert models.statuses(Target(model="m", version="1")) == (
        VersionStatus(version="1", state="END"),
    )


def test_a_label_is_ignored_where_states_are_asked_for() -> None:
    models = served()
    models.note("m", 1, "AVAILABLE")
    assert len(models.statuses(Target(model="m", label="no such label"))) == 1


def test_the_state_of_an_unknown_version_is_an_error() -> None:
    models = served()
    models.note("m", 1, "AVAILABLE")
    with pytest.raises(UnknownModel, match=r"^Could not find version 5 of model m$"):
        models.statuses(Target(model="m", version="5"))
    with pytest.raises(UnknownModel, match=r"^Could not find version 1 of model x$"):
        models.statuses(Target(model="x", version="1"))


def test_a_version_that_was_removed_answers_no_more() -> None:
    models = served(1, 2)
    models.remove("m", 2)
    assert version_of(models) == "1"
    assert models.available("m") == {1}


def test_a_servable_is_let_go_only_after_the_last_call_has_left() -> None:
    gate = threading.Event()
    models = ServedModels([MODEL])
    old = FakeServable("m", 1, gate)
    models.add("m", 1, old)
    with ThreadPoolExecutor(2) as threads:
        call = threads.submit(version_of, models)
        assert old.started.acquire(timeout=30)
        models.add("m", 2, FakeServable("m", 2))
        removed = models.remove("m", 1)
        assert not removed.retire(timeout_s=0)
        assert version_of(models) == "2", "new calls go to the new version meanwhile"
        retired = threads.submit(removed.retire, 30)
        gate.set()
        assert call.result(30) == "1"
        assert retired.result(30)


def test_nobody_enters_what_was_retired() -> None:
    loaded = Loaded(FakeServable("m", 1))
    assert loaded.enter()
    loaded.leave()
    assert loaded.retire(timeout_s=0)
    assert not loaded.enter()


def test_a_call_that_found_a_version_just_retired_looks_again() -> None:
    """The version is replaced between finding and entering it."""
    models = served(1)
    found = models._find("m", None, None)
    models.add("m", 2, FakeServable("m", 2))
    models.remove("m", 1)
    assert found.retire(timeout_s=0)
    answers = iter([found, models._find("m", None, None)])
    models._find = lambda *_: next(answers)  # type: ignore[method-assign]
    assert version_of(models) == "2"


def test_calls_never_meet_a_closed_servable_while_versions_change() -> None:
    """The fakes assert that they are never called, or closed, at the wrong moment."""
    models = served(0)
    stop = threading.Event()

    def call() -> int:
        calls = 0
        while not stop.is_set():
            version_of(models)
            calls += 1
        return calls

    with ThreadPoolExecutor(4) as threads:
        callers = [threads.submit(call) for _ in range(4)]
        for version in range(1, 50):
            models.add("m", version, FakeServable("m", version))
            removed = models.remove("m", version - 1)
            assert removed.retire(timeout_s=30)
            removed.servable.close()
        stop.set()
        assert all(caller.result(30) for caller in callers)
