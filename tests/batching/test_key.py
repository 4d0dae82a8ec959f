"""BatchKey: what keeps two requests apart."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from gateway.batching import BatchKey
from gateway.messages import Parameter
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
