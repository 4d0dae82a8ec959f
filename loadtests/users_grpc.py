"""How do users call over gRPC? One channel and one connection each, as callers on different machines have."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import grpc
import grpc.experimental.gevent
from locust import task

from loadtests.dialects import METHODS
from loadtests.traffic import Call
from loadtests.users import Failed, GatewayUser

__all__ = ["OipGrpc", "TfsGrpc", "share_the_thread"]

_NO_LIMIT = -1
_OPTIONS = (
    # Channels to one address would else share one connection.
    ("grpc.use_local_subchannel_pool", 1),
    # A proxy from the environment is for the world outside.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", _NO_LIMIT),
    ("grpc.max_send_message_length", _NO_LIMIT),
)


def share_the_thread() -> None:
    """Let the other users go on while a call waits.

    Once per process, before the first channel is made and after Locust has patched the standard library.
    """
    grpc.experimental.gevent.init_gevent()


class GrpcUser(GatewayUser):
    """A caller of either gRPC dialect."""

    abstract = True

    def on_start(self) -> None:
        """Open the channel; the first request waits for its connection."""
        self._channel = grpc.insecure_channel(self.grpc_address, options=_OPTIONS)
        self._method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(
            METHODS[self.dialect], None, None
        )
        self._metadata = (("x-tandem-unit", self.visitor.unit),)

    def on_stop(self) -> None:
        """Close the channel."""
        self._channel.close()

    @task
    def call(self) -> None:
        """One request; its time ends with the answer's message, before that is looked at."""
        call = self.visitor.next_call()
        began_at = datetime.now(UTC).timestamp()
        began = time.perf_counter()
        answer, failure = self._ask(call)
        took_s = time.perf_counter() - began
        if failure is None:
            failure = call.fault(answer)
        self.environment.events.request.fire(
            request_type="gRPC",
            name=call.name,
            response_time=took_s * 1e3,
            response_length=len(answer),
            exception=failure,
            context=self.context(),
            start_time=began_at,
        )
        self.note(failure)

    def _ask(self, call: Call) -> tuple[bytes, Exception | None]:
        try:
            answer = self._method(
                call.encoded.body, timeout=self.timeout_s, metadata=self._metadata
            )
        except grpc.RpcError as error:
            return b"", Failed(f"{error.code().name}: {error.details()}")
        return answer, None


class TfsGrpc(GrpcUser):
    """TF Serving's gRPC API, `PredictionService.Predict`."""

    dialect = "tfs-grpc"


class OipGrpc(GrpcUser):
    """The Open Inference Protocol over gRPC, `ModelInfer`."""

    dialect = "oip-grpc"
