"""How is a backend's gRPC server reached?"""

from __future__ import annotations

import grpc

__all__ = ["open_channel"]

_FIRST_RECONNECT_MS, _MAX_RECONNECT_MS = 100, 1000


def open_channel(address: str, max_message_bytes: int) -> grpc.aio.Channel:
    """A channel to `host:port`, not connected yet; afterwards it reconnects by itself.

    A call fails at once while the server cannot be reached; the channel tries again within a second,
    where gRPC's default backs off for up to two minutes.
    """
    return grpc.aio.insecure_channel(
        address,
        options=[
            # A name with several addresses (a headless Service) is several replicas: ask them in turn.
            ("grpc.lb_policy_name", "round_robin"),
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.initial_reconnect_backoff_ms", _FIRST_RECONNECT_MS),
            ("grpc.max_reconnect_backoff_ms", _MAX_RECONNECT_MS),
        ],
    )
