"""How is Envoy configured, so that it adds nothing to what the gateway says, and takes nothing away?

pyvoy makes the configuration; what is here is changed in it. The reasons:

- The client's departure: pyvoy tells it to no application that has read its request. Envoy's access log does,
  into a pipe, by a key that Envoy gave the request.
- Whoever leaves, leaves alone: Envoy would close a connection most of whose requests are given up within two
  seconds, and with it calls that are waited for. A client with short deadlines does nothing else. A flood of
  resets still ends its connection: Envoy's HTTP/2 takes about a thousand at once.
- Streams and answers may last: the gateway has its own bounds (`limits`), Envoy's would cut a health watch.
- Paths that decode to no UTF-8: pyvoy would never answer them, so Envoy does.
- One listener with two addresses: each listener of its own would start another gateway inside.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from gateway.front.terms import CALL_KEY, Terms
from gateway.http1.listen import BACKLOG, KEEP_ALIVE_S, split

__all__ = ["FLUSH_MS", "UTF8_PATH", "envoy_config"]

Tree: TypeAlias = dict[str, Any]

FLUSH_MS: Final = 10
"""A departure is told this much later at most."""

_HEX: Final = "[0-9A-Fa-f]"
_NEXT: Final = f"%[89AaBb]{_HEX}"
_CHARACTER: Final = "|".join(
    (
        f"%[0-7]{_HEX}",
        f"%[Cc][2-9A-Fa-f]{_NEXT}|%[Dd]{_HEX}{_NEXT}",
        f"%[Ee]0%[AaBb]{_HEX}{_NEXT}|%[Ee][Dd]%[89]{_HEX}{_NEXT}",
        f"%[Ee][1-9A-Ca-cEeFf]{_NEXT}{_NEXT}",
        f"%[Ff]0%[9AaBb]{_HEX}{_NEXT}{_NEXT}|%[Ff]4%8{_HEX}{_NEXT}{_NEXT}",
        f"%[Ff][1-3]{_NEXT}{_NEXT}{_NEXT}",
    )
)
UTF8_PATH: Final = f"(?:[^%]|(?:%{_HEX}?)*(?:{_CHARACTER}|%{_HEX}?[^0-9A-Fa-f%]))*(?:%{_HEX}?)*"
"""Matches the paths that decode to UTF-8; a percent sign that begins no escape stands for itself."""

_NEVER: Final = 2**32 - 1
_RUNTIME: Final = {
    "name": "tandem",
    "static_layer": {
        "re2.max_program_size.error_level": 2000,  # the pattern above has some 600
        "overload.premature_reset_total_stream_count": _NEVER,
    },
}

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
        manager["http_filters"][:0] = [_only_utf8(), _keys()]
    admin = {"address": {"pipe": {"path": str(terms.envoy_admin), "mode": 0o600}}}
    return {**pyvoys, "admin": admin, "layered_runtime": {"layers": [_RUNTIME]}}


def _address(address: str) -> Tree:
    host, port = split(address)
    return {"socket_address": {"address": host, "port_value": port}}


def _manners(read_timeout_s: float) -> Tree:
    return {
        "server_header_transformation": "PASS_THROUGH",
        "local_reply_config": {"mappers": [_no_utf8_refused()]},
        "stream_idle_timeout": "0s",
        "request_headers_timeout": f"{read_timeout_s:.3f}s",
        "common_http_protocol_options": {"idle_timeout": f"{KEEP_ALIVE_S}s"},
        "http_protocol_options": {
            "accept_http_10": True,
            "default_host_for_http_10": "localhost",
            "allow_custom_methods": True,  # the gateway refuses them in the caller's dialect
        },
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


def _only_utf8() -> Tree:
    no_utf8 = {"not_rule": {"url_path": {"path": _regex(UTF8_PATH)}}}
    # Asked first, because nearly no path has it.
    escaped = {"url_path": {"path": _regex(".*%[89A-Fa-f].*")}}
    policy = {
        "permissions": [{"and_rules": {"rules": [escaped, no_utf8]}}],
        "principals": [{"any": True}],
    }
    return {
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": f"{_TYPES}.filters.http.rbac.v3.RBAC",
            "rules": {"action": "DENY", "policies": {"no_utf8": policy}},
        },
    }


def _regex(pattern: str) -> Tree:
    return {"safe_regex": {"regex": pattern}}


def _no_utf8_refused() -> Tree:
    """Envoy has but one reason of its own to answer 403, and the gateway answers 400 to such paths."""
    is_refusal = {"op": "EQ", "value": {"default_value": 403, "runtime_key": "tandem.refused"}}
    text = {"error": "Malformed request: the path is no UTF-8"}
    return {
        "filter": {"status_code_filter": {"comparison": is_refusal}},
        "status_code": 400,
        "body_format_override": {"json_format": text},
    }


def _departures(terms: Terms) -> Tree:
    line = {"text_format_source": {"inline_string": f"%REQ({CALL_KEY})%\n"}}
    return {
        "name": "envoy.access_loggers.file",
        "filter": {"or_filter": {"filters": [_unanswered(), {"response_flag_filter": {}}]}},
        "typed_config": {
            "@type": f"{_TYPES}.access_loggers.file.v3.FileAccessLog",
            "path": str(terms.departures),
            "log_format": line,
        },
    }


def _unanswered() -> Tree:
    """Whoever left before the head of the answer, however; later, Envoy has a flag for how, whichever it is."""
    is_none = {"op": "EQ", "value": {"default_value": 0, "runtime_key": "tandem.unanswered"}}
    return {"status_code_filter": {"comparison": is_none}}
