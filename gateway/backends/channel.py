"""How is a backend's gRPC server reached: over TCP, over TLS, or by a Unix socket?"""

from __future__ import annotations

import grpc

from gateway.backend_config import BackendTlsConfig
from gateway.backends.tls import grpc_credentials

__all__ = ["open_channel"]

_FIRST_RECONNECT_MS, _MAX_RECONNECT_MS = 100, 1000


def open_channel(
    address: str, max_message_bytes: int, tls: BackendTlsConfig | None = None
) -> grpc.aio.Channel:
    """A channel to `host:port` or `unix:/path`, not connected yet; it reconnects by itself.

    A call fails at once while the server cannot be reached; the channel tries again within a second,
    where gRPC's default backs off for up to two minutes.

    Raises:
        BackendUnavailable: a file that `tls` names cannot be read.
    """
    options: list[tuple[str, str | int]] = [
        # A name with several addresses (a headless Service) is several replicas: ask them in turn.
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.initial_reconnect_backoff_ms", _FIRST_RECONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", _MAX_RECONNECT_MS),
    ]
    if tls is None:
        return grpc.aio.insecure_channel(address, options)
    if tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return grpc.aio.secure_channel(address, grpc_credentials(tls), options)
