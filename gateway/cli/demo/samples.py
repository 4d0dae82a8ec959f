"""Which rows of a test set does which user send, over which protocol, and how many at a time? Pure and seeded.

The traffic comes in blocks: one protocol at one concurrency. The arms share each block, so that a block is
one fair comparison of them, and many blocks tell how far such comparisons scatter.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from model_store.held_out import HeldOut, Indices

__all__ = ["CONCURRENCIES", "SURFACES", "USERS", "Block", "Planned", "Surface", "plan_blocks"]

Surface: TypeAlias = Literal["TFS REST", "TFS gRPC", "OIP REST", "OIP REST binary", "OIP gRPC"]

SURFACES: tuple[Surface, ...] = get_args(Surface)
CONCURRENCIES = (1, 8, 32)
USERS = tuple(f"user-{number}" for number in range(100))

# Most callers have one row; some have a few.
_ROWS = (1, 1, 1, 2, 4)
_MIN_REQUESTS = 32
_ROUNDS = 4  # requests that each of the concurrent callers makes in a block, at the least


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """One request: who sends which rows. They share one bucket, so that none is padded for another."""

    unit: str
    rows: Indices


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Requests that one protocol carries, `concurrency` of them at a time."""

    surface: Surface
    concurrency: int
    requests: tuple[Planned, ...]


def plan_blocks(held_out: HeldOut, *, scale: float = 1.0, seed: int = 0) -> list[Block]:
    """The blocks of one model, every surface at every concurrency, in a shuffled order.

    Shuffled, so that a machine that grows warmer or busier does not favour a protocol. `scale`
    multiplies the number of requests.
    """
    rng = random.Random(seed)  # noqa: S311 - a plan, not a secret
    kinds = list(itertools.product(SURFACES, CONCURRENCIES))
    rng.shuffle(kinds)
    requests = _requests(held_out, rng)
    return [
        Block(
            surface=surface,
            concurrency=concurrency,
            requests=tuple(itertools.islice(requests, _count(concurrency, scale))),
        )
        for surface, concurrency in kinds
    ]


def _count(concurrency: int, scale: float) -> int:
    return max(concurrency, round(max(_MIN_REQUESTS, _ROUNDS * concurrency) * scale))


def _requests(held_out: HeldOut, rng: random.Random) -> Iterator[Planned]:
    """Requests without end; every row comes up before any comes up again."""
    while True:
        groups = held_out.batches(max(_ROWS))
        rng.shuffle(groups)
        for group in groups:
            start = 0
            while start < len(group):
                size = rng.choice(_ROWS)
                rows = np.asarray(group[start : start + size])
                yield Planned(rng.choice(USERS), rows)
                start += size
