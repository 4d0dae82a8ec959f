"""Which servers, over which of their protocols, must keep the contract, and what does each not have?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.peers.models import INPUTS, OUTPUTS
from tests.peers.start import Peer

__all__ = ["WAYS", "Way"]

LISTEN = """
[listen]
rest = "127.0.0.1:0"
grpc = "127.0.0.1:0"
admin = "127.0.0.1:0"
"""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One server over one protocol.

    Attributes:
        name: For the reader.
        peer: Which server.
        kind, protocol, extra: As in the configuration of a backend.
        models: Those it serves of `tests.peers.models`.
        has_nan: Whether a NaN passes.
        exact: Whether tensors pass bit for bit; numbers in JSON lose a NaN's bits.
        has_versions: Whether the version of iris is known.
    """

    name: str
    peer: str
    kind: str
    protocol: str
    extra: str = ""
    declared: tuple[str, ...] = ()
    models: tuple[str, ...] = ("iris", "kinds", "picky")
    has_nan: bool = True
    exact: bool = True
    has_versions: bool = True

    def require(self, model: str) -> None:
        """Skip where the server does not serve a model."""
        if model not in self.models:
            pytest.skip(f"{self.peer} does not serve {model!r}")

    def settings(self, peer: Peer) -> str:
        """The file of a gateway in front of the running server."""
        lines = [
            LISTEN,
            "[backends.peer]",
            f'kind = "{self.kind}"',
            f'protocol = "{self.protocol}"',
        ]
        lines.append(f'address = "{peer.rest if self.protocol == "rest" else peer.grpc}"')
        lines.append(self.extra.format(management=peer.management))
        lines += [_declaration(model) for model in self.declared]
        lines += [f'[models.{model}.arms.only]\nbackend = "peer"\n' for model in self.models]
        return "\n".join(lines)


def _declaration(model: str) -> str:
    lines = ["[[backends.peer.declared]]", f'model = "{model}"']
    lines += [f"inputs = {_specs(INPUTS[model])}", f"outputs = {_specs(OUTPUTS[model])}"]
    return "\n".join(lines)


def _specs(specs: Mapping[str, tuple[str, list[int]]]) -> str:
    parts = (
        f'{{ name = "{name}", datatype = "{kind}", shape = {shape} }}'
        for name, (kind, shape) in specs.items()
    )
    return f"[{', '.join(parts)}]"


WAYS = (
    Way(name="tensorflow", peer="tensorflow", kind="tfserving", protocol="grpc", models=("iris",)),
    Way(name="torch-grpc", peer="torch", kind="oip", protocol="grpc", models=("iris",)),
    Way(name="torch-rest", peer="torch", kind="oip", protocol="rest", models=("iris",)),
    Way(
        name="triton-grpc",
        peer="triton",
        kind="oip",
        protocol="grpc",
        models=("iris", "kinds", "picky", "whole"),
    ),
    Way(
        name="triton-rest",
        peer="triton",
        kind="oip",
        protocol="rest",
        models=("iris", "kinds", "picky", "whole"),
    ),
    # MLServer's codec makes a NaN null: JSON can carry that, its own raw form then fails.
    Way(name="mlserver-grpc", peer="mlserver", kind="oip", protocol="grpc", has_nan=False),
    Way(name="mlserver-rest", peer="mlserver", kind="oip", protocol="rest", exact=False),
    Way(
        name="torchserve-managed",
        peer="torchserve",
        kind="torchserve",
        protocol="rest",
        extra='management = "{management}"',
        declared=("kinds", "picky"),  # iris describes itself
        exact=False,
    ),
    Way(
        name="torchserve-declared",
        peer="torchserve",
        kind="torchserve",
        protocol="rest",
        extra='body = "oip"',
        declared=("iris", "kinds", "picky"),
        exact=False,
        has_versions=False,
    ),
)
