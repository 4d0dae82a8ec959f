"""The backends of the contract suite: each peer once a session, in each protocol that it speaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.contracts.ways import WAYS, Way
from tests.peers.start import Peer, missing, running_peer

Running = Callable[[str], Peer]


@pytest.fixture(scope="session")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Starts a peer when it is first asked for; all stop in the end."""
    found: dict[str, Peer] = {}
    with ExitStack() as stack:

        def peer(name: str) -> Peer:
            if name not in found:
                home = tmp_path_factory.mktemp(name)
                found[name] = stack.enter_context(running_peer(name, home))
            return found[name]

        yield peer


@pytest.fixture(scope="session", params=WAYS, ids=lambda way: way.name)
def way(request: pytest.FixtureRequest) -> Way:
    """One backend in one protocol; skipped where its server is not installed."""
    chosen: Way = request.param
    if reason := missing(chosen.peer):
        pytest.skip(reason)
    return chosen


@pytest.fixture(scope="session")
def settings(way: Way, peers: Running) -> str:
    """The configuration of a gateway in front of it, which is running."""
    return way.settings(peers(way.peer))
