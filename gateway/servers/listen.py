"""Where do the gRPC servers listen?"""

from __future__ import annotations

import grpc

from gateway.http1.listen import ListenError, joined, split
from gateway.servers.grpc import GrpcApi
from gateway.servers.grpc_aio import register

__all__ = ["start_grpc"]


async def start_grpc(
    api: GrpcApi, address: str, *, max_message_bytes: int, shares_port: bool = False
) -> tuple[grpc.aio.Server, str]:
    """A started server for `api`, and the address it really has.

    A message of more than twice `max_message_bytes` does not reach `api`, which refuses what is over once that.
    Servers that share a port get about the same number of connections each, from the kernel.

    Raises:
        ListenError: the address is taken, or is none of this machine's.
    """
    server = grpc.aio.server(
        options=[
            # What gRPC refuses itself nobody counts: it only keeps off what is much too large.
            ("grpc.max_receive_message_length", 2 * max_message_bytes),
            ("grpc.max_send_message_length", -1),
            # Without it a second gateway would share the port and take half of its connections.
            ("grpc.so_reuseport", int(shares_port)),
        ]
    )
    register(server, api.served())
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as exc:
        raise ListenError(f"listen.grpc: cannot listen on {address}: {exc}") from exc
    await server.start()
    return server, joined(split(address)[0], port)
