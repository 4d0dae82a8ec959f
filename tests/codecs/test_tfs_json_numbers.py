"""Is a predict body of long lists of numbers read as it would be otherwise, or left to the other reader?"""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs import tfs_json
from gateway.codecs.tfs_json_numbers import parse_numbers
from gateway.tensors import DTYPES, Tensor
from tests.codecs.json_lists import any_lists, long_, regular_lists
from tests.codecs.test_any_bytes import damaged
from tests.codecs.tfs_golden import signature

LONG = long_("[1,2.5]")


def numbers_of(body: str | bytes, **inputs: str) -> tuple[Tensor, ...] | None:
    """The inputs, which are what the other reader finds too; None where only that one reads them."""
    wanted = signature("serving_default", inputs, {})
    text = body.encode() if isinstance(body, str) else body
    found = parse_numbers(text)
    ours = None if found is None else found.inputs(wanted)
    if found is None or ours is None:
        return None
    parsed = tfs_json.parse_predict(text)
    assert (parsed.signature_name, parsed.form) == (found.signature_name, found.form)
    for our, their in zip(ours, tfs_json.decode_inputs(parsed, wanted), strict=True):
        assert (our.name, our.datatype) == (their.name, their.datatype)
        assert our.array.dtype == their.array.dtype
        assert our.array.tobytes() == their.array.tobytes()
        assert our.array.shape == their.array.shape
    return ours


@given(st.one_of(regular_lists(), any_lists()), st.sampled_from(sorted(DTYPES)))
def test_whatever_is_read_is_read_as_it_would_be_otherwise(data: str, datatype: str) -> None:
    for text in (
        f'{{"instances":{data}}}',
        f'{{"inputs":{data}}}',
        f'{{"signature_name":"a","inputs":{{"x":{data}}}}}',
        f'{{"instances":[{{"x":{data}}},{{"x":{data}}}]}}',
    ):
        numbers_of(text, x=f"{datatype} -1")


def test_damaged_bodies_are_read_as_they_would_be_otherwise() -> None:
    rng = random.Random(1)
    seed = f'{{"signature_name":"a","inputs":{{"x":[{"[1,2]," * 700}[3,4]]}}}}'.encode()
    assert numbers_of(seed, x="INT8 -1") is not None
    for _ in range(500):
        numbers_of(damaged(rng, seed, seed), x="INT8 -1")


@pytest.mark.parametrize(
    "text",
    [
        f'{{"instances":{LONG}}}',
        f'{{"inputs":{LONG},"other":[1]}}',
        f'{{"inputs":{{"x":{LONG}}},"signature_name":""}}',
        f'{{"inputs":{{"x":{LONG},"more":{LONG}}}}}',
        f'{{"instances":[{{"x":{LONG}}}]}}',
        f'{{"instances":[{{"x":{LONG}}},{{"x":{LONG}}}]}}',
    ],
)
def test_ordinary_bodies_are_read_at_little_cost(text: str) -> None:
    found = numbers_of(text, x="FP32 -1")
    assert found is not None
    assert found[0].array.ravel()[:2].tolist() == [1, 2.5]


def test_several_inputs_are_read_by_name() -> None:
    inputs = {"x": "FP32 -1", "n": "INT32 -1"}
    ints = long_("[[1,2]]")
    for text in (
        f'{{"inputs":{{"n":{ints},"x":{LONG}}}}}',
        f'{{"instances":[{{"n":{ints},"x":{LONG}}},{{"x":{LONG},"n":{ints}}}]}}',
    ):
        found = numbers_of(text, **inputs)
        assert found is not None
        assert [tensor.name for tensor in found] == ["x", "n"]


@pytest.mark.parametrize(
    "text",
    [
        f'{{"instances":{LONG},"inputs":[1]}}',
        f'{{"instances":{LONG},"instances":[1]}}',
        f'{{"instances":[1],"instances":{LONG}}}',
        f'{{"inputs":{{"x":{LONG},"x":{LONG}}}}}',
        f'{{"inputs":{{"x":{LONG},"y":[1]}}}}',
        f'{{"inputs":{{"y":{LONG}}}}}',
        f'{{"inputs":{{}},"more":{LONG}}}',
        f'{{"instances":[{{"x":{LONG}}},{{"y":{LONG}}}]}}',
        f'{{"instances":[{{"x":{LONG}}},{{"x":{LONG},"y":{LONG}}}]}}',
        f'{{"instances":[{{"x":{LONG}}},{{"x":{long_("[1]")}}}]}}',
        f'{{"instances":[{{"x":{LONG}}},{LONG}]}}',
        f'{{"instances":{LONG},"signature_name":null}}',
        f'{{"instances":{LONG},"signature_name":1}}',
        f'{{"instances":[1],"signature_name":{LONG}}}',
        f'{{"instances":{LONG},"more":{LONG}}}',
        f'{{"more":{LONG}}}',
        f'[{{"instances":{LONG}}}]',
        f'{{"instances":{LONG}',
        f'{{"instances":{LONG}}} x',
        '{"instances":[1]}',
    ],
)
def test_odd_bodies_are_left_to_the_other_reader(text: str) -> None:
    found = parse_numbers(text.encode())
    assert found is None or found.inputs(signature("s", {"x": "FP32 -1"}, {})) is None


@pytest.mark.parametrize("datatype", ["INT32", "UINT16", "FP16", "BF16", "BYTES", "BOOL"])
def test_types_that_have_other_values_are_left_to_the_other_reader(datatype: str) -> None:
    found = parse_numbers(f'{{"instances":{LONG}}}'.encode())
    assert found is not None
    assert found.inputs(signature("s", {"x": f"{datatype} -1"}, {})) is None


def test_a_signature_without_inputs_or_with_more_is_left_to_the_other_reader() -> None:
    found = parse_numbers(f'{{"instances":{LONG}}}'.encode())
    assert found is not None
    assert found.inputs(signature("s", {}, {})) is None
    assert found.inputs(signature("s", {"x": "FP32 -1", "y": "FP32 -1"}, {})) is None
