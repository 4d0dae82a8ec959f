"""Batches with one row that is no number, for both runtimes: what becomes of it and of its batch-mates?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from gateway.tensors import Array
from model_store.held_out import TEST_SET, HeldOut

__all__ = ["BAD", "INPUTS", "PLACES", "ROWS", "Ask", "built_store", "check_batch_mates"]

INPUTS: Mapping[str, str] = {"iris": "x", "digits": "image"}
"""The models that are asked, and what their input is called."""

with np.errstate(over="ignore"):
    BAD = (np.nan, np.inf, -np.inf, float(np.float32(1e39)), 3e38)

ROWS = 17  # more than a vector, and not a whole number of them
PLACES = (0, 8, 16)

Ask = Callable[[str, Array], Array]
"""The logits that a server gives for a model's rows."""


def built_store(root: Path) -> Path:
    """The repository's model store; fails if these models are not built."""
    store = root / "model_store"
    missing = [model for model in INPUTS if not (store / model / "1").exists()]
    if missing:
        pytest.fail(f"{', '.join(missing)} not built: run `make store`")
    return store


def check_batch_mates(ask: Ask, store: Path, model: str, bad: float) -> list[Array]:
    """Ask with a bad row in each place; the others' answers must not change by a bit. The bad rows' answers."""
    held_out = HeldOut.load(store / model / "1" / TEST_SET)
    clean = held_out.take(range(ROWS))[INPUTS[model]]
    expected = ask(model, clean)
    assert np.isfinite(expected).all()
    answers = []
    for place in PLACES:
        spoiled = clean.copy()
        spoiled[place].reshape(-1)[0] = bad  # one number of the row is enough
        got = ask(model, spoiled)
        others = np.arange(ROWS) != place
        np.testing.assert_array_equal(got[others], expected[others])
        answers.append(got[place])
    np.testing.assert_array_equal(ask(model, clean), expected)
    return answers
