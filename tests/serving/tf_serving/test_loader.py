"""Do the loaded versions follow what lies in the base path? With servables that load nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.messages import Target
from serving.tf_serving.config import ModelConfig
from serving.tf_serving.loader import Loader
from serving.tf_serving.served import Servable, ServedModels
from serving.tf_serving.versions import AllVersions, Latest, Policy, wanted_versions
from tests.serving.tf_serving.fakes import Events, FakeServable, broken

LATEST = Latest(1)


class World:
    """A store on disk, and a loader that reads it; a version's `saved_model.pb` says `bad` or `good`."""

    def __init__(self, store: Path, policy: Policy = LATEST, *, models: tuple[str, ...] = ("m",)):
        self.store = store
        self.stop = threading.Event()
        self.events = Events()
        self.made: dict[tuple[str, int], FakeServable] = {}
        configs = [
            ModelConfig(name=name, base_path=str(store / name), policy=policy) for name in models
        ]
        self.served = ServedModels(configs)
        self.loader = Loader(configs, self.served, self.load, report=self.events)
        for name in models:
            (store / name).mkdir(parents=True, exist_ok=True)

    def load(self, model: str, version: int, path: Path) -> Servable:
        content = (path / "saved_model.pb").read_text()
        if content == "bad":
            raise broken()
        if content == "surprising":
            raise RuntimeError("nobody thought of this")
        servable = self.made[model, version] = FakeServable(model, version)
        return servable

    def put(self, version: int | str, content: str = "good", model: str = "m") -> None:
        directory = self.store / model / str(version)
        directory.mkdir(exist_ok=True)
        (directory / "saved_model.pb").write_text(content)

    def drop(self, version: int | str) -> None:
        directory = self.store / "m" / str(version)
        (directory / "saved_model.pb").unlink()
        directory.rmdir()

    def poll(self) -> dict[str, str]:
        """One look; the states afterwards, by version."""
        self.loader.poll(self.stop)
        return self.states()

    def states(self, model: str = "m") -> dict[str, str]:
        statuses = self.served.statuses(Target(model=model))
        return {status.version: status.state for status in statuses}

    def news(self) -> list[tuple[str, object]]:
        """(event, version) since the last time."""
        seen = [(event, version) for event, _, version in self.events.seen]
        self.events.seen.clear()
        return seen


def test_a_new_version_replaces_the_old_one_without_a_gap(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(1)
    assert world.poll() == {"1": "AVAILABLE"}
    world.put(2)
    assert world.poll() == {"2": "AVAILABLE", "1": "END"}
    assert world.news() == [
        ("version_available", 1),
        ("version_available", 2),
        ("version_unloaded", 1),
    ]
    assert world.made["m", 1].is_closed


def test_versions_come_and_go_as_with_the_real_server(tmp_path: Path) -> None:
    """The states that the real server was seen to go through, step by step."""
    world = World(tmp_path)
    world.put(1)
    world.poll()
    world.put(2)
    world.poll()
    world.put(3, "bad")
    assert world.poll() == {"3": "END", "2": "AVAILABLE", "1": "END"}
    world.drop(3)
    world.drop(2)
    assert world.poll() == {"3": "END", "2": "END", "1": "AVAILABLE"}
    world.put("notanumber")
    world.put("007x")
    world.put("0005")
    assert world.poll() == {"5": "AVAILABLE", "3": "END", "2": "END", "1": "END"}
    world.drop("0005")
    world.drop(1)
    assert set(world.poll().values()) == {"END"}
    assert world.served.statuses(Target(model="m", version="3"))[0].error_message == "broken"


def test_a_version_that_cannot_be_loaded_leaves_the_others_alone(tmp_path: Path) -> None:
    world = World(tmp_path, models=("bad", "m"))
    world.put(1, "bad", model="bad")
    world.put(1)
    assert world.poll() == {"1": "AVAILABLE"}
    assert world.states("bad") == {"1": "END"}


def test_a_refused_version_is_not_tried_again_until_its_files_change(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(1, "bad")
    world.poll()
    world.poll()
    assert world.news() == [("version_refused", 1)]
    world.put(1, "good now")
    assert world.poll() == {"1": "AVAILABLE"}


def test_a_refused_version_is_tried_again_when_it_comes_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(1, "bad")
    world.poll()
    world.drop(1)
    assert world.poll() == {"1": "END"}
    world.put(1, "good")
    assert world.poll() == {"1": "AVAILABLE"}


def test_a_surprise_while_loading_is_one_versions_trouble(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(1)
    world.poll()
    world.put(2, "surprising")
    assert world.poll() == {"2": "END", "1": "AVAILABLE"}
    (status, _) = world.served.statuses(Target(model="m"))
    assert status.error_code == "INTERNAL"
    assert "nobody thought of this" in status.error_message


def test_a_base_path_that_cannot_be_read_changes_nothing_and_is_told_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(1)
    world.poll()
    (tmp_path / "m").rename(tmp_path / "elsewhere")
    world.news()
    assert world.poll() == {"1": "AVAILABLE"}
    world.poll()
    assert world.news() == [("base_path_unreadable", None)]
    (tmp_path / "elsewhere").rename(tmp_path / "m")
    assert world.poll() == {"1": "AVAILABLE"}


def test_files_that_look_like_versions_are_none(tmp_path: Path) -> None:
    world = World(tmp_path)
    (tmp_path / "m" / "7").write_text("a file")
    world.put(1)
    assert world.poll() == {"1": "AVAILABLE"}


def test_a_load_is_announced_before_it_starts(tmp_path: Path) -> None:
    """Whoever asks while one version loads sees that the next one is known."""
    world = World(tmp_path, AllVersions())
    world.put(1)
    world.put(2)
    seen: list[dict[str, str]] = []
    load = world.load

    def watched(model: str, version: int, path: Path) -> Servable:
        seen.append(world.states())
        return load(model, version, path)

    world.loader._load = watched
    world.poll()
    assert seen == [{"2": "LOADING", "1": "START"}, {"2": "AVAILABLE", "1": "LOADING"}]


def test_a_stop_ends_a_look_between_two_loads(tmp_path: Path) -> None:
    world = World(tmp_path, AllVersions())
    world.put(1)
    world.put(2)
    load = world.load

    def last(model: str, version: int, path: Path) -> Servable:
        world.stop.set()
        return load(model, version, path)

    world.loader._load = last
    assert world.poll() == {"2": "AVAILABLE", "1": "START"}


def test_running_looks_until_it_is_stopped(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(1)
    poll: Callable[[threading.Event], None] = world.loader.poll
    looks = 0

    def third_is_last(stop: threading.Event) -> None:
        nonlocal looks
        poll(stop)
        looks += 1
        if looks == 3:
            stop.set()

    world.loader.poll = third_is_last  # type: ignore[method-assign]
    world.loader.run(world.stop, 0.0)
    assert looks == 3
    assert world.states() == {"1": "AVAILABLE"}


contents = st.dictionaries(st.integers(1, 5), st.sampled_from(["good", "bad"]), max_size=4)


@given(st.lists(contents, max_size=5), st.sampled_from([Latest(1), Latest(2), AllVersions()]))
def test_after_any_history_the_wanted_versions_that_can_load_answer(
    tmp_path_factory: pytest.TempPathFactory, history: list[dict[int, str]], policy: Policy
) -> None:
    world = World(tmp_path_factory.mktemp("store"), policy)
    there: set[int] = set()
    for content in history:
        for version in there - content.keys():
            world.drop(version)
        for version, text in content.items():
            world.put(version, text)
        there = set(content)
        world.loader.poll(world.stop)
        wanted = wanted_versions(policy, there)
        loadable = {version for version in wanted if content[version] == "good"}
        available = world.served.available("m")
        # A version once loaded stays, whatever its files say later: it is in memory.
        assert loadable <= available
        if wanted & available or not wanted:
            assert available <= wanted
