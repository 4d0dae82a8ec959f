"""Who is measured, and how is each asked?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from loadtests.bench_overload.load import timed
from loadtests.open_loop import post
from loadtests.peers.litserve.peer import PEER as LITSERVE
from loadtests.peers.mosec.peer import PEER as MOSEC
from loadtests.peers.peer import Model, Peer, Variant
from loadtests.peers.questions import Questions
from loadtests.peers.tandem.peer import PEER as TANDEM

__all__ = ["ARMS", "MODEL", "VARIANT", "Arm"]

MODEL: Model = "minilm"  # its computing is what there is too little of, and not the generator's
VARIANT: Variant = "tuned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A server and a way to ask it.

    Attributes:
        peer: The server.
        title: As tables call it.
        tells_deadline: Whether requests say how long their callers wait: only Tandem can be told.
        has_timeout: Whether the server has one timeout for all requests, which is set to the deadline.
    """

    peer: Peer
    title: str
    tells_deadline: bool = False
    has_timeout: bool = False

    def peer_for(self, deadline_s: float) -> Peer:
        """The server as it is started for callers with this deadline."""
        if not self.has_timeout:
            return self.peer
        settings = {**self.peer.settings[VARIANT][MODEL], "timeout_s": deadline_s}
        return dataclasses.replace(self.peer, settings={VARIANT: {MODEL: settings}})

    def requests(self, questions: Questions, deadline_s: float) -> list[bytes]:
        """Whole HTTP requests, one for each row."""
        path = self.peer.path.format(model=MODEL)
        asked = [post(path, self.peer.form.write(row)) for row in questions.rows]
        return [timed(one, deadline_s * 1e3) for one in asked] if self.tells_deadline else asked


ARMS: Mapping[str, Arm] = {
    "tandem": Arm(peer=TANDEM, title="Tandem", tells_deadline=True),
    "tandem-untold": Arm(peer=TANDEM, title="Tandem, deadline not told"),
    "mosec": Arm(peer=MOSEC, title="mosec", has_timeout=True),
    "litserve": Arm(peer=LITSERVE, title="LitServe", has_timeout=True),
}
