"""What does a predict body mean? TF Serving's own cases 1 to 17, and 10.

What the backend received is compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conformance.conftest import Running

DEEP = 500_000
HELLO, WORLD = '{"b64":"aGVsbG8="}', '{"b64":"d29ybGQ="}'


@dataclass(frozen=True)
class Read:
    """A body, and the tensors that the backend must receive for it: name, shape, values."""

    number: int
    signature: str
    body: str
    tensors: tuple[tuple[str, tuple[int, ...], Any], ...]


READ = [
    Read(
        1,
        "int",
        '"instances":[[1,2],[3,4],[5,6]]',
        (("default", (3, 2), [[1, 2], [3, 4], [5, 6]]),),
    ),
    Read(2, "int", f'"instances":[1],"nested":{"[" * DEEP}{"]" * DEEP}', (("default", (1,), [1]),)),
    Read(
        4,
        "float",
        '"instances":[1,2.0,3,4,5.003,0.007,0.0]',
        (("default", (7,), pytest.approx([1, 2, 3, 4, 5.003, 0.007, 0])),),
    ),
    Read(
        5,
        "double",
        '"instances":[1.0,2,3,4,0.662,0,0.0]',
        (("default", (7,), [1, 2, 3, 4, 0.662, 0, 0]),),
    ),
    Read(6, "float", '"instances":[1435774380]', (("default", (1,), [1435774336.0]),)),
    Read(6, "float", '"instances":[1435774380.0]', (("default", (1,), [1435774336.0]),)),
    Read(7, "float", '"instances":[1.79769e+308]', (("default", (1,), [math.inf]),)),
    Read(7, "float", '"instances":[-1.79769e+308]', (("default", (1,), [-math.inf]),)),
    Read(8, "float", '"instances":[2.22507e-308]', (("default", (1,), [0.0]),)),
    Read(8, "float", '"instances":[-2.22507e-308]', (("default", (1,), [-0.0]),)),
    Read(9, "predict_images", '"instances":[[1,2]]', (("default", (1, 2), [[1, 2]]),)),
    Read(
        11, "string", f'"instances":[{HELLO},{WORLD}]', (("default", (2,), [b"hello", b"world"]),)
    ),
    Read(
        12,
        "string",
        f'"instances":[[{HELLO}],[{WORLD}]]',
        (("default", (2, 1), [[b"hello"], [b"world"]]),),
    ),
    Read(
        13,
        "string",
        f'"instances":[{{"default":[[{HELLO}],[{WORLD}]]}}]',
        (("default", (1, 2, 1), [[[b"hello"], [b"world"]]]),),
    ),
    Read(
        14,
        "four",
        '"instances":['
        '{"int":[[1,2],[3,4],[5,6]],"str":["a","b"],"float":[1.0,NaN],"dbl":[NaN]},'
        '{"int":[[7,8],[9,0],[1,2]],"str":["c","d"],"float":[2.0,Infinity],"dbl":[2.0]}]',
        (
            ("int", (2, 3, 2), [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]]),
            ("str", (2, 2), [[b"a", b"b"], [b"c", b"d"]]),
            ("float", (2, 2), [[1, pytest.approx(math.nan, nan_ok=True)], [2, math.inf]]),
            ("dbl", (2, 1), [[pytest.approx(math.nan, nan_ok=True)], [2]]),
        ),
    ),
    Read(
        15,
        "int_tensor",
        '"inputs":{"int_tensor":[[[1,2],[3,4],[5,6]]]}',
        (("int_tensor", (1, 3, 2), [[[1, 2], [3, 4], [5, 6]]]),),
    ),
    Read(
        16,
        "int_tensor",
        '"inputs":[[[1,2],[3,4],[5,6]]]',
        (("int_tensor", (1, 3, 2), [[[1, 2], [3, 4], [5, 6]]]),),
    ),
    Read(
        17,
        "three",
        '"inputs":{"int_tensor":[[[1,2],[3,4],[5,6]]],"str_tensor":["foo","bar"],'
        f'"bin_tensor":{HELLO}}}',
        (
            ("int_tensor", (1, 3, 2), [[[1, 2], [3, 4], [5, 6]]]),
            ("str_tensor", (2,), [b"foo", b"bar"]),
            ("bin_tensor", (), b"hello"),
        ),
    ),
]


@pytest.mark.parametrize("case", READ, ids=lambda case: str(case.number))
def test_bodies_become_these_tensors(running: Running, case: Read) -> None:
    answer = running.client.post(
        "/v1/models/m:predict", content=f'{{"signature_name":"{case.signature}",{case.body}}}'
    )
    assert answer.status_code == 200, answer.text
    asked = running.backend.asked
    assert asked is not None
    assert asked.signature == case.signature
    received = {one.name: (one.shape, one.array.tolist()) for one in asked.inputs}
    assert received == {name: (shape, values) for name, shape, values in case.tensors}


def test_zeros_keep_their_sign(running: Running) -> None:
    """8: what underflows is a zero of its own sign."""
    body = '{"signature_name":"float","instances":[2.22507e-308,-2.22507e-308]}'
    running.client.post("/v1/models/m:predict", content=body)
    asked = running.backend.asked
    assert asked is not None
    assert [math.copysign(1, value) for value in asked.inputs[0].array.tolist()] == [1, -1]


def test_what_follows_the_document_is_not_read(running: Running) -> None:
    """10: neither a NUL nor anything else after the first value matters."""
    for rest in ("", "\0", " trailing", "}"):
        body = f'{{"signature_name":"int","instances":[[1,2],[3,4],[5,6]]}}{rest}'
        answer = running.client.post("/v1/models/m:predict", content=body)
        assert answer.status_code == 200, answer.text
