"""W3C Trace Context: what is read, what is ignored, what is passed on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs.trace_context import carried, made_anew, read_trace, returned
from gateway.messages import Trace

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{ID}-{SPAN}-01"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (PARENT, PARENT),
        (f" {PARENT}\t", PARENT),
        (f"00-{ID}-{SPAN}-00", f"00-{ID}-{SPAN}-00"),
        (f"cc-{ID}-{SPAN}-03-what-comes-later", PARENT),
        (f"cc-{ID}-{SPAN}-02", f"00-{ID}-{SPAN}-00"),
        (f"00-{ID}-{SPAN}-01-more", ""),
        (f"cc-{ID}-{SPAN}-01more", ""),
        (f"ff-{ID}-{SPAN}-01", ""),
        (f"00-{'0' * 32}-{SPAN}-01", ""),
        (f"00-{ID}-{'0' * 16}-01", ""),
        (PARENT.upper(), ""),
        (PARENT[:-1], ""),
        (f"{PARENT}\r\nx: y", ""),
        ("cc-" + PARENT[3:] + "-" + "x" * 300, ""),
        ("", ""),
    ],
)
def test_what_is_malformed_is_ignored(text: str, read: str) -> None:
    """And a later version is read as far as we know it."""
    trace = read_trace("id", [text], ["a=1"])
    assert trace == Trace(request_id="id", traceparent=read, tracestate="a=1" if read else "")


def test_two_parents_are_none() -> None:
    """Nobody can tell which one is meant."""
    assert read_trace("id", [PARENT, PARENT], ["a=1"]) == Trace(request_id="id")


@pytest.mark.parametrize(
    ("told", "read"),
    [
        (["a=1,b=2", "c=3"], "a=1,b=2,c=3"),
        ([" a=1 ,, b=2\t"], "a=1,b=2"),
        (["fw529a3039@dt=FfAAAA==,x=!"], ""),
        (["tenant@system=x y"], "tenant@system=x y"),
        (["a=1,a=2"], ""),
        (["A=1"], ""),
        (["a="], ""),
        ([",".join(f"k{n}=1" for n in range(33))], ""),
        ([",".join(f"k{n}=1" for n in range(32))], ",".join(f"k{n}=1" for n in range(32))),
        (["a=" + "x" * 257], ""),
        ([], ""),
    ],
)
def test_a_malformed_state_is_ignored_alone(told: list[str], read: str) -> None:
    trace = read_trace("id", [PARENT], told)
    assert (trace.traceparent, trace.tracestate) == (PARENT, read)


@given(st.lists(st.text(), max_size=2), st.lists(st.text(), max_size=3))
def test_whatever_arrives_is_sound_or_ignored(parents: list[str], states: list[str]) -> None:
    """What is passed on is printable ASCII, and is read again as itself."""
    trace = read_trace("id", parents, states)
    for _, value in returned(trace):
        assert value.isascii()
        assert value.isprintable()
    if trace.traceparent:
        assert read_trace("id", [trace.traceparent], [trace.tracestate]) == trace


def test_a_request_without_a_trace_carries_its_id_alone() -> None:
    assert carried(None) is None
    assert carried(Trace(request_id="42")) == [("x-request-id", "42")]
    assert returned(Trace(request_id="42")) == returned(None) == []


def test_a_joined_batch_has_a_trace_of_its_own_if_any_request_had_one() -> None:
    """Sampled if any of theirs is; their states say nothing of it."""
    numbers = bytes(range(1, 25))
    quiet = Trace(request_id="1", traceparent=f"00-{ID}-{SPAN}-00", tracestate="a=1")
    loud = Trace(request_id="2", traceparent=PARENT)
    assert made_anew([None, Trace(request_id="3")], numbers) is None
    for traces, flags in (([quiet, None], "00"), ([quiet, loud], "01")):
        made = made_anew(traces, numbers)
        assert made is not None
        assert made == Trace(traceparent=f"00-{numbers[:16].hex()}-{numbers[16:].hex()}-{flags}")
        assert read_trace("", [made.traceparent], []) == made
