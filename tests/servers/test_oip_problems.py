"""What does not fit a signature is told in the words that each dialect's clients know."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.errors import InvalidRequest
from gateway.messages import Target
from gateway.servers.problems import text_of
from gateway.tensors import Signature, Tensor, TensorSpec, check_inputs

INPUTS = {
    "a": TensorSpec("a", "FP32", (-1, 2)),
    "b": TensorSpec("b", "INT32", (-1,)),
}
SIGNATURE = Signature("serving_default", INPUTS, {"y": TensorSpec("y", "FP32", (-1,))})
A = Tensor("a", "FP32", np.zeros((1, 2), np.float32))
B = Tensor("b", "INT32", np.zeros(1, np.int32))
TWO = Tensor("b", "INT32", np.zeros(2, np.int32))
C = Tensor("c", "INT32", np.zeros(1, np.int32))


def told(*inputs: Tensor) -> str:
    with pytest.raises(InvalidRequest) as caught:
        check_inputs("m", SIGNATURE, inputs)
    ours = str(caught.value)
    assert text_of(caught.value, "tfs_grpc", Target(model="m")) == ours
    text = text_of(caught.value, "oip_grpc", Target(model="m"))
    assert text == text_of(caught.value, "oip_rest", Target(model="m"))
    theirs, _, rest = text.rpartition(f"; {ours}")
    assert rest == ""
    return theirs


def test_inputs_are_named_as_triton_names_them() -> None:
    assert told(A) == (
        "expected 2 inputs but got 1 inputs for model 'm'. Got input(s) ['a'], but missing required"
        " input(s) ['b']. Please provide all required input(s)."
    )
    assert told(A, B, C) == "expected 2 inputs but got 3 inputs for model 'm'"
    assert told(A, C) == "unexpected inference input 'c' for model 'm'"
    assert told(A, A) == "input 'a' already exists in request"


def test_rows_that_differ_are_told_as_triton_tells_them() -> None:
    assert told(A, TWO) == "input 'b' batch size does not match other inputs for 'm'"
