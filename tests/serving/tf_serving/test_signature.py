"""Does a request fit a signature? In TensorFlow Serving's order and words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.errors import InvalidRequest, Unsupported
from gateway.tensors import DTYPES, Datatype, Tensor
from serving.tf_serving.signature import Binding, ServedSignature, plan_call

TWO = ServedSignature(
    name="two",
    method="tensorflow/serving/predict",
    inputs={"a": Binding("two_a:0", wire.DT_FLOAT), "b": Binding("two_b:0", wire.DT_INT64)},
    outputs={"diff": Binding("d:0", wire.DT_FLOAT), "sum": Binding("s:0", wire.DT_FLOAT)},
)


def tensor(name: str, datatype: Datatype = "FP32") -> Tensor:
    return Tensor(name, datatype, np.zeros(2, DTYPES[datatype]))


FITTING = (tensor("b", "INT64"), tensor("a"))


def problem(*inputs: Tensor, outputs: tuple[str, ...] = ()) -> str:
    with pytest.raises(InvalidRequest) as caught:
        plan_call(TWO, inputs, outputs)
    return str(caught.value)


def test_arrays_are_fed_in_the_order_of_the_aliases() -> None:
    call = plan_call(TWO, FITTING, ())
    assert [feed.dtype for feed in call.feeds] == [DTYPES["FP32"], DTYPES["INT64"]]
    assert call.outputs == ("diff", "sum")


@given(st.permutations(["diff", "sum"]).flatmap(lambda names: st.just(tuple(names))))
def test_the_filter_chooses_outputs_and_not_their_order(output_filter: tuple[str, ...]) -> None:
    assert plan_call(TWO, FITTING, output_filter).outputs == ("diff", "sum")
    assert plan_call(TWO, FITTING, output_filter[:1]).outputs == output_filter[:1]


def test_too_few_and_too_many_inputs_are_counted() -> None:
    assert problem(tensor("a")) == (
        "input size does not match signature: 1!=2 len({a}) != len({a,b})."
        " Sent extra: {}. Missing but required: {b}."
    )
    assert problem(*FITTING, tensor("d"), tensor("c")) == (
        "input size does not match signature: 4!=2 len({a,b,c,d}) != len({a,b})."
        " Sent extra: {c,d}. Missing but required: {}."
    )


def test_a_wrong_name_is_told_with_the_name_in_the_graph() -> None:
    assert problem(tensor("A"), tensor("b", "INT64")) == (
        "Signature input alias: a(feed name: two_a:0) not found in request and no default value"
        " provided. Inputs expected to be in the request {A,b}, or default input alias set: "
    )


def test_a_wrong_datatype_is_told_by_position() -> None:
    assert problem(tensor("a"), tensor("b")) == "Expects arg[1] to be int64 but float is provided"


def test_a_wrong_output_is_told_before_a_wrong_datatype() -> None:
    assert problem(tensor("a"), tensor("b"), outputs=("sum:0",)) == (
        "output tensor alias not found in signature: sum:0 Outputs expected to be in the set {diff,sum}."
    )
    assert problem(*FITTING, outputs=("sum", "sum")) == "duplicate output tensor alias: sum"


def test_an_input_with_a_default_may_be_left_out() -> None:
    default = np.full(3, 7, np.int64)
    signature = ServedSignature(
        name="two",
        method="tensorflow/serving/predict",
        inputs=TWO.inputs,
        outputs=TWO.outputs,
        defaults={"b": default},
    )
    assert plan_call(signature, (tensor("a"),), ()).feeds[1] is default
    with pytest.raises(InvalidRequest, match=r"or default input alias set: b$"):
        plan_call(signature, (tensor("b", "INT64"),), ())


def test_shapes_are_the_graphs_business() -> None:
    """The real server runs a rank-3 tensor through a rank-1 signature if the graph can."""
    cube = Tensor("a", "FP32", np.zeros((2, 3, 4), np.float32))
    assert plan_call(TWO, (cube, tensor("b", "INT64")), ()).feeds[0].shape == (2, 3, 4)


def test_what_cannot_be_carried_is_refused_by_name() -> None:
    signature = ServedSignature(
        name="complex",
        method="tensorflow/serving/predict",
        inputs={"x": Binding("x:0", wire.DT_COMPLEX64)},
        outputs={"y": Binding("y:0", wire.DT_COMPLEX64)},
    )
    with pytest.raises(Unsupported, match="output y: DT_COMPLEX64 cannot be answered here"):
        plan_call(signature, (tensor("x"),), ())


def test_an_operation_that_only_initialises_cannot_be_called() -> None:
    signature = ServedSignature(name="init", method="", inputs={}, outputs={})
    with pytest.raises(InvalidRequest, match=r"method_name to be one of .* Was: $"):
        plan_call(signature, (), ())


@given(
    st.lists(
        st.builds(tensor, st.sampled_from(["a", "b", "c", ""]), st.sampled_from(list(DTYPES))),
        max_size=4,
        unique_by=lambda given: given.name,
    ),
    st.lists(st.sampled_from(["diff", "sum", "x"]), max_size=3),
)
def test_a_plan_fits_the_signature_or_the_caller_is_told(
    inputs: list[Tensor], output_filter: list[str]
) -> None:
    try:
        call = plan_call(TWO, inputs, output_filter)
    except InvalidRequest:
        return
    assert {(given.name, given.datatype) for given in inputs} == {("a", "FP32"), ("b", "INT64")}
    assert len(call.feeds) == 2
    assert set(call.outputs) == (set(output_filter) or {"diff", "sum"})
