"""What of Envoy's configuration can be told without Envoy."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.front.listeners import UTF8_PATH, envoy_config
from gateway.front.terms import CALL_KEY, Terms

TERMS = Terms(
    file="tandem.toml",
    rest="127.0.0.1:1",
    grpc="[::1]:2",
    admin="127.0.0.1:3",
    private="/private",
    executable="python",
)


def is_utf8(path: str) -> bool:
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return False
    return True


@given(st.text(st.sampled_from("%%%0189abcdefABCDEFz/"), max_size=24))
@example("%%FF")
@example("%C3%A9%")
@example("%ED%A0%80")
@example("%F4%90%80%80")
def test_the_pattern_takes_what_decodes_to_utf8_and_nothing_else(path: str) -> None:
    assert bool(re.fullmatch(UTF8_PATH, path)) == is_utf8(path)


@given(st.binary(max_size=5))
def test_the_pattern_takes_escaped_bytes_that_are_utf8_and_no_others(data: bytes) -> None:
    path = quote(data, safe="")
    assert bool(re.fullmatch(UTF8_PATH, path)) == is_utf8(path)


@pytest.mark.parametrize("grpc", [TERMS.grpc, TERMS.rest])
def test_one_listener_has_both_addresses(grpc: str) -> None:
    """A second one would start a second gateway inside."""
    manager = {"typed_config": {"http_filters": [{"name": "pyvoy"}]}}
    made = {
        "static_resources": {
            "listeners": [{"address": "rest", "filter_chains": [{"filters": [manager]}]}]
        }
    }
    terms = Terms(
        file=TERMS.file,
        rest=TERMS.rest,
        grpc=grpc,
        admin=TERMS.admin,
        private=TERMS.private,
        executable=TERMS.executable,
    )
    (listener,) = envoy_config(made, terms, read_timeout_s=1.5)["static_resources"]["listeners"]
    others = [
        entry["address"]["socket_address"] for entry in listener.get("additional_addresses", ())
    ]
    assert others == ([] if grpc == TERMS.rest else [{"address": "::1", "port_value": 2}])
    assert not listener["enable_reuse_port"]
    changed = manager["typed_config"]
    assert changed["http_filters"][-1] == {"name": "pyvoy"}  # ours run before it
    assert CALL_KEY in str(changed["http_filters"])
    assert CALL_KEY in str(changed["access_log"])


def test_the_terms_go_through_the_environment() -> None:
    assert Terms.from_environment(TERMS.as_environment()) == TERMS
    with pytest.raises(KeyError):
        Terms.from_environment({})
