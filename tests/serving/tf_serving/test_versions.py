"""Which versions should be served, and what is the next step?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.tf_serving.versions import (
    AllVersions,
    Latest,
    Load,
    Policy,
    Specific,
    Unload,
    next_step,
    version_of,
    wanted_versions,
)

versions = st.frozensets(st.integers(0, 9), max_size=5)
policies: st.SearchStrategy[Policy] = st.one_of(
    st.builds(Latest, st.integers(1, 4)), st.just(AllVersions()), st.builds(Specific, versions)
)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("1", 1),
        ("0005", 5),
        ("0", 0),
        (str(2**63 - 1), 2**63 - 1),
        (str(2**63), None),
        ("007x", None),
        ("notanumber", None),
        ("-1", None),
        ("1.0", None),
        (" 1", None),
        ("", None),
        ("²", None),
        ("٣", None),
        (".build", None),
    ],
)
def test_a_directory_is_a_version_if_its_name_is_a_number(name: str, version: int | None) -> None:
    assert version_of(name) == version


@given(policies, versions)
def test_only_what_was_found_is_wanted(policy: Policy, found: frozenset[int]) -> None:
    assert wanted_versions(policy, found) <= found


@given(st.integers(1, 4), versions)
def test_latest_wants_the_newest_and_as_many_as_it_says(count: int, found: frozenset[int]) -> None:
    wanted = wanted_versions(Latest(count), found)
    assert len(wanted) == min(count, len(found))
    assert all(kept > left for kept in wanted for left in found - wanted)


def test_specific_and_all_want_what_they_name() -> None:
    assert wanted_versions(Specific(frozenset({1, 7})), {1, 2, 3}) == {1}
    assert wanted_versions(AllVersions(), {1, 2}) == {1, 2}


def test_the_new_version_is_loaded_before_the_old_one_goes() -> None:
    assert next_step(frozenset({2}), frozenset({1}), frozenset()) == Load(2)
    assert next_step(frozenset({2}), frozenset({1, 2}), frozenset()) == Unload(1)
    assert next_step(frozenset({2}), frozenset({2}), frozenset()) is None


def test_the_old_version_stays_while_the_new_one_cannot_be_loaded() -> None:
    assert next_step(frozenset({2}), frozenset({1}), frozenset({2})) is None


def test_nothing_wanted_means_nothing_kept() -> None:
    assert next_step(frozenset(), frozenset({1, 2}), frozenset()) == Unload(1)


@given(versions, versions, versions)
def test_the_steps_end_with_the_wanted_versions_and_never_leave_a_gap(
    wanted: frozenset[int], available: frozenset[int], broken: frozenset[int]
) -> None:
    """Follow the steps, with loads of `broken` versions failing, as a loader would."""
    could_answer = bool(available)
    refused: frozenset[int] = frozenset()
    for _ in range(len(wanted) + len(available) + 1):
        step = next_step(wanted, available, refused)
        if step is None:
            break
        match step:
            case Load(version=version) if version in broken:
                refused |= {version}
            case Load(version=version):
                assert version in wanted - available
                available |= {version}
            case Unload(version=version):
                assert version in available - wanted
                available -= {version}
        assert available or not could_answer or not wanted, "the model stopped answering"
    else:
        pytest.fail("the steps do not end")
    loadable = wanted - refused
    assert loadable <= available
    assert available == loadable or not loadable & available or not wanted
