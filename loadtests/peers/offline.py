"""What does the model do without any server? Runs in .venv-torch, with what to do as JSON on its standard input.

Writes what the package says of each row alone, after holding it to the store's answers where there are some, and
prints the most rows a second that it reaches on the same rows: each several times, sorted by length, so that next to
nothing is padded, in the best of several batch sizes, on one thread, one batch after another. Nothing that
serves one caller a row can do better with one worker.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence

import numpy as np

from loadtests.peers.served import Row, Run, batch_of, length_of, load

BATCH_ROWS = {"iris": (16, 64), "minilm": (4, 8, 16)}  # larger ones of minilm are slower
POOL_ROWS = 240  # so many rows to choose equals from; about as many as callers that wait


def main() -> int:
    """Print the rate; 1 if the package contradicts the store."""
    told = json.load(sys.stdin)
    model, rows = told["model"], told["rows"]
    run = load(model)
    alone = np.concatenate([run(batch_of(model, [row])) for row in rows])
    expected = np.array(told["expected"], np.float32)
    known = ~np.isnan(expected)
    far = np.abs(alone - expected) > told["atol"] + told["rtol"] * np.abs(expected)
    if (far & known).any():
        print("the package contradicts the store's test set", file=sys.stderr)
        return 1
    np.save(told["answers"], np.where(known, expected, alone))
    sizes = BATCH_ROWS[model]
    share_s = told["seconds"] / len(sizes)
    print(max(_rows_per_s(model, run, rows, size=n, seconds=share_s) for n in sizes))
    return 0


def _rows_per_s(model: str, run: Run, rows: Sequence[Row], *, size: int, seconds: float) -> float:
    """Whole passes over the rows, until the seconds are over."""
    ordered = sorted(rows, key=length_of)
    times = -(-POOL_ROWS // len(rows))
    repeated = [row for row in ordered for _ in range(times)]
    parts = [repeated[start : start + size] for start in range(0, len(repeated), size)]
    batches = [batch_of(model, part) for part in parts]
    run(batches[-1])
    done, started = 0, time.perf_counter()
    while True:
        for batch in batches:
            run(batch)
        done += len(repeated)
        spent_s = time.perf_counter() - started
        if spent_s >= seconds:
            return done / spent_s


if __name__ == "__main__":
    sys.exit(main())
