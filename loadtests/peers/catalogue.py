"""Who is compared? Tandem first, then the peers, the fastest ones first."""

from __future__ import annotations

from collections.abc import Mapping

from loadtests.peers.bentoml import peer as bentoml
from loadtests.peers.litserve import peer as litserve
from loadtests.peers.mlserver import peer as mlserver
from loadtests.peers.mosec import peer as mosec
from loadtests.peers.peer import Peer
from loadtests.peers.ray import peer as ray
from loadtests.peers.tandem import peer as tandem
from loadtests.peers.torchserve import peer as torchserve
from loadtests.peers.triton import peer as triton

__all__ = ["PEERS"]

PEERS: Mapping[str, Peer] = {
    module.PEER.name: module.PEER
    for module in (tandem, mosec, torchserve, triton, litserve, mlserver, bentoml, ray)
}
