"""Comparing two answers, held against a slow and obvious reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.shadow.compare import compare
from gateway.tensors import DTYPES, Datatype, Tensor

floats = st.floats(width=32)
pairs = hnp.array_shapes(max_dims=3, max_side=4, min_side=0).flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.float32, shape, elements=floats),
        hnp.arrays(np.float32, shape, elements=floats),
    )
)


def tensor(values: object, datatype: Datatype = "FP32", name: str = "y") -> Tensor:
    return Tensor(name, datatype, np.asarray(values, DTYPES[datatype]))


def agrees(control: float, candidate: float, atol: float, rtol: float) -> bool:
    if math.isnan(control) or math.isnan(candidate):
        return math.isnan(control) and math.isnan(candidate)
    if math.isinf(control) or math.isinf(candidate):
        return control == candidate
    return abs(candidate - control) <= atol + rtol * abs(control)


@given(pairs, st.floats(0, 1), st.floats(0, 1))
def test_it_agrees_with_the_definition_element_by_element(
    pair: tuple[np.ndarray, np.ndarray], atol: float, rtol: float
) -> None:
    control, candidate = pair
    found = compare([tensor(control)], [tensor(candidate)], atol=atol, rtol=rtol)
    expected = all(
        agrees(float(a), float(b), atol, rtol)
        for a, b in zip(control.flat, candidate.flat, strict=True)
    )
    assert (found.kind == "match") == expected
    if found.kind == "value":
        where = (float(control[found.index]), float(candidate[found.index]))
        assert not agrees(*where, atol, rtol)


@given(pairs)
def test_an_answer_always_matches_itself(pair: tuple[np.ndarray, np.ndarray]) -> None:
    found = compare([tensor(pair[0])], [tensor(pair[0])], atol=0, rtol=0)
    assert (found.kind, found.max_abs) == ("match", 0.0)


def test_the_worst_element_is_named() -> None:
    found = compare([tensor([[0, 0], [0, 0]])], [tensor([[0, 1], [5, 2]])], atol=0.1, rtol=0)
    assert (found.kind, found.output, found.index, found.max_abs) == ("value", "y", (1, 0), 5.0)


def test_nan_against_a_number_is_an_infinite_difference() -> None:
    found = compare([tensor([1.0])], [tensor([math.nan])], atol=1e9, rtol=1e9)
    assert (found.kind, found.max_abs) == ("value", math.inf)


@pytest.mark.parametrize(
    ("candidate", "kind"),
    [
        ([tensor([1.0], name="z")], "names"),
        ([tensor([1.0]), tensor([1.0], name="z")], "names"),
        ([tensor([1.0], "FP64")], "datatype"),
        ([tensor([[1.0]])], "shape"),
        ([tensor([1.5])], "value"),
        ([tensor([1.0])], "match"),
    ],
)
def test_what_differs_first_is_told(candidate: list[Tensor], kind: str) -> None:
    assert compare([tensor([1.0])], candidate, atol=0, rtol=0).kind == kind


@pytest.mark.parametrize(
    ("datatype", "same", "other"),
    [
        ("INT64", [2**60, 1], [2**60 + 1, 1]),  # would be equal as float64
        ("BOOL", [True, False], [True, True]),
        ("BYTES", [b"a", b"b"], [b"a", b"c"]),
        ("BF16", [1.0, 2.0], [1.0, 3.0]),
        ("FP16", [1.0, 2.0], [1.0, 3.0]),
    ],
)
def test_every_kind_of_value_can_differ(
    datatype: Datatype, same: list[object], other: list[object]
) -> None:
    control = [tensor(same, datatype)]
    assert compare(control, [tensor(same, datatype)], atol=1e-3, rtol=1e-3).kind == "match"
    assert compare(control, [tensor(other, datatype)], atol=1e-3, rtol=1e-3).kind == "value"
