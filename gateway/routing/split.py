"""Which arm does a unit belong to? Salted, weighted rendezvous hashing.

Each arm draws one uniform number from a hash of (salt, unit, arm); the smallest −ln(u)/weight wins. Then
P(arm) = weight / Σ weights exactly, every replica agrees without talking, and raising one arm's weight
only ever moves units into that arm (Schindelhauer & Schomaker, "Weighted distributed hash tables", 2005).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

__all__ = ["choose", "score", "uniform"]

_SCALE = 2.0**-64


def uniform(*parts: str) -> float:
    """A number in (0, 1) that depends on all of `parts`, and on where one ends and the next begins."""
    text = "\x00".join(part.replace("\x00", "\x00\x00") for part in parts)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "little") + 0.5) * _SCALE


def score(unit: str, arm: str, *, weight: float, salt: str) -> float:
    """The arm's score for this unit: the lowest wins. `weight` must be above 0."""
    # Adding 0.5 before scaling may round up to 1.0: then −ln(u) is 0 and the arm simply wins.
    return -math.log(uniform(salt, unit, arm)) / weight


def choose(weights: Mapping[str, float], unit: str, salt: str) -> str:
    """The arm of this unit among those with a weight above 0.

    Raises:
        ValueError: no arm has a weight above 0; the caller must have ruled that out.
    """
    eligible = [arm for arm, weight in weights.items() if weight > 0]
    if len(eligible) == 1:
        return eligible[0]
    return min(eligible, key=lambda arm: (score(unit, arm, weight=weights[arm], salt=salt), arm))
