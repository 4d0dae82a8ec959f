"""BatchKey: what keeps two requests apart."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.batching import BatchKey
from gateway.errors import InvalidRequest
from gateway.messages import InferRequest, Parameter
from gateway.sequences import RaggedInput, SequenceSpec
from gateway.tensors import Tensor


def _tensor(name: str = "x", rows: int = 2, width: int = 3) -> Tensor:
    return Tensor(name, "FP32", np.zeros((rows, width), np.float32))


def _key(
    *inputs: Tensor,
    version: str | None = "1",
    signature: str = "",
    batchable: bool = True,
    outputs: tuple[str, ...] = (),
    parameters: Mapping[str, Parameter] | None = None,
) -> BatchKey:
    return BatchKey.of(
        version=version,
        signature=signature,
        inputs=inputs or (_tensor(),),
        batchable=batchable,
        outputs=outputs,
        parameters=parameters or {},
    )


def test_requests_that_differ_in_rows_alone_share_a_key() -> None:
    assert _key(_tensor(rows=1)) == _key(_tensor(rows=9))


@pytest.mark.parametrize(
    "other",
    [
        _key(_tensor(width=4)),
        _key(_tensor("z")),
        _key(Tensor("x", "FP64", np.zeros((2, 3)))),
        _key(_tensor(), _tensor("z")),
        _key(version="2"),
        _key(version=None),
        _key(signature="embed"),
        _key(outputs=("y",)),
        _key(parameters={"top_k": 5}),
        _key(batchable=False),
    ],
)
def test_whatever_a_backend_would_see_keeps_requests_apart(other: BatchKey) -> None:
    assert other != _key()


@pytest.mark.parametrize(("one", "other"), [(True, 1), (1, 1.0), (0.0, -0.0), (1, "1")])
def test_parameters_that_python_calls_equal_are_kept_apart(
    one: Parameter, other: Parameter
) -> None:
    """`True == 1 == 1.0`, but a backend is sent different values."""
    assert _key(parameters={"p": one}) != _key(parameters={"p": other})


def test_a_parameter_that_equals_nothing_makes_a_usable_key() -> None:
    """NaN is not equal to itself; its key can still be stored and found."""
    key = _key(parameters={"p": math.nan})
    assert {key: 1}[key] == 1


def test_parameters_come_back_as_they_were_given() -> None:
    given: dict[str, Parameter] = {"b": True, "a": 1.5, "c": "x"}
    assert _key(parameters=given).parameter_mapping() == given


def test_a_request_that_travels_alone_has_its_whole_shape_in_the_key() -> None:
    assert _key(_tensor(rows=1), batchable=False) != _key(_tensor(rows=2), batchable=False)


@pytest.mark.parametrize(
    ("parameters", "is_one"),
    [
        ({"sequence_id": 7}, True),
        ({"sequence_id": "a sequence", "sequence_end": True}, True),
        ({"sequence_start": True}, True),
        ({"sequence_id": 0, "sequence_start": False}, False),  # the protocol's words for none
        ({"sequence_id": ""}, False),
        ({"top_k": 7}, False),
    ],
)
def test_a_step_of_a_sequence_travels_alone(
    parameters: dict[str, Parameter], *, is_one: bool
) -> None:
    """Joined, cut or sent again, it would be another step than the caller's."""
    assert _key(parameters=parameters).batchable is not is_one
    request = InferRequest(model="m", inputs=(), parameters=parameters)
    assert request.is_repeatable is not is_one


MASKED = SequenceSpec(
    inputs=(RaggedInput("ids", 1, 0), RaggedInput("mask", 1, 0)),
    outputs=(),
    buckets=(4, 16),
    min_length=2,
)


def _sequences(ids: int, mask: int | None = None, **others: Tensor) -> BatchKey:
    lengths = {"ids": ids, "mask": ids if mask is None else mask}
    tensors = [Tensor(n, "INT64", np.zeros((2, length))) for n, length in lengths.items()]
    return _key(*tensors, *others.values()).in_bucket(MASKED)


@given(one=st.integers(0, 20), other=st.integers(0, 20))
def test_lengths_share_a_key_if_they_are_of_one_bucket_or_equal(one: int, other: int) -> None:
    """Below `min_length` and above the last bucket, each length is its own."""
    buckets = [range(2, 5), range(5, 17)]
    together = one == other or any(one in bucket and other in bucket for bucket in buckets)
    assert (_sequences(one) == _sequences(other)) is together
    assert (len({_sequences(one), _sequences(other)}) == 1) is together


def test_only_the_sequence_axis_is_bucketed() -> None:
    """A request of the very length of a bound, and the other dimensions, stay what they are."""
    assert _sequences(16) == _sequences(9)
    wide, narrow = (Tensor("w", "FP32", np.zeros((2, 9, n), np.float32)) for n in (3, 4))
    assert _sequences(9, w=wide) == _sequences(8, w=wide)
    assert _sequences(9, w=wide) != _sequences(9, w=narrow)


def test_a_bucket_is_not_the_key_of_that_length() -> None:
    tensors = [Tensor(name, "INT64", np.zeros((2, 16))) for name in ("ids", "mask")]
    assert _key(*tensors) != _sequences(16)


def test_inputs_that_differ_in_their_lengths_are_the_callers_fault() -> None:
    with pytest.raises(InvalidRequest) as caught:
        _sequences(5, 6)
    assert str(caught.value) == "inputs: got a sequence of 6 in 'mask', but of 5 in 'ids'"


@pytest.mark.parametrize("shape", [(), (3,)])
def test_what_has_no_sequence_axis_keeps_its_key(shape: tuple[int, ...]) -> None:
    """It does not fit its signature, and whoever checks that says so."""
    key = _key(Tensor("ids", "INT64", np.zeros((2, 5))), Tensor("mask", "INT64", np.zeros(shape)))
    assert key.in_bucket(MASKED) == key
