"""Which rows are sent? Sentences of one length: how a server sorts by length is another question."""

from __future__ import annotations

import dataclasses

import numpy as np

from loadtests.peers.questions import Questions, padded

__all__ = ["shortened"]


def shortened(asked: Questions, tokens: int) -> Questions:
    """Those that have so many tokens at most, padded to as many; the mask keeps their answers the same."""
    kept = [n for n, row in enumerate(asked.rows) if len(row["input_ids"]) <= tokens]
    rows = [padded(asked.rows[n], tokens) for n in kept]
    return dataclasses.replace(asked, rows=rows, expected=asked.expected[np.array(kept)])
