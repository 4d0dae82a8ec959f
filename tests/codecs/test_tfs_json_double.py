"""Are doubles spelled in errors as the real TensorFlow Serving, which uses RapidJSON, spells them?"""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.codecs.tfs_json_double import spelled

NORMAL = sys.float_info.min
RECORDED = [
    (1e2, "100.0"),
    (1e6, "1000000.0"),
    (1e17, "100000000000000000.0"),
    (1e21, "1e21"),
    (1e-5, "0.00001"),
    (1e-7, "1e-7"),
    (1e-45, "1.0000000000000002e-45"),
    (1e-40, "1e-40"),
    (2e-324, "0.0"),
    (5e-324, "0.0"),
    (0.30000000000000004, "0.30000000000000007"),
    (18446744073709551616.0, "18446744073709553000.0"),
    (-9223372036854775809.0, "-9223372036854776000.0"),
    (3.141592653589793, "3.141592653589793"),
    (99999.99, "99999.99"),
    (3.4028236e38, "3.4028236e38"),
    (1e308, "1e308"),
    (-0.0, "-0.0"),
]


@pytest.mark.parametrize(("value", "text"), RECORDED)
def test_doubles_are_spelled_as_recorded(value: float, text: str) -> None:
    assert spelled(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(sys.float_info.max)
@example(-NORMAL)
@example(2.0**-1021)
@example(1.0)
def test_what_is_spelled_is_a_neighbour_of_the_value(value: float) -> None:
    """Reading is off by no more than a few units in the last place, writing is exact."""
    read = float(spelled(value))
    assert math.isclose(read, value, rel_tol=1e-15, abs_tol=NORMAL)
    assert math.copysign(1.0, read) == math.copysign(1.0, value)
