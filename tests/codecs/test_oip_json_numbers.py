"""Is an infer body of long lists of numbers read as it would be otherwise, or left to the other reader?"""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs import oip_json
from gateway.codecs.json_numbers import LONG_BYTES
from gateway.codecs.oip_json_numbers import decode_numbers, decode_request
from gateway.errors import InvalidRequest
from gateway.messages import InferRequest
from gateway.tensors import DTYPES
from tests.codecs.json_lists import any_lists, long_, regular_lists
from tests.codecs.test_any_bytes import damaged


def numbers_of(body: str | bytes) -> InferRequest | None:
    """The request, which is what the other reader finds too; None where only that one reads it."""
    text = body.encode() if isinstance(body, str) else body
    found = decode_numbers(text, None, model="m", version="1")
    if found is None:
        return None
    request, form = oip_json.decode_request(text, None, model="m", version="1")
    assert form == found[1]
    assert (request.id, request.parameters) == (found[0].id, found[0].parameters)
    assert request.outputs == found[0].outputs
    for ours, theirs in zip(found[0].inputs, request.inputs, strict=True):
        assert (ours.name, ours.datatype) == (theirs.name, theirs.datatype)
        assert ours.array.dtype == theirs.array.dtype
        assert ours.array.tobytes() == theirs.array.tobytes()
        assert ours.array.shape == theirs.array.shape
    return found[0]


def tensor(data: str, datatype: str = "FP32", shape: str = "[2]", more: str = "") -> str:
    return f'{{"name":"x","datatype":"{datatype}","shape":{shape},"data":{data}{more}}}'


def body(*tensors: str, more: str = "") -> str:
    return f'{{"inputs":[{",".join(tensors)}]{more}}}'


LONG = long_("[1,2.5]")


@given(st.one_of(regular_lists(), any_lists()), st.sampled_from(sorted(DTYPES)), st.integers(0, 9))
def test_whatever_is_read_is_read_as_it_would_be_otherwise(
    data: str, datatype: str, size: int
) -> None:
    count = max(1, data.count(","))
    numbers_of(body(tensor(data, datatype, f"[{count}]")))
    numbers_of(body(tensor(data, datatype, f"[1,{count + 1}]")))
    numbers_of(body(tensor(data, datatype, f"[{size}]")))


def test_damaged_bodies_are_read_as_they_would_be_otherwise() -> None:
    rng = random.Random(1)
    seed = body(tensor(f"[{'1.5,' * 1100}2]", shape="[1101]")).encode()
    assert numbers_of(seed) is not None
    read = sum(numbers_of(damaged(rng, seed, seed)) is not None for _ in range(500))
    assert read > 0


@pytest.mark.parametrize(
    "text",
    [
        body(tensor(LONG)),
        body(tensor(LONG), tensor(long_("[[1],[2]]"), "INT8")),
        body(tensor(LONG), tensor("[true,false]", "BOOL"), tensor("[1,2]", "INT64")),
        body(tensor("[3,4]"), tensor(LONG, more=',"parameters":{}')),
        body(tensor(LONG), more=',"id":"7","parameters":{"a":true},"outputs":[{"name":"y"}]'),
        body(tensor(LONG), more=',"parameters":{"binary_data_output":true}'),
        body(tensor(LONG), tensor("[]", shape="[0]")),
    ],
)
def test_ordinary_bodies_are_read_at_little_cost(text: str) -> None:
    request = numbers_of(text)
    assert request is not None
    assert request.inputs[0].array.ravel().tolist() in ([1, 2.5], [3, 4])


@pytest.mark.parametrize(
    "text",
    [
        body(tensor(LONG, "INT32")),
        body(tensor(LONG, "FP16")),
        body(tensor(LONG, "BOOL")),
        body(tensor(LONG, shape="[3]")),
        body(tensor(LONG, shape='"2"')),
        body(tensor(LONG, "[]")),
        body(tensor(LONG, more=',"parameters":{"binary_data_size":8}')),
        body(tensor(LONG, more=',"parameters":0')),
        body(tensor(LONG), more=f',"parameters":{{"a":{LONG}}}'),
        body(tensor(LONG), more=f',"id":{LONG}'),
        body(tensor(LONG), more=f',"inputs":[{tensor("[1,2]")}]'),
        body(tensor(LONG), tensor("[true,1]")),
        body(tensor(LONG), '{"name":"x","datatype":"FP32","shape":[1],'
             '"parameters":{"binary_data_size":4}}'),
        body(LONG),
        f'{{"inputs":{LONG}}}',
        f"[{LONG}]",
        body(tensor(LONG)) + "]",
        '{"inputs":[' + tensor(LONG),
    ],
)  # fmt: skip
def test_odd_bodies_are_left_to_the_other_reader(text: str) -> None:
    assert decode_numbers(text.encode(), None, model="m", version=None) is None


def test_faults_are_told_as_everywhere() -> None:
    with pytest.raises(InvalidRequest, match="the body is not JSON"):
        decode_request(body(tensor(LONG)).encode()[:-1], None, model="m", version=None)
    with pytest.raises(InvalidRequest, match="wants an integer"):
        decode_request(body(tensor(LONG, "INT8")).encode(), None, model="m", version=None)


def test_bodies_with_bytes_after_the_json_are_left_to_the_other_reader() -> None:
    text = body(tensor(LONG)).encode()
    assert decode_numbers(text, len(text), model="m", version=None) is None
    assert decode_request(text, len(text), model="m", version=None)[0].inputs[0].shape == (2,)


def test_only_what_reads_quickly_is_read_when_asked_so() -> None:
    text = body(tensor(long_("[2.4703282292062327208e-324,1]"))).encode()
    assert decode_numbers(text, None, model="m", version=None) is not None
    assert decode_numbers(text, None, model="m", version=None, quick=True) is None
    assert len(text) > LONG_BYTES
