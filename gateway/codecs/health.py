"""What do the messages of gRPC's own health service (`grpc.health.v1`) say?"""

from __future__ import annotations

from gateway._stubs import health_wire_pb2 as pb
from gateway.codecs.protobuf import parse, serialize

__all__ = ["decode_health_request", "encode_health"]


def decode_health_request(data: bytes) -> str:
    """The service that a HealthCheckRequest asks about, "" for the whole server. Raises: InvalidRequest."""
    return parse(pb.HealthCheckRequest, data).service


def encode_health(*, serving: bool | None) -> bytes:
    """A HealthCheckResponse; None says that there is no such service."""
    if serving is None:
        status = pb.HealthCheckResponse.SERVICE_UNKNOWN
    elif serving:
        status = pb.HealthCheckResponse.SERVING
    else:
        status = pb.HealthCheckResponse.NOT_SERVING
    return serialize(pb.HealthCheckResponse(status=status))
