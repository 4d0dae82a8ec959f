"""Do any bytes at all get an answer or an error of ours, in time linear in their length?

The same table as the fuzzer's (tests/codecs/fuzz.py), which searches for as long as one likes; here a short,
fixed search of the same kind: recorded and hand-made bodies, damaged at random from a fixed seed.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from gateway.errors import GatewayError
from tests.codecs.decoders import DECODERS

ROUNDS = 300
WORDS = [
    *(b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b"\\u", b"\\ud800", b"\0", b"\xff", b"\xed\xa0\x80"),
    *(b"NaN", b"-Infinity", b"null", b"true", b"-", b"1e999", b"-0.0", b"18446744073709551616", b"1e-999"),
    *(b"instances", b"inputs", b"b64", b"shape", b"data", b"binary_data_size", b"[" * 200, b'{"a":' * 200),
    *(b"\xff" * 9 + b"\x01", b"\x80" * 9, b"\x0a", b"\x12\x7f", b"\x0b", b"\x08\xff\xff\xff\xff\x07"),
]  # fmt: skip


@pytest.mark.parametrize("name", DECODERS)
def test_damaged_bodies_raise_nothing_but_our_errors(name: str) -> None:
    decoder = DECODERS[name]
    rng = random.Random(name)
    for seed in decoder.seeds:
        with contextlib.suppress(GatewayError):
            decoder.read(seed)
    for _ in range(ROUNDS):
        with contextlib.suppress(GatewayError):
            decoder.read(damaged(rng, rng.choice(decoder.seeds), rng.choice(decoder.seeds)))


def damaged(rng: random.Random, body: bytes, other: bytes) -> bytes:
    """`body` after one to six small accidents; pieces of `other` may get into it."""
    for _ in range(rng.randint(1, 6)):
        at, to = sorted(rng.choices(range(len(body) + 1), k=2))
        piece = rng.choice(
            [b"", rng.randbytes(rng.randint(1, 4)), rng.choice(WORDS), body[at:to], other]
        )
        cut = rng.choice([at, min(at + 1, len(body)), to])
        body = (body[:at] + piece + body[cut:])[:5000]
    return body


def repeated(before: bytes, again: bytes, after: bytes) -> Callable[[int], bytes]:
    return lambda count: before + again * count + after


GROWING = {
    "nested lists": ("tfs_json predict", repeated(b'{"instances": ', b"[", b"")),
    "nested objects": ("tfs_json predict", repeated(b"", b'{"a":', b"")),
    "one key again": ("tfs_json predict", repeated(b"{", b'"a":1,', b'"inputs":[]}')),
    "one input again": ("tfs_json predict", repeated(b'{"inputs":{', b'"x":[1],', b'"x":[]}}')),
    "ragged": ("tfs_json predict", repeated(b'{"instances":[', b"[1,2,3,4],", b"[1]]}")),
    "ragged in depth": ("tfs_json predict", repeated(b'{"instances":', b"[[1],", b"")),
    "rows": ("tfs_json predict", repeated(b'{"instances":[', b'{"x":[1,2,3,4]},', b"{}]}")),
    "special numbers": ("tfs_json predict", repeated(b'{"instances":[', b"[NaN,2,3,4],", b"[]]}")),
    "quotes": ("tfs_json predict", repeated(b'{"instances":["', b'\\"', b"")),
    "digits": ("tfs_json predict", repeated(b'{"instances":[', b"9", b"]}")),
    "a long fraction": ("tfs_json predict", repeated(b'{"instances":[0.', b"9", b"]}")),
    "a long exponent": ("tfs_json predict", repeated(b'{"instances":[1e', b"9", b"]}")),
    "examples": ("tfs_json examples", repeated(b'{"examples":[', b'{"a":1},', b"{}]}")),
    "a feature's values": ("tfs_json examples", repeated(b'{"examples":[{"a":[', b"1,", b"1]}]}")),
    "outputs wanted": (
        "oip_json request",
        repeated(b'\xff\xff\xff\xff{"inputs":[],"outputs":[', b'{"name":"y"},', b'{"name":"z"}]}'),
    ),
    "nested data": ("oip_json request", repeated(b'\xff\xff\xff\xff{"inputs":', b"[", b"")),
    "inputs": ("oip_proto request", repeated(b"\x0a\x01m", b"\x2a\x03\x0a\x01x" * 8, b"")),
    "dimensions": ("tfs_proto request", repeated(b"\x0a\x03\x0a\x01m", b"\x12\x00" * 8, b"")),
    "groups": ("tfs_proto request", repeated(b"", b"\x0b", b"")),
}


@pytest.mark.parametrize(("name", "make"), GROWING.values(), ids=GROWING)
def test_eight_times_the_bytes_cost_no_more_than_eight_times_the_steps(
    name: str, make: Callable[[int], bytes]
) -> None:
    """Counted in lines executed, because time on a busy machine says nothing."""
    small, large = (_steps(name, make(count)) for count in (500, 4000))
    assert large <= 9 * small + 200


def _steps(name: str, body: bytes) -> int:
    """Lines and calls that Python executes for `body`; what is native counts as one."""
    steps = 0

    def count(_frame: FrameType, _event: str, _argument: Any) -> Any:
        nonlocal steps
        steps += 1
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        with contextlib.suppress(GatewayError):
            DECODERS[name].read(body)
    finally:
        sys.settrace(before)
    return steps
