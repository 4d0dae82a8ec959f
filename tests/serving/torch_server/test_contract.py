from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BackendInvalid, InvalidRequest
from gateway.tensors import Array, Tensor
from serving.torch_server.contract import Contract
from tests.serving.torch_server.stores import MLP, PAIR, entry, rows, signature

MLP_CONTRACT = Contract.of("mlp", MLP)
PAIR_CONTRACT = Contract.of("pair", PAIR)


def x(*shape: int) -> Tensor:
    return Tensor("x", "FP32", np.zeros(shape, np.float32))


def pair(ids: tuple[int, ...], weights: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """In the other order than the package takes them."""
    return (
        Tensor("weights", "FP32", np.zeros(weights, np.float32)),
        Tensor("ids", "INT64", np.zeros(ids, np.int64)),
    )


@given(st.integers(-2, 70).filter(lambda count: count >= 0))
def test_rows_are_taken_exactly_within_the_bounds(count: int) -> None:
    if 1 <= count <= 64:
        (array,) = MLP_CONTRACT.order_inputs((x(count, 4),))
        assert array.shape == (count, 4)
    else:
        with pytest.raises(InvalidRequest, match=f"got {count} rows in 'x', .* wants 1 to 64"):
            MLP_CONTRACT.order_inputs((x(count, 4),))


@pytest.mark.parametrize(
    ("inputs", "path", "words"),
    [
        ((Tensor("y", "FP32", np.zeros((1, 4), np.float32)),), "inputs", "missing ['x']"),
        ((), "inputs", "missing ['x']"),
        ((x(1, 4), x(1, 4)), "inputs", "given twice: got ['x', 'x']"),
        ((Tensor("x", "FP64", np.zeros((1, 4))),), "inputs[0].datatype", "got FP64"),
        ((x(1, 5),), "inputs[0].shape", "got [1, 5], model mlp wants [rows, 4]"),
        ((x(4),), "inputs[0].shape", "got [4]"),
        ((x(1, 1, 4),), "inputs[0].shape", "got [1, 1, 4]"),
    ],
)
def test_a_wrong_input_is_named_with_what_was_got_and_wanted(
    inputs: tuple[Tensor, ...], path: str, words: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        MLP_CONTRACT.order_inputs(inputs)
    assert caught.value.path == path
    assert words in caught.value.message


def test_inputs_come_in_the_package_s_order() -> None:
    ids, weights = PAIR_CONTRACT.order_inputs(pair((2, 3), (2, 3)))
    assert (ids.dtype.name, weights.dtype.name) == ("int64", "float32")


@pytest.mark.parametrize(
    ("ids", "weights", "words"),
    [
        ((2, 3), (2, 4), "length"),
        ((2, 3), (3, 3), "rows"),
        ((2, 33), (2, 33), "1 to 32"),
        ((2, 0), (2, 0), "1 to 32"),
    ],
)
def test_dimensions_of_one_name_are_equal_and_bounded_in_all_inputs(
    ids: tuple[int, ...], weights: tuple[int, ...], words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        PAIR_CONTRACT.order_inputs(pair(ids, weights))


def test_memory_that_is_not_contiguous_is_copied_before_native_code_sees_it() -> None:
    scattered = np.arange(32, dtype=np.float32).reshape(4, 8).T
    (array,) = MLP_CONTRACT.order_inputs((Tensor("x", "FP32", scattered),))
    assert array.flags.c_contiguous
    assert np.array_equal(array, scattered)


def test_a_scalar_input_stays_a_scalar() -> None:
    scale = Contract.of(
        "s", signature([entry("scale", "FP32", ())], [entry("out", "FP32", (-1,), rows())])
    )
    (array,) = scale.order_inputs((Tensor("scale", "FP32", np.array(2, np.float32)),))
    assert array.shape == ()


def test_outputs_are_chosen_by_name_in_the_order_asked_for() -> None:
    assert PAIR_CONTRACT.choose_outputs(()) == (0, 1)
    assert PAIR_CONTRACT.choose_outputs(("doubled", "total")) == (1, 0)
    with pytest.raises(InvalidRequest, match="'nope'"):
        PAIR_CONTRACT.choose_outputs(("total", "nope"))
    with pytest.raises(InvalidRequest, match="twice"):
        PAIR_CONTRACT.choose_outputs(("total", "total"))


def test_outputs_get_the_manifest_s_names() -> None:
    inputs = PAIR_CONTRACT.order_inputs(pair((2, 3), (2, 3)))
    outputs = PAIR_CONTRACT.name_outputs(
        (np.zeros(2, np.float32), np.zeros((2, 3), np.int64)), inputs
    )
    assert [(tensor.name, tensor.datatype) for tensor in outputs] == [
        ("total", "FP32"),
        ("doubled", "INT64"),
    ]


@pytest.mark.parametrize(
    "outputs",
    [
        (),
        (np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)),
        (np.zeros((2, 3), np.float64),),
        (np.zeros((2, 4), np.float32),),
        (np.zeros((3, 3), np.float32),),
        (np.zeros(3, np.float32),),
    ],
)
def test_outputs_that_are_not_as_declared_are_the_package_s_fault(
    outputs: tuple[Array, ...],
) -> None:
    inputs = MLP_CONTRACT.order_inputs((x(2, 4),))
    with pytest.raises(BackendInvalid, match="manifest"):
        MLP_CONTRACT.name_outputs(outputs, inputs)


def test_warm_up_takes_the_least_sizes_and_then_larger_ones_within_the_bounds() -> None:
    least, more = PAIR_CONTRACT.warm_inputs()
    assert [array.shape for array in least] == [(1, 1), (1, 1)]
    assert [array.shape for array in more] == [(16, 16), (16, 16)]
    narrow = Contract.of(
        "n",
        signature(
            [entry("x", "FP32", (-1, 4), rows(most=3))], [entry("y", "FP32", (-1,), rows(most=3))]
        ),
    )
    assert [inputs[0].shape for inputs in narrow.warm_inputs()] == [(1, 4), (3, 4)]
