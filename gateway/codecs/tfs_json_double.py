"""How does TF Serving, after reading a double from JSON, spell it in an error?

With RapidJSON, whose fast reading is off in the last place for some numbers, and whose fast writing
(Florian Loitsch's Grisu2) ends on a digit beside the nearest one for some others: 0.30000000000000004 comes
back as 0.30000000000000007. Clients see the result, so both are followed step by step.

Rules:
- The text that the client sent is not at hand here; it is taken to have been the shortest one.
- A number below the normal range of a double is zero: that server's processor is told to flush them.
"""

from __future__ import annotations

import functools
import math
import sys
from decimal import Decimal

__all__ = ["spelled"]

_PLAIN_DIGITS = 21  # RapidJSON writes numbers up to here without an exponent
_LEADING_ZEROS = 6

# A floating-point number as (significand, exponent of two); one of 64 bits is "full".
_Full = tuple[int, int]
_WIDTH = 64
_SIGNIFICAND_BITS = 53
_LARGEST_POWER = 308
_EXACT_POWERS = 9  # fractional digits for which RapidJSON scales the distance to the nearest digit


def spelled(value: float) -> str:
    """A finite number: 1e6 is 1000000.0, 1e-5 is 0.00001, 1e21 stays 1e21."""
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    value = _as_read(abs(value))
    if not value:
        return f"{sign}0.0"
    digits, exponent = _written(value)
    point = len(digits) + exponent
    if exponent >= 0 and point <= _PLAIN_DIGITS:
        return f"{sign}{digits}{'0' * exponent}.0"
    if 0 < point <= _PLAIN_DIGITS:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -_LEADING_ZEROS < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    mantissa = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{sign}{mantissa}e{point - 1}"


def _as_read(value: float) -> float:
    """What RapidJSON reads in the shortest text of `value`: its digits, times or by a power of ten."""
    _, numbers, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int), "finite"
    digits = float(int("".join(map(str, numbers))))
    if exponent < -_LARGEST_POWER:
        digits = _flushed(digits / _power(_LARGEST_POWER))
        exponent += _LARGEST_POWER
    scaled = digits * _power(exponent) if exponent >= 0 else digits / _power(-exponent)
    return value if math.isinf(scaled) else _flushed(scaled)


def _power(exponent: int) -> float:
    return float(f"1e{exponent}")


def _flushed(value: float) -> float:
    return value if value >= sys.float_info.min else 0.0


def _written(value: float) -> tuple[str, int]:
    """Grisu2: digits, and the power of ten that they are multiplied by."""
    middle, below, above = _with_neighbours(value)
    power, exponent = _cached_power(above[1])
    high = _product(above, power)
    nearest = _product(middle, power)
    width = high[0] - _product(below, power)[0] - 2  # one unit inside, on both sides
    digits, scale = _digits((high[0] - 1, high[1]), width, high[0] - 1 - nearest[0])
    return "".join(map(str, digits)), exponent + scale


def _with_neighbours(value: float) -> tuple[_Full, _Full, _Full]:
    """`value`, and half the way to the doubles below and above it, the last two with one exponent."""
    fraction, exponent = math.frexp(value)
    significand, exponent = int(fraction * 2**_SIGNIFICAND_BITS), exponent - _SIGNIFICAND_BITS
    above = _full(2 * significand + 1, exponent - 1)
    is_power = significand == 2 ** (_SIGNIFICAND_BITS - 1)  # the double below is nearer
    low, at = (
        (4 * significand - 1, exponent - 2) if is_power else (2 * significand - 1, exponent - 1)
    )
    return _full(significand, exponent), (low << (at - above[1]), above[1]), above


def _full(significand: int, exponent: int) -> _Full:
    shift = _WIDTH - significand.bit_length()
    return significand << shift, exponent - shift


def _product(one: _Full, other: _Full) -> _Full:
    return (one[0] * other[0] + (1 << (_WIDTH - 1))) >> _WIDTH, one[1] + other[1] + _WIDTH


def _cached_power(exponent: int) -> tuple[_Full, int]:
    """The power of ten out of RapidJSON's table that brings a full number near 1, and its negated exponent."""
    nearest = math.ceil((-61 - exponent) * 0.30102999566398114 + 347)
    power = ((nearest >> 3) + 1) * 8 - 348
    return _power_of_ten(power), -power


@functools.cache  # the table has 87 entries
def _power_of_ten(power: int) -> _Full:
    if power >= 0:
        shift = (10**power).bit_length() - _WIDTH
        return _shifted(10**power, shift), shift
    shift = (10**-power).bit_length() + _WIDTH - 1
    return (2 * (1 << shift) + 10**-power) // (2 * 10**-power), -shift


def _shifted(number: int, bits: int) -> int:
    """`number` without its lowest bits, rounded."""
    return number << -bits if bits <= 0 else (number + (1 << (bits - 1))) >> bits


def _digits(high: _Full, width: int, distance: int) -> tuple[list[int], int]:
    """The digits of a number between `high` and `width` below it, and their scale.

    `distance` is how far below `high` the wanted number lies.
    """
    bits = -high[1]
    whole, rest = divmod(high[0], 1 << bits)
    digits: list[int] = []
    for scale in reversed(range(len(str(whole)))):
        digit, whole = divmod(whole, 10**scale)
        digits += [digit] if digit or digits else []
        left = (whole << bits) + rest
        if left <= width:
            return _nearer(digits, width, left, (10**scale << bits, distance)), scale
    scale = 0
    while True:
        rest, width, scale = rest * 10, width * 10, scale - 1
        digit, rest = divmod(rest, 1 << bits)
        digits += [digit] if digit or digits else []
        if rest < width:
            # RapidJSON has only nine powers at hand, and gives up on nearness beyond them.
            distance = distance * 10**-scale if -scale < _EXACT_POWERS else 0
            return _nearer(digits, width, rest, (1 << bits, distance)), scale


def _nearer(
    digits: list[int], width: int, left: int, unit_and_distance: tuple[int, int]
) -> list[int]:
    """Lower the last digit while that comes nearer to the wanted number and stays within `width`."""
    unit, distance = unit_and_distance
    while (
        left < distance
        and width - left >= unit
        and (left + unit < distance or distance - left > left + unit - distance)
    ):
        digits[-1] -= 1
        left += unit
    return digits
