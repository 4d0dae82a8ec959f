"""How is a backend asked over gRPC: over TCP, over TLS, or by a Unix socket?

One `GrpcLink` per address. Bytes go in and out of generic unary calls: the messages are the codecs' business,
and what each method means is the adapter's. What goes wrong on the way is translated here, once.
"""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import grpc

from gateway.backend_config import BackendTlsConfig
from gateway.backends.errors import map_errors
from gateway.backends.tls import grpc_credentials
from gateway.codecs.trace_context import carried
from gateway.messages import Deadline, Trace

__all__ = ["GrpcLink"]

_Call: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"

_FIRST_RECONNECT_MS, _MAX_RECONNECT_MS = 100, 1000


class GrpcLink:
    """The channel to one gRPC server; made inside a running event loop.

    Attributes:
        name: The backend's name in the configuration, for errors.
        address: `host:port` or `unix:/path`.
    """

    # It connects when it is first asked. A call fails at once while the server cannot be reached; the
    # channel tries again within a second, where gRPC's default backs off for up to two minutes.

    def __init__(
        self,
        name: str,
        address: str,
        *,
        max_message_bytes: int,
        tls: BackendTlsConfig | None = None,
    ) -> None:
        """Raises `BackendUnavailable` where a file that `tls` names cannot be read."""
        self.name = name
        self.address = address
        self._channel = _open(address, max_message_bytes, tls)
        self._calls: dict[str, _Call] = {}

    async def ask(
        self,
        method: str,
        message: bytes,
        deadline: Deadline,
        *,
        model: str,
        trace: Trace | None = None,
    ) -> bytes:
        """Call `/service/method` and wait for its answer, at most until `deadline`.

        A cancelled caller cancels the call; the server may still finish the work.

        Args:
            method: Its path, `/service/method`.
            message: The request.
            deadline: The server learns it, too.
            model: What is asked about, for errors.
            trace: What finds the request again, sent as metadata.

        Raises:
            BackendUnavailable: it cannot be reached, went away, or the link is closed.
            BackendTimeout: no answer before `deadline`.
            BackendBusy: it is full.
            BackendRefused: it answered with another error.
        """
        timeout_s = deadline.remaining_s(asyncio.get_running_loop().time())
        with map_errors(self.name, model):
            call = self._calls.get(method)
            if call is None:
                call = self._calls[method] = self._channel.unary_unary(method)
            return await call(message, timeout=timeout_s, metadata=carried(trace))

    async def aclose(self) -> None:
        """Close the channel; calls still in flight fail."""
        await self._channel.close()


def _open(
    address: str, max_message_bytes: int, tls: BackendTlsConfig | None = None
) -> grpc.aio.Channel:
    # Of gRPC's other options none is worth a line: without retries, with a local pool, without flow control's
    # probes, without a service configuration, for latency or throughput, a small call costs within 2 % of
    # the same CPU. The blocking API's futures cost half as much again.
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
