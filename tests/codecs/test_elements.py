"""Arrays from elements listed one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway.codecs.elements import array_of
from gateway.errors import InvalidRequest
from gateway.tensors import DTYPES, Array, Datatype

INTEGERS: list[Datatype] = [d for d in DTYPES if "INT" in d]


def make(values: list[Any], datatype: Datatype, shape: tuple[int, ...]) -> Array:
    return array_of(values, datatype, shape, what="input 'x' for model 'm'", path="inputs[0]")


@pytest.mark.parametrize("datatype", INTEGERS)
def test_an_integer_has_its_datatypes_range_and_no_more(datatype: Datatype) -> None:
    """Both ends are taken, and the numbers just outside are refused by their place."""
    limits = np.iinfo(DTYPES[datatype].name)
    ends = [int(limits.min), int(limits.max)]
    assert make(ends, datatype, (2,)).tolist() == ends
    for outside in (ends[0] - 1, ends[1] + 1):
        with pytest.raises(InvalidRequest) as caught:
            make([0, outside], datatype, (2,))
        assert caught.value.path == "inputs[0].data[1]"
        assert f"got {outside}" in caught.value.message
        assert f"{ends[0]} to {ends[1]}" in caught.value.message


def test_a_number_beyond_fp32_is_infinite() -> None:
    """As a cast from double would make it; integers as well."""
    array = make([1e300, -1e300, 10**300, 16777217], "FP32", (4,))
    assert array.tolist() == [np.inf, -np.inf, np.inf, 16777216.0]


def test_a_number_beyond_fp64_is_refused() -> None:
    """Python's integers have no end; numpy's doubles do."""
    with pytest.raises(InvalidRequest, match="too large for FP64"):
        make([10**400], "FP64", (1,))


@pytest.mark.parametrize("count", [0, 3, 5])
def test_elements_must_fill_the_shape(count: int) -> None:
    """Too few and too many are told with both numbers."""
    with pytest.raises(InvalidRequest) as caught:
        make([1.0] * count, "FP32", (2, 2))
    assert caught.value.path == "inputs[0].data"
    assert f"got {count} elements" in caught.value.message
    assert "wants 4" in caught.value.message


def test_a_shape_bomb_costs_nothing() -> None:
    """The count is compared before any memory is taken, and with Python's integers."""
    with pytest.raises(InvalidRequest, match="wants 1000000000000000000"):
        make([1.0], "FP32", (10**9, 10**9))


@pytest.mark.parametrize("datatype", [d for d in DTYPES if d not in {"FP16", "BF16"}])
def test_no_elements_make_an_empty_array(datatype: Datatype) -> None:
    """Zero rows keep the other dimensions and the dtype."""
    array = make([], datatype, (0, 3))
    assert array.shape == (0, 3)
    assert array.dtype == DTYPES[datatype]
