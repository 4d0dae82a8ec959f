"""How is Envoy configured, so that it adds nothing to what the gateway says, and takes nothing away?

pyvoy makes the configuration; what is here is changed in it. The reasons:

- The client's departure: pyvoy tells it to no application that has read its request. Envoy's access log does,
  into a pipe, by a key that Envoy gave the request.
- Streams and answers may last: the gateway has its own bounds (`limits`), Envoy's would cut a health watch.
- One listener with two addresses: each listener of its own would start another gateway inside.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from gateway.front.terms import CALL_KEY, Terms
from gateway.servers.listen import BACKLOG, KEEP_ALIVE_S, split

__all__ = ["FLUSH_MS", "envoy_config"]

Tree: TypeAlias = dict[str, Any]

FLUSH_MS: Final = 10
"""A departure is told this much later at most."""

_TYPES: Final = "type.googleapis.com/envoy.extensions"


def envoy_config(pyvoys: Tree, terms: Terms, *, read_timeout_s: float) -> Tree:
    """Envoy's configuration, from the one that pyvoy made for one listener on `terms.rest`.

    The head of a request may take `read_timeout_s` to arrive.
    """
    listener = pyvoys["static_resources"]["listeners"][0]
    listener |= {
        "enable_reuse_port": False,  # else a second gateway would take half of the connections
        "tcp_backlog_size": BACKLOG,
    }
    if terms.grpc != terms.rest:
        listener["additional_addresses"] = [{"address": _address(terms.grpc)}]
    for chain in listener["filter_chains"]:
        manager = chain["filters"][-1]["typed_config"]
        manager |= {**_manners(read_timeout_s), "access_log": [_departures(terms)]}
        manager["http_filters"].insert(0, _keys())
    admin = {"address": {"pipe": {"path": str(terms.envoy_admin), "mode": 0o600}}}
    return {**pyvoys, "admin": admin}


def _address(address: str) -> Tree:
    host, port = split(address)
    return {"socket_address": {"address": host, "port_value": port}}


def _manners(read_timeout_s: float) -> Tree:
    return {
        "server_header_transformation": "PASS_THROUGH",
        "stream_idle_timeout": "0s",
        "request_headers_timeout": f"{read_timeout_s:.3f}s",
        "common_http_protocol_options": {"idle_timeout": f"{KEEP_ALIVE_S}s"},
        "http_protocol_options": {"accept_http_10": True},
    }


def _keys() -> Tree:
    key = {
        "header": {"key": CALL_KEY, "value": "%UNIQUE_ID%"},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
    return {
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": f"{_TYPES}.filters.http.header_mutation.v3.HeaderMutation",
            "mutations": {"request_mutations": [{"append": key}]},
        },
    }


def _departures(terms: Terms) -> Tree:
    line = {"text_format_source": {"inline_string": f"%REQ({CALL_KEY})%\n"}}
    return {
        "name": "envoy.access_loggers.file",
        # The connection was closed, or the stream reset, before the answer's end.
        "filter": {"response_flag_filter": {"flags": ["DC", "DR"]}},
        "typed_config": {
            "@type": f"{_TYPES}.access_loggers.file.v3.FileAccessLog",
            "path": str(terms.departures),
            "log_format": line,
        },
    }
