"""The split: exact shares, the same answer everywhere, and monotone under a ramp."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.sampling import is_sampled
from gateway.routing.split import choose, uniform

UNITS = [f"user-{n}" for n in range(20_000)]
names = st.text(min_size=1, max_size=8)
weights = st.dictionaries(names, st.floats(0.01, 100), min_size=1, max_size=5)


def shares(split: dict[str, float], salt: str = "s") -> dict[str, float]:
    counts = dict.fromkeys(split, 0)
    for unit in UNITS:
        counts[choose(split, unit, salt)] += 1
    return {arm: count / len(UNITS) for arm, count in counts.items()}


def test_shares_are_the_weights() -> None:
    for split in ({"a": 50.0, "b": 50.0}, {"a": 75.0, "b": 25.0}, {"a": 6.0, "b": 3.0, "c": 1.0}):
        total = sum(split.values())
        for arm, share in shares(split).items():
            expected = split[arm] / total
            # Five standard deviations of a binomial share: a true split fails once in 1.7 million.
            assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / len(UNITS))


@given(split=weights, unit=st.text(), salt=st.text(), factor=st.floats(1.0, 50.0))
def test_raising_one_weight_only_moves_units_into_that_arm(
    split: dict[str, float], unit: str, salt: str, factor: float
) -> None:
    before = choose(split, unit, salt)
    for arm, weight in split.items():
        after = choose({**split, arm: weight * factor}, unit, salt)
        assert after in (before, arm)


@given(split=weights, unit=st.text(), salt=st.text(), gone=names)
def test_removing_an_arm_moves_only_its_own_units(
    split: dict[str, float], unit: str, salt: str, gone: str
) -> None:
    rest = {arm: weight for arm, weight in split.items() if arm != gone}
    before = choose(split, unit, salt)
    if rest and before != gone:
        assert choose(rest, unit, salt) == before


@given(split=weights, unit=st.text(), salt=st.text())
def test_an_arm_without_weight_is_never_chosen_and_order_does_not_matter(
    split: dict[str, float], unit: str, salt: str
) -> None:
    chosen = choose(split, unit, salt)
    assert choose({**split, "\x00off": 0.0}, unit, salt) == chosen
    assert choose(dict(reversed(split.items())), unit, salt) == chosen


def test_another_salt_makes_an_independent_split() -> None:
    split = {"a": 1.0, "b": 1.0}
    same = sum(choose(split, u, "one") == choose(split, u, "two") for u in UNITS) / len(UNITS)
    assert abs(same - 0.5) < 5 * math.sqrt(0.25 / len(UNITS))


def test_another_process_agrees(gateway_python: Path, root: Path) -> None:
    code = (
        "from gateway.routing.split import choose;"
        "print(''.join(choose({'a':1,'b':2}, f'user-{n}', 's') for n in range(200)))"
    )
    out = subprocess.run(
        [gateway_python, "-c", code], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == "".join(choose({"a": 1, "b": 2}, f"user-{n}", "s") for n in range(200))


@given(st.lists(st.text(), max_size=4))
def test_a_draw_lies_inside_the_interval_and_keeps_parts_apart(parts: list[str]) -> None:
    assert 0 < uniform(*parts) <= 1
    if len(parts) >= 2:
        joined = [parts[0] + parts[1], *parts[2:]]
        assert uniform(*parts) != uniform(*joined)


@given(request_id=st.text(), low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_sample_grows_with_its_ratio(request_id: str, low: float, high: float) -> None:
    low, high = sorted((low, high))
    if is_sampled(request_id, low, "s"):
        assert is_sampled(request_id, high, "s")
    assert is_sampled(request_id, 1.0, "s")
    assert not is_sampled(request_id, 0.0, "s")
