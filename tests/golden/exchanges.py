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
    r"POST /v1/models/[^/:]+(?:/(?:versions|labels)/[^/:]+)?:(?P<verb>predict|classify|regress)"
    r"|GET /v1/models/[^/:]+(?:/(?:versions|labels)/[^/:]+)?(?P<sub>/metadata)?"
)
_GRPC_FILES = ("grpc.jsonl", "grpc_examples.jsonl", "grpc_reload.jsonl")
_BROKEN = b"mlp_sig"  # a model that the recorded server could not load
_ABOUT_HTTP = ("chunked", "cors", "expect", "gzip", "http", "options_origin", "url", "verbs")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestExchange:
    """One REST call. `headers` are those sent beside Host and a right Content-Length."""

    id: int
    group: str
    method: str
    path: str
    body: bytes
    status: int
    response: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    response_headers: Mapping[str, str] = field(default_factory=dict)
    has_cors: bool = False

    @property
    def kind(self) -> str:
        """`predict`, `classify`, `regress`, `status`, `metadata`, or `http` for what is about HTTP itself."""
        found = _KINDS.fullmatch(f"{self.method} {self.path}")
        if found is None or self.group in _ABOUT_HTTP:
            return "http"
        return found["verb"] or ("metadata" if found["sub"] else "status")


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
        """The method's name; `reload` for HandleReloadConfigRequest and what was asked after it."""
        if self.group in ("reload", "after_reload"):
            return "reload"
        return self.method.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where Tandem answers differently on purpose, and why."""

    why: str
    rest: frozenset[int]
    grpc: frozenset[int]


def rest_exchanges() -> tuple[RestExchange, ...]:
    """Every recorded REST call, in the order in which it was made."""
    lines = [*_lines("rest.jsonl"), *_lines("rest_more.jsonl")]
    return tuple(sorted(map(_rest, lines), key=lambda exchange: exchange.id))


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
        status=line["status"],
        response=_bytes(line, "response"),
        headers=line.get("headers", {}),
        response_headers=line.get("response_headers", {}),
        has_cors=line.get("server") == "cors",
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
    return str(line.get(name, "")).encode()
