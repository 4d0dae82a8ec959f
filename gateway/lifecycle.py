"""May we accept a request now? The gateway's states, and the moves between them.

    STARTING ──▶ READY ──▶ LEAVING ──▶ DRAINING ──▶ STOPPED
        └──────────────────────▲
                     LEAVING ────────────▶ STOPPED

Rules: a state never goes back. LEAVING says "not ready" to load balancers but still serves whoever comes,
because they need time to notice; DRAINING only finishes what was accepted, and is skipped when the
listeners could not be closed in the time there was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum

from gateway.errors import NotReady

__all__ = ["Lifecycle", "State"]


class State(Enum):
    """Where the process is in its life."""

    STARTING = "starting"
    READY = "ready"
    LEAVING = "leaving"
    DRAINING = "draining"
    STOPPED = "stopped"


_MOVES: Mapping[State, frozenset[State]] = {
    State.STARTING: frozenset({State.READY, State.DRAINING}),
    State.READY: frozenset({State.LEAVING}),
    State.LEAVING: frozenset({State.DRAINING, State.STOPPED}),
    State.DRAINING: frozenset({State.STOPPED}),
    State.STOPPED: frozenset(),
}


class Lifecycle:
    """The current state.

    Attributes:
        is_serving: Whether a request that has come may be served; kept, because every request asks.
    """

    def __init__(self) -> None:
        self.state = State.STARTING
        self.is_serving = False
        self._watchers: set[asyncio.Event] = set()

    def __repr__(self) -> str:
        return f"<Lifecycle {self.state.value}>"

    @property
    def is_ready(self) -> bool:
        """Whether load balancers should send requests."""
        return self.state is State.READY

    def move_to(self, state: State) -> None:
        """Go to `state`; ValueError when the table does not allow it."""
        if state not in _MOVES[self.state]:
            raise ValueError(f"a gateway that is {self.state.value} cannot become {state.value}")
        self.state = state
        self.is_serving = state in (State.READY, State.LEAVING)
        for moved in self._watchers:
            moved.set()

    @contextmanager
    def watched(self) -> Iterator[asyncio.Event]:
        """An event that is set at every move while the block runs; whoever waits on it clears it."""
        moved = asyncio.Event()
        self._watchers.add(moved)
        try:
            yield moved
        finally:
            self._watchers.discard(moved)

    def check(self) -> None:
        """Raise NotReady unless a request that has come may be served."""
        if self.is_serving:
            return
        raise NotReady(f"the gateway is {self.state.value}")
