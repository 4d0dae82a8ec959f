"""What was the real TensorFlow Serving asked, and what did it answer? The whole record, as values."""

from __future__ import annotations

import base64
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parent / "tf_serving"

_KINDS = re.compile(
    r"POST /v1/models/[^/:]+(?:/(?:versions|labels)/[^/:]+)?:(?P<verb>predict|classify|regress)(?:[?#].*)?"
    r"|GET /v1/models/[^/:]+(?:/(?:versions|labels)/[^/:]+)?(?P<sub>/metadata)?(?:[?#].*)?"
)
_REST_FILES = ("rest.jsonl", "rest_more.jsonl", "rest_cut.jsonl", "rest_flags.jsonl")
_GRPC_FILES = ("grpc.jsonl", "grpc_examples.jsonl", "grpc_reload.jsonl")
_BROKEN = b"mlp_sig"  # a model that the recorded server could not load


@dataclass(frozen=True, slots=True, kw_only=True)
class RestExchange:
    """One REST call. `headers` are those sent beside Host and a right Content-Length.

    `flags` names the set of flags that the server was started with, "" for the default ones. `status` is 0
    where the server died.
    """

    id: int
    group: str
    method: str
    path: str
    body: bytes
    status: int
    response: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    response_headers: Mapping[str, str] = field(default_factory=dict)
    flags: str = ""
    note: str = ""

    @property
    def kind(self) -> str:
        """`predict`, `classify`, `regress`, `status`, `metadata`; `http` for what asks for none of them.

        Whatever it was recorded for: compression, odd addresses, or a server of other flags.
        """
        found = _KINDS.fullmatch(f"{self.method} {self.path}")
        if found is None:
            return "http"
        return found["verb"] or ("metadata" if found["sub"] else "status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Requests on one connection, each sent when the one before is answered.

    `answers` are the status and the body of each; None where the connection was closed.
    """

    id: int
    group: str
    sent: tuple[bytes, ...]
    answers: tuple[tuple[int, bytes] | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcExchange:
    """One gRPC call; `response` is None when it failed with `code`."""

    id: int
    group: str
    method: str
    request: bytes
    code: str
    details: str
    response: bytes | None

    @property
    def kind(self) -> str:
        """The method's name."""
        return self.method.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where Tandem answers differently on purpose, and why."""

    why: str
    rest: frozenset[int]
    grpc: frozenset[int]


def rest_exchanges() -> tuple[RestExchange, ...]:
    """Every recorded REST call, in the order in which it was made."""
    lines = [line for name in _REST_FILES for line in _lines(name)]
    return tuple(sorted(map(_rest, lines), key=lambda exchange: exchange.id))


def lifecycle_exchanges() -> tuple[RestExchange, ...]:
    """Every call to a server whose model's versions came and went, in order; `note` says what was there."""
    return tuple(map(_rest, _lines("rest_lifecycle.jsonl")))


def conversations() -> tuple[Conversation, ...]:
    """Every recorded connection that no HTTP client would make."""
    return tuple(map(_conversation, _lines("rest_sockets.jsonl")))


def grpc_exchanges() -> tuple[GrpcExchange, ...]:
    """Every recorded gRPC call, in the order in which it was made."""
    lines = [line for name in _GRPC_FILES for line in _lines(name)]
    found = [exchange for exchange in map(_grpc, lines) if _BROKEN not in exchange.request]
    return tuple(sorted(found, key=lambda exchange: exchange.id))


def differences() -> tuple[Difference, ...]:
    """The table of deliberate differences."""
    table = tomllib.loads((RECORD / "differences.toml").read_text())
    return tuple(
        Difference(
            why=entry["why"],
            rest=frozenset(entry.get("rest", ())),
            grpc=frozenset(entry.get("grpc", ())),
        )
        for entry in table["difference"]
    )


def _lines(name: str) -> Iterator[Mapping[str, Any]]:
    return map(json.loads, (RECORD / name).read_text().splitlines())


def _rest(line: Mapping[str, Any]) -> RestExchange:
    is_question = line["group"] in ("status", "metadata")
    return RestExchange(
        id=line["id"],
        group=line["group"],
        method=line.get("method", "GET" if is_question else "POST"),
        path=line["path"],
        body=_bytes(line, "body"),
        status=line["status"] or 0,
        response=_bytes(line, "response"),
        headers=line.get("headers", {}),
        response_headers=line.get("response_headers", {}),
        flags=line.get("server", "default").removeprefix("default"),
        note=line.get("note", ""),
    )


def _conversation(line: Mapping[str, Any]) -> Conversation:
    return Conversation(
        id=line["id"],
        group=line["group"],
        sent=tuple(text.encode() for text in line["sent"]),
        answers=tuple(
            None if answer is None else (answer["status"], _bytes(answer, "response"))
            for answer in line["answers"]
        ),
    )


def _grpc(line: Mapping[str, Any]) -> GrpcExchange:
    method = line["method"]
    if "/" not in method:
        service = (
            "ModelService"
            if method in ("GetModelStatus", "HandleReloadConfigRequest")
            else "PredictionService"
        )
        method = f"/tensorflow.serving.{service}/{method}"
    return GrpcExchange(
        id=line["id"],
        group=line["group"],
        method=method,
        request=_bytes(line, "request"),
        code=line["code"],
        details=line.get("details") or "",
        response=_bytes(line, "response") if "response_b64" in line else None,
    )


def _bytes(line: Mapping[str, Any], name: str) -> bytes:
    encoded = line.get(f"{name}_b64")
    if encoded is not None:
        return base64.b64decode(encoded)
    if f"{name}_parts" in line:  # long ones: each part, and how often it follows itself
        return "".join(part * times for part, times in line[f"{name}_parts"]).encode()
    return str(line.get(name, "")).encode()
