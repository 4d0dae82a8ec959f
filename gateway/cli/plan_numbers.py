"""Which numbers does `tandem plan` take? Those that a simulation can end with; others are told what is wanted."""

from __future__ import annotations

import argparse
import math

__all__ = [
    "MAX_MS",
    "MAX_REPLICAS",
    "MAX_ROWS",
    "MAX_SPREAD_RATIO",
    "is_from_0_to",
    "milliseconds",
    "percentile",
    "positive",
    "replicas",
    "rows_mixture",
    "spread_ratio",
    "whole",
]

MAX_MS = 1e9
MAX_REPLICAS = 256
MAX_ROWS = 1_000_000
MAX_SPREAD_RATIO = 10.0
_LEAST, _MOST = 1e-6, 1e9


def rows_mixture(text: str) -> dict[int, float]:
    """`8`, or `1=9,8=1`: weights by rows."""
    rows: dict[int, float] = {}
    try:
        for word in text.split(","):
            count, _, weight = word.partition("=")
            rows[whole(count)] = positive(weight) if weight else 1.0
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"got {text!r}, wants rows such as 4, or rows and weights such as 1=9,8=1: {error}"
        ) from error
    return rows


def whole(text: str) -> int:
    """Rows, or a number of something."""
    return _whole(text, MAX_ROWS)


def replicas(text: str) -> int:
    """As many as are simulated side by side."""
    return _whole(text, MAX_REPLICAS)


def positive(text: str) -> float:
    """A rate, a weight, or a time that must be there."""
    value = _number(text)
    if not _LEAST <= value <= _MOST:
        raise argparse.ArgumentTypeError(
            f"got {text!r}, wants a number from {_LEAST:.6f} to {_MOST:,.0f}"
        )
    return value


def milliseconds(text: str) -> float:
    """A time that may be nothing."""
    value = _number(text)
    if not is_from_0_to(MAX_MS, value):
        raise argparse.ArgumentTypeError(f"got {text!r}, wants a number from 0 to {MAX_MS:,.0f}")
    return value


def spread_ratio(text: str) -> float:
    """A standard deviation over a mean."""
    value = _number(text)
    if not is_from_0_to(MAX_SPREAD_RATIO, value):
        raise argparse.ArgumentTypeError(
            f"got {text!r}, wants a number from 0 to {MAX_SPREAD_RATIO:g}"
        )
    return value


def percentile(text: str) -> float:
    """Above 0, and below 100."""
    value = positive(text)
    if value >= 100:  # noqa: PLR2004 - per cent
        raise argparse.ArgumentTypeError(f"got {text!r}, wants a percentile below 100, such as 99")
    return value


def is_from_0_to(most: float, value: float) -> bool:
    """Whether the number is one of those; NaN is not."""
    return 0 <= value <= most


def _whole(text: str, most: int) -> int:
    digits = text.isdecimal() and len(text) <= len(str(most))
    if not digits or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"got {text!r}, wants a whole number from 1 to {most:,}")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
