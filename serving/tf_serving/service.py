"""What does each gRPC method answer?

Bytes in, bytes out: the gateway's codecs read and write them. What runs a model has its own bounded pool;
what asks about models (status, metadata) has a thread of its own, so that a server whose calls all wait
can still say that it is there, and so has the reload, which may wait for a model to come up.

How a call is turned away, in order: more of them than the pool holds → RESOURCE_EXHAUSTED, at once and
before its message is read; cancelled or past its deadline while it waited → it never starts (grpcio drops
it); malformed → the real server's code and words.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NoReturn, Protocol, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from gateway.codecs import tfs_proto
from gateway.errors import GatewayError
from serving.tf_serving.events import Report
from serving.tf_serving.inference import answer_classify, answer_multi, answer_regress
from serving.tf_serving.pool import CallPool
from serving.tf_serving.served import Failed, ServedModels

__all__ = ["ModelServices", "Reloads"]

_Answer: TypeAlias = Callable[[bytes], bytes]
_Method: TypeAlias = Callable[[bytes, grpc.ServicerContext], bytes]
_Endpoint: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_CLASSIFY = "/tensorflow.serving.PredictionService/Classify"
_REGRESS = "/tensorflow.serving.PredictionService/Regress"
_MULTI = "/tensorflow.serving.PredictionService/MultiInference"
_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
_RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"

_RUNS_A_MODEL = frozenset({_PREDICT, _CLASSIFY, _REGRESS, _MULTI})

_MAX_DETAILS = 1024  # longer error texts are cut, as the real server cuts them
_CUT = "...TRUNCATED"


class Reloads(Protocol):
    """Takes new configurations, one after the other."""

    def answer(self, data: bytes, is_awaited: Callable[[], bool]) -> bytes:
        """The serialised answer to a ReloadConfigRequest."""
        ...

    def wake(self) -> None:
        """Look again whether the caller still waits."""
        ...


class ModelServices(grpc.GenericRpcHandler):
    """PredictionService and ModelService over one set of served models."""

    def __init__(
        self, served: ServedModels, pool: CallPool, reloads: Reloads, report: Report
    ) -> None:
        self._pool = pool
        self._report = report
        reload_pool = ThreadPoolExecutor(1, thread_name_prefix="reload")
        # Declared as a stream, so that grpcio does not wait for a message that nobody will read.
        self._full: _Endpoint = grpc.stream_unary_rpc_method_handler(self._turn_away)
        self._endpoints = {
            _PREDICT: _endpoint(self._method(_predict(served)), pool),
            _CLASSIFY: _endpoint(self._method(partial(answer_classify, served)), pool),
            _REGRESS: _endpoint(self._method(partial(answer_regress, served)), pool),
            _MULTI: _endpoint(self._method(partial(answer_multi, served)), pool),
            _METADATA: _endpoint(self._method(_metadata(served))),
            _STATUS: _endpoint(self._method(_status(served))),
            _RELOAD: _endpoint(self._reload(reloads), reload_pool),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> _Endpoint | None:
        """The endpoint for one call; None, which is UNIMPLEMENTED, for a method not served here."""
        method = handler_call_details.method
        if method in _RUNS_A_MODEL and not self._pool.has_room:
            return self._full
        return self._endpoints.get(method)

    def _method(self, answer: _Answer) -> _Method:
        """Wrap an answer: translate what goes wrong into a status, once."""

        def method(data: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                return answer(data)
            except Failed as exc:
                _abort(context, exc.code, exc.message)
            except GatewayError as exc:
                # The real server's protobuf layer says INTERNAL to bytes that are no message.
                is_garbage = isinstance(exc.__cause__, DecodeError)
                _abort(context, "INTERNAL" if is_garbage else exc.grpc_code, str(exc))
            except Exception as exc:  # noqa: BLE001 - the edge: one call's surprise is not the server's end
                self._report("call_failed", error=repr(exc), traceback=traceback.format_exc())
                _abort(context, "INTERNAL", f"{type(exc).__name__}: {exc}")

        return method

    def _reload(self, reloads: Reloads) -> _Method:
        def method(data: bytes, context: grpc.ServicerContext) -> bytes:
            context.add_callback(reloads.wake)
            answer = partial(reloads.answer, is_awaited=context.is_active)
            return self._method(answer)(data, context)

        return method

    def _turn_away(self, _messages: Iterator[bytes], context: grpc.ServicerContext) -> NoReturn:
        _abort(
            context,
            "RESOURCE_EXHAUSTED",
            f"got a call while {self._pool.max_calls} run or wait, the most that this server holds",
        )


def _predict(served: ServedModels) -> _Answer:
    def answer(data: bytes) -> bytes:
        return tfs_proto.encode_response(served.predict(tfs_proto.decode_request(data)))

    return answer


def _metadata(served: ServedModels) -> _Answer:
    def answer(data: bytes) -> bytes:
        return served.metadata(tfs_proto.decode_metadata_request(data))

    return answer


def _status(served: ServedModels) -> _Answer:
    def answer(data: bytes) -> bytes:
        return tfs_proto.encode_status(served.statuses(tfs_proto.decode_status_request(data)))

    return answer


def _endpoint(method: _Method, pool: ThreadPoolExecutor | None = None) -> _Endpoint:
    if pool is not None:
        # grpcio's name for "run this method's calls there": it has no other way to say it.
        method.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return grpc.unary_unary_rpc_method_handler(method)


def _abort(context: grpc.ServicerContext, code: str, details: str) -> NoReturn:
    cut = details if len(details) <= _MAX_DETAILS else details[:_MAX_DETAILS] + _CUT
    context.abort(grpc.StatusCode[code], cut)
    raise AssertionError(cut)
