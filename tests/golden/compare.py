"""Is an answer the recorded one? As values: a client cannot tell two spellings of a number apart.

Rules:
- REST: the status, and the JSON document or the text under "error". A body that is no JSON is a page for
  people: its status counts.
- gRPC: the code, and the message or the details. The details of INTERNAL and UNIMPLEMENTED belong to the
  gRPC library and do not count.
- Numbers agree within 1e-5 of each other: both servers run the same operations, not on the same machine.
  Those below the normal range are zero, as the recorded server flushes them.
- A status document may say more than the record: KServe's clients read `name` and `ready` at that address.
- Which node of a graph failed is not compared: it is named by whoever built the graph, and of two that
  fail, either one is reported. Nor is the address before a printed signature, which is random.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs import tfs_proto
from gateway.codecs.lenient_json import read_json
from gateway.errors import GatewayError
from gateway.tensors import Tensor
from tests.golden.exchanges import Conversation, GrpcExchange, RestExchange
from tests.golden.raw_http import HttpAnswer

RELATIVE = 1e-5
SMALLEST_NORMAL = 1.2e-38
_NODE = "\n\t [["
_ADDRESS = re.compile(r"goo\.gle/debug\w+\s+")
_KSERVE = ("name", "ready")
_ANY_DETAILS = ("INTERNAL", "UNIMPLEMENTED")


def rest_disagreement(exchange: RestExchange, answer: HttpAnswer) -> str:
    """What is not as recorded, "" if nothing is."""
    if answer.status != exchange.status:
        return f"status {answer.status}, recorded {exchange.status}: {_short(answer.body)}"
    for name, value in exchange.response_headers.items():
        if name.startswith("Access-Control") and answer.headers.get(name.lower()) != value:
            return f"header {name}: {answer.headers.get(name.lower())}, recorded {value}"
    recorded = _json(exchange.response)
    if recorded is None or exchange.method == "HEAD":
        return ""
    got = _json(answer.body)
    if isinstance(got, dict) and "model_version_status" in got:
        got = {key: value for key, value in got.items() if key not in _KSERVE}
    if same_values(got, recorded) or _same_errors(got, recorded):
        return ""
    return f"{_short(answer.body)}, recorded {_short(exchange.response)}"


def conversation_disagreement(
    conversation: Conversation, answers: Sequence[HttpAnswer | None]
) -> str:
    """What is not as recorded, "" if nothing is."""
    for number, (answer, recorded) in enumerate(
        zip(answers, conversation.answers, strict=True), start=1
    ):
        if answer is None or recorded is None:
            if answer is not None or recorded is not None:
                return f"request {number}: {answer}, recorded {recorded}"
            continue
        status, body = recorded
        if answer.status != status:
            return f"request {number}: status {answer.status}, recorded {status}"
        got, wanted = _json(answer.body), _json(body)
        if isinstance(got, dict) and "model_version_status" in got:
            got = {key: value for key, value in got.items() if key not in _KSERVE}
        if wanted is not None and not same_values(got, wanted):
            return f"request {number}: {_short(answer.body)}, recorded {_short(body)}"
    return ""


def _same_errors(got: Any, recorded: Any) -> bool:
    if not (isinstance(got, dict) and isinstance(recorded, dict) and got.keys() == {"error"}):
        return False
    return same_text(got["error"], str(recorded.get("error")))


def same_text(got: str, recorded: str) -> bool:
    """Whether two errors say the same."""
    return _told(got) == _told(recorded)


def _told(text: str) -> str:
    # Bytes that are no UTF-8 as a client would see them.
    readable = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return _ADDRESS.sub("", readable.partition(_NODE)[0])


def same_values(got: Any, recorded: Any) -> bool:
    """Whether two JSON values are the same, numbers within the tolerance."""
    if isinstance(recorded, bool) or isinstance(got, bool):
        return got is recorded
    if isinstance(recorded, (int, float)) and isinstance(got, (int, float)):
        return _same_number(got, recorded)
    if isinstance(recorded, list) and isinstance(got, list):
        return len(got) == len(recorded) and all(map(same_values, got, recorded))
    if isinstance(recorded, dict) and isinstance(got, dict):
        return got.keys() == recorded.keys() and all(
            same_values(got[key], recorded[key]) for key in recorded
        )
    return bool(got == recorded)


def grpc_disagreement(
    exchange: GrpcExchange, code: str, details: str, response: bytes | None
) -> str:
    """What is not as recorded, "" if nothing is."""
    if code != exchange.code:
        return f"{code} {details[:300]!r}, recorded {exchange.code} {exchange.details[:300]!r}"
    if code not in _ANY_DETAILS and not same_text(details, exchange.details):
        return f"{details[:400]!r}, recorded {exchange.details[:400]!r}"
    if response is None or exchange.response is None or response == exchange.response:
        return ""
    if _same_message(exchange.kind, response, exchange.response):
        return ""
    return f"{response[:200]!r}, recorded {exchange.response[:200]!r}"


def _same_message(kind: str, got: bytes, recorded: bytes) -> bool:
    if kind == "Predict":
        return _same_predictions(got, recorded)
    if kind == "GetModelMetadata":
        return _same_metadata(got, recorded)
    message = _MESSAGES.get(kind)
    return message is not None and message.FromString(got) == message.FromString(recorded)


_MESSAGES: Mapping[str, Any] = {
    "Classify": wire.ClassificationResponse,
    "Regress": wire.RegressionResponse,
    "MultiInference": wire.MultiInferenceResponse,
    "GetModelStatus": wire.GetModelStatusResponse,
}


def _same_predictions(got: bytes, recorded: bytes) -> bool:
    ours, theirs = wire.PredictResponse.FromString(got), wire.PredictResponse.FromString(recorded)
    if ours == theirs:
        return True
    if ours.model_spec != theirs.model_spec:
        return False
    try:
        pairs = zip(
            tfs_proto.decode_response(got).outputs,
            tfs_proto.decode_response(recorded).outputs,
            strict=True,
        )
    except (GatewayError, ValueError):
        return False
    return all(_same_tensor(one, other) for one, other in pairs)


def _same_tensor(got: Tensor, recorded: Tensor) -> bool:
    if (got.name, got.datatype, got.shape) != (recorded.name, recorded.datatype, recorded.shape):
        return False
    if got.datatype in ("FP32", "FP64"):
        return bool(
            np.allclose(got.array, recorded.array, RELATIVE, SMALLEST_NORMAL, equal_nan=True)
        )
    return got.array.tobytes() == recorded.array.tobytes()


def _same_metadata(got: bytes, recorded: bytes) -> bool:
    ours, theirs = (wire.GetModelMetadataResponse.FromString(data) for data in (got, recorded))
    if ours.model_spec != theirs.model_spec or ours.metadata.keys() != theirs.metadata.keys():
        return False
    signatures = [
        wire.SignatureDefMap.FromString(message.metadata["signature_def"].value)
        for message in (ours, theirs)
    ]
    return bool(signatures[0] == signatures[1])


def _same_number(got: float, recorded: float) -> bool:
    if isinstance(got, int) and isinstance(recorded, int):
        return got == recorded
    if math.isnan(got) or math.isnan(recorded):
        return math.isnan(got) and math.isnan(recorded)
    return got == recorded or math.isclose(got, recorded, rel_tol=RELATIVE, abs_tol=SMALLEST_NORMAL)


def _json(text: bytes) -> Any:
    try:
        return read_json(text) if text.startswith((b"{", b"[")) else None
    except GatewayError:
        return None


def _short(text: bytes) -> str:
    return repr(" ".join(text.decode("utf-8", "replace").split())[:300])
