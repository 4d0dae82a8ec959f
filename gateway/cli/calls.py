"""How does the command line ask a running gateway? One HTTP call at a time, and in plain words when it fails."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.cli.terminal import CommandError
from gateway.control.addresses import split_address

__all__ = ["Reply", "Unreachable", "ask", "ask_json", "metric_sums"]

_TIMEOUT_S = 30.0


class Unreachable(CommandError):
    """Nothing answers at the address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    address: str,
    path: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> Reply:
    """GET `path` from `host:port`, or POST `body` to it; blocks.

    Raises:
        Unreachable: no connection, no answer within `timeout_s`, or no HTTP.
    """
    host, port = split_address(address)
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET" if body is None else "POST", path, body, dict(headers or {}))
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Reply(status=response.status, headers=found, body=response.read())
    except ConnectionRefusedError as exc:
        raise Unreachable(
            f"nothing listens at {address}; `tandem up` starts the demo's stack"
        ) from exc
    except (OSError, http.client.HTTPException) as exc:
        raise Unreachable(f"{address}: {str(exc) or type(exc).__name__}") from exc
    finally:
        connection.close()


def ask_json(address: str, path: str) -> Any:
    """The JSON that a GET answers.

    Raises:
        CommandError: it cannot be reached, answers with an error, or not with JSON.
    """
    reply = ask(address, path)
    if reply.status != http.client.OK:
        text = reply.body[:200].decode("utf-8", "replace")
        raise CommandError(f"http://{address}{path} answered {reply.status}: {text}")
    try:
        return json.loads(reply.body)
    except ValueError as exc:
        raise CommandError(f"http://{address}{path} did not answer with JSON: {exc}") from exc


def metric_sums(address: str, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The samples of one metric, added up by these labels.

    Raises:
        CommandError: the metrics cannot be read.
    """
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - slow

    reply = ask(address, "/metrics")
    if reply.status != http.client.OK:
        raise CommandError(f"http://{address}/metrics answered {reply.status}")
    sums: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(reply.body.decode()):
        for sample in family.samples:
            if sample.name == name:
                key = tuple(sample.labels.get(label, "") for label in labels)
                sums[key] = sums.get(key, 0.0) + sample.value
    return sums
