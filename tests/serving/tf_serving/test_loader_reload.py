"""What becomes of the versions when the loader is given another configuration?"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import UnknownLabel
from gateway.messages import InferRequest
from serving.tf_serving.config import ModelConfig
from serving.tf_serving.served import ReloadFailed, Servable
from serving.tf_serving.versions import AllVersions
from tests.serving.tf_serving.test_loader import World


def config(world: World, name: str, **labels: int) -> ModelConfig:
    return ModelConfig(name=name, base_path=str(world.store / name), labels=labels)


def test_models_that_are_not_named_any_more_are_unloaded_and_keep_their_states(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, models=("m", "other"))
    world.put(1)
    world.put(1, model="other")
    world.poll()
    world.loader.reload([config(world, "other")], world.stop)
    assert (world.states("m"), world.states("other")) == ({"1": "END"}, {"1": "AVAILABLE"})
    assert world.made["m", 1].is_closed
    assert not world.loader.follows("m")
    world.poll()
    assert world.states("m") == {"1": "END"}


def test_new_models_are_loaded_before_the_reload_returns(tmp_path: Path) -> None:
    world = World(tmp_path)
    (tmp_path / "new").mkdir()
    world.put(7, model="new")
    world.loader.reload([config(world, "new")], world.stop)
    assert world.states("new") == {"7": "AVAILABLE"}


def test_a_version_that_answers_goes_on_when_its_base_path_changes(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(1)
    world.poll()
    (tmp_path / "new").mkdir()
    world.put(1, model="new")
    moved = replace(config(world, "m"), base_path=str(tmp_path / "new"))
    world.loader.reload([moved], world.stop)
    assert world.states() == {"1": "AVAILABLE"}
    assert not world.made["m", 1].is_closed


def test_a_policy_and_labels_change_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(1)
    world.put(2)
    assert world.poll() == {"2": "AVAILABLE"}
    both = replace(config(world, "m", old=1), policy=AllVersions())
    world.loader.reload([both], world.stop)
    asked = InferRequest(model="m", inputs=(), label="old")
    assert world.served.predict(asked).version == "1"
    world.loader.reload([replace(both, labels={})], world.stop)
    with pytest.raises(UnknownLabel):
        world.served.predict(asked)


def test_a_label_moves_only_to_a_version_that_answers_but_may_be_new(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(1)
    world.poll()
    world.loader.reload([config(world, "m", early=9)], world.stop)
    for allowed in (config(world, "m", early=9, new=5), config(world, "m", early=1)):
        world.served.check_labels(allowed)
    with pytest.raises(ReloadFailed) as caught:
        world.served.check_labels(config(world, "m", early=8))
    assert (caught.value.code, caught.value.message) == (
        "FAILED_PRECONDITION",
        "Request to assign label to version 8 of model m, which is not currently available for inference",
    )


def test_a_reload_waits_for_the_load_that_is_going_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(1)
    loading, go_on = threading.Event(), threading.Event()
    load = world.load

    def slow(model: str, version: int, path: Path) -> Servable:
        loading.set()
        assert go_on.wait(30)
        return load(model, version, path)

    world.loader._load = slow
    with ThreadPoolExecutor(2) as threads:
        polled = threads.submit(world.loader.poll, world.stop)
        assert loading.wait(30)
        reloaded = threads.submit(world.loader.reload, [], world.stop)
        assert world.loader.follows("m")
        go_on.set()
        polled.result(30)
        reloaded.result(30)
    assert world.states() == {"1": "END"}


def test_whoever_waits_is_woken_by_every_poll(tmp_path: Path) -> None:
    world = World(tmp_path)
    with ThreadPoolExecutor(1) as threads:
        waits = threads.submit(world.loader.wait_for, lambda: bool(world.served.available("m")), 30)
        world.put(1)
        world.poll()
        assert waits.result(30)
    assert not world.loader.wait_for(lambda: False, 0.0)
