"""Resolving a target: forced arm, version, label, split, in that order."""

from __future__ import annotations

import pytest

from gateway.errors import InvalidRequest, NotReady, UnknownLabel, UnknownModel, UnknownSignature
from gateway.messages import ModelDescription, Target
from gateway.routing.table import Arm, ModelRoutes, RouteTable, Shadow
from tests.fakes.arithmetic import FLOATS


def arm(name: str, *, version: str = "1", weight: float = 1.0, ready: bool = True) -> Arm:
    described = ModelDescription(
        model="m", version=version, platform="p", signatures={"serving_default": FLOATS}
    )
    return Arm(
        name=name,
        model="m",
        backend=name,
        backend_model="m",
        weight=weight,
        version=version,
        description=described if ready else None,
        error="" if ready else "connection refused",
    )


def table(*arms: Arm, shadows: tuple[Shadow, ...] = ()) -> RouteTable:
    routes = ModelRoutes(
        name="m", arms={a.name: a for a in arms}, labels={"stable": 1, "lost": 9}, shadows=shadows
    )
    return RouteTable(models={"m": routes})


def test_an_unknown_model_is_told_the_known_ones() -> None:
    with pytest.raises(UnknownModel, match="got model 'x', models served: m"):
        table(arm("a")).resolve(Target(model="x"))


def test_one_arm_is_the_only_choice() -> None:
    decision = table(arm("a")).resolve(Target(model="m", unit="u"))
    assert (decision.arm.name, decision.why) == ("a", "only")


def test_the_same_unit_always_gets_the_same_arm_and_both_arms_get_units() -> None:
    routes = table(arm("a"), arm("b"))
    chosen = {u: routes.resolve(Target(model="m", unit=u)).arm.name for u in map(str, range(99))}
    again = {u: routes.resolve(Target(model="m", unit=u)).arm.name for u in map(str, range(99))}
    assert chosen == again
    assert set(chosen.values()) == {"a", "b"}


def test_a_forced_arm_wins_even_without_weight() -> None:
    routes = table(arm("a"), arm("b", weight=0))
    for version in (None, "1"):
        decision = routes.resolve(Target(model="m", arm="b", version=version))
        assert (decision.arm.name, decision.why) == ("b", "forced")


def test_a_forced_arm_must_serve_the_version_asked_for_beside_it() -> None:
    with pytest.raises(UnknownModel, match="got version 7 of model m and arm b, which serves"):
        table(arm("a"), arm("b")).resolve(Target(model="m", arm="b", version="7"))
    with pytest.raises(UnknownLabel):
        table(arm("a"), arm("b")).resolve(Target(model="m", arm="b", label="z"))


def test_an_unknown_forced_arm_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidRequest, match="got arm 'z', model m has arms: a, b"):
        table(arm("a"), arm("b")).resolve(Target(model="m", arm="z"))


def test_a_version_narrows_the_choice_to_the_arms_that_serve_it() -> None:
    routes = table(arm("a", version="1"), arm("b", version="2", weight=0))
    decision = routes.resolve(Target(model="m", version="2"))
    assert (decision.arm.name, decision.why) == ("b", "version")
    with pytest.raises(UnknownModel, match="got version 3 of model m, versions served: 1, 2"):
        routes.resolve(Target(model="m", version="3"))


def test_where_no_version_is_told_none_can_be_asked_for() -> None:
    """And the error does not say that one will be served soon."""
    with pytest.raises(UnknownModel, match="none is known: its servers tell none, or were not"):
        table(arm("a", version="")).resolve(Target(model="m", version="1"))


def test_two_arms_with_the_asked_version_are_split() -> None:
    routes = table(arm("a"), arm("b"))
    chosen = {
        routes.resolve(Target(model="m", version="1", unit=str(n))).arm.name for n in range(50)
    }
    assert chosen == {"a", "b"}


def test_a_label_names_a_version() -> None:
    routes = table(arm("a", version="1"), arm("b", version="2"))
    decision = routes.resolve(Target(model="m", label="stable"))
    assert (decision.arm.name, decision.why) == ("a", "label")
    with pytest.raises(UnknownLabel, match="Unrecognized servable version label: nope"):
        routes.resolve(Target(model="m", label="nope"))
    with pytest.raises(UnknownModel, match="version 9"):
        routes.resolve(Target(model="m", label="lost"))


def test_an_arm_that_is_not_ready_takes_no_part_in_the_split() -> None:
    routes = table(arm("a"), arm("b", ready=False))
    assert {routes.resolve(Target(model="m", unit=str(n))).arm.name for n in range(50)} == {"a"}


def test_no_ready_arm_says_why() -> None:
    with pytest.raises(NotReady, match="arm a: connection refused"):
        table(arm("a", ready=False)).resolve(Target(model="m"))


def test_a_shadow_is_never_the_arm_that_answers() -> None:
    a, b = arm("a"), arm("b")
    routes = table(a, b, shadows=(Shadow(arm=b, sample_ratio=1.0),))
    by_a = routes.resolve(Target(model="m", arm="a"))
    by_b = routes.resolve(Target(model="m", arm="b"))
    assert [shadow.arm.name for shadow in by_a.shadows] == ["b"]
    assert by_b.shadows == ()


def test_an_unknown_signature_is_named() -> None:
    with pytest.raises(UnknownSignature, match='Serving signature name: "x" not found'):
        arm("a").signature("x")
    assert arm("a").signature("") is FLOATS
