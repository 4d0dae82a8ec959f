"""What is asked, so that nothing but the path is busy? One row of iris, over REST as JSON and over gRPC."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from gateway.codecs import oip_proto
from loadtests.bench.direct import INFER, IRIS
from loadtests.bench.stack import Stack
from loadtests.bench_wire.bodies import Body, Wire

__all__ = ["ASKED", "address_of"]

_JSON = b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
_MESSAGE = oip_proto.encode_request(IRIS)

ASKED: Mapping[Wire, Body] = {
    "REST JSON": Body("/v1/models/iris:predict", _JSON, 4, {"content-type": "application/json"}),
    "gRPC raw": Body(
        INFER,
        struct.pack(">BI", 0, len(_MESSAGE)) + _MESSAGE,  # not compressed, so long
        4,
        {"content-type": "application/grpc", "te": "trailers"},
    ),
}


def address_of(wire: Wire, served: Stack) -> str:
    """Where that is asked, as `host:port`."""
    return served.grpc if wire == "gRPC raw" else served.rest
