from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving.torch_server.registry import (
    Key,
    Load,
    Phase,
    Unload,
    choose_versions,
    next_actions,
)

KEYS = st.builds(
    Key, st.sampled_from(["a", "b"]), st.integers(0, 4), st.sampled_from(["old", "new"])
)
WANTED = st.sets(KEYS, max_size=6)
HELD = st.dictionaries(KEYS, st.sampled_from(Phase), max_size=6)

V1, V2, V3 = (Key("a", number, "x") for number in (1, 2, 3))


def test_a_new_version_is_loaded_and_the_old_one_serves_until_it_is_ready() -> None:
    assert next_actions([V2], {V1: Phase.READY}) == (Load(V2),)
    assert next_actions([V2], {V1: Phase.READY, V2: Phase.LOADING}) == ()
    assert next_actions([V2], {V1: Phase.READY, V2: Phase.READY}) == (Unload(V1),)


def test_the_last_version_that_works_is_not_given_up_for_one_that_does_not() -> None:
    assert next_actions([V2], {V1: Phase.READY, V2: Phase.REFUSED}) == ()
    held = {V1: Phase.READY, V2: Phase.REFUSED, V3: Phase.READY}
    assert next_actions([V2, V3], held) == (Unload(V1),)


def test_a_refused_version_is_not_loaded_again_until_it_is_published_again() -> None:
    again = Key("a", 1, "y")
    assert next_actions([V1], {V1: Phase.REFUSED}) == ()
    assert next_actions([again], {V1: Phase.REFUSED}) == (Load(again), Unload(V1))


def test_all_versions_of_a_model_go_when_the_store_wants_none() -> None:
    held = {V1: Phase.READY, V2: Phase.REFUSED}
    assert next_actions([], held) == (Unload(V1), Unload(V2))


@given(WANTED, HELD)
def test_what_is_loading_or_unloading_is_left_alone(
    wanted: set[Key], held: dict[Key, Phase]
) -> None:
    touched = {action.key for action in next_actions(wanted, held)}
    assert not touched & {
        k for k, phase in held.items() if phase in (Phase.LOADING, Phase.UNLOADING)
    }


@given(WANTED, HELD)
def test_a_model_that_is_wanted_and_can_be_asked_never_loses_its_last_ready_version(
    wanted: set[Key], held: dict[Key, Phase]
) -> None:
    gone = {action.key for action in next_actions(wanted, held) if isinstance(action, Unload)}
    for model in {key.model for key in wanted}:
        ready = {k for k, phase in held.items() if phase is Phase.READY and k.model == model}
        assert not ready or ready - gone


@given(WANTED, HELD, st.data())
def test_it_comes_to_hold_what_is_wanted_and_then_rests(
    wanted: set[Key], held: dict[Key, Phase], data: st.DataObject
) -> None:
    held = {k: Phase.READY if p is Phase.LOADING else p for k, p in held.items()}
    held = {k: p for k, p in held.items() if p is not Phase.UNLOADING}
    for _ in range(3):
        for action in next_actions(wanted, held):
            if isinstance(action, Load):
                held[action.key] = data.draw(st.sampled_from([Phase.READY, Phase.REFUSED]))
            else:
                del held[action.key]
    assert next_actions(wanted, held) == ()
    assert wanted <= held.keys()
    for key in held.keys() - wanted:  # kept only where nothing that is wanted works
        phases = [held[other] for other in wanted if other.model == key.model]
        assert phases
        assert Phase.READY not in phases


@given(st.sets(KEYS), st.integers(0, 3))
def test_the_newest_versions_are_chosen_of_the_named_models(stored: set[Key], latest: int) -> None:
    one_each = {(key.model, key.version): key for key in stored}.values()
    chosen = choose_versions(one_each, models=("a",), latest_versions=latest)
    numbers = sorted(key.version for key in one_each if key.model == "a")
    assert [key.version for key in chosen] == numbers[-latest:]
    assert {key.model for key in chosen} <= {"a"}


def test_all_models_are_chosen_when_none_is_named() -> None:
    keys = (Key("a", 1, "x"), Key("b", 2, "x"))
    assert choose_versions(keys, models=(), latest_versions=0) == keys
