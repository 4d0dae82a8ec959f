"""What do Classify and Regress ask of a signature, and make of its outputs? In TensorFlow Serving's words.

What was recorded from the real server is in test_standin_golden; here is what was not.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.errors import InvalidRequest
from gateway.tensors import Array
from serving.tf_serving.examples import (
    Plan,
    classify,
    plan_classify,
    plan_regress,
    read_examples,
    regress,
)
from serving.tf_serving.signature import Binding, ServedSignature

EXAMPLES = Binding("examples:0", wire.DT_STRING)
CLASSES = Binding("classes:0", wire.DT_STRING)
SCORES = Binding("scores:0", wire.DT_FLOAT)


def signature(outputs: Mapping[str, Binding], **inputs: Binding) -> ServedSignature:
    return ServedSignature(
        name="s", method="", inputs=inputs or {"inputs": EXAMPLES}, outputs=outputs, text="<text>"
    )


BOTH = plan_classify(signature({"classes": CLASSES, "scores": SCORES}))
ONE = plan_regress(signature({"outputs": SCORES}))


def example(**features: float) -> wire.Example:
    made = wire.Example()
    for name, value in features.items():
        made.features.feature[name].float_list.value.append(value)
    return made


def read(message: wire.Input) -> list[dict[str, list[float]]]:
    """The features that a parser finds in each of the serialised examples."""
    parsed = [wire.Example.FromString(data) for data in read_examples(message)]
    return [
        {name: list(found.float_list.value) for name, found in one.features.feature.items()}
        for one in parsed
    ]


names = st.sampled_from("abc")
features = st.dictionaries(names, st.floats(width=32, allow_nan=False), max_size=3)


@given(features, st.lists(features, min_size=1, max_size=3))
def test_an_example_wins_over_the_context(
    context: dict[str, float], listed: list[dict[str, float]]
) -> None:
    message = wire.Input()
    message.example_list_with_context.context.CopyFrom(example(**context))
    message.example_list_with_context.examples.extend(example(**one) for one in listed)
    assert read(message) == [
        {name: [value] for name, value in {**context, **one}.items()} for one in listed
    ]


def test_the_examples_keep_their_order() -> None:
    message = wire.Input()
    message.example_list.examples.extend(example(x=float(number)) for number in range(3))
    assert read(message) == [{"x": [0.0]}, {"x": [1.0]}, {"x": [2.0]}]


def problem_of(asking: wire.Input) -> str:
    with pytest.raises(InvalidRequest) as caught:
        read_examples(asking)
    return str(caught.value)


def test_no_examples_are_none_whatever_the_context() -> None:
    message = wire.Input()
    assert problem_of(message) == "Input is empty."
    message.example_list_with_context.context.CopyFrom(example(x=1.0))
    assert problem_of(message) == "Input is empty."


@pytest.mark.parametrize(
    ("served", "classifying", "regressing"),
    [
        (
            signature({"outputs": SCORES}, inputs=EXAMPLES, more=EXAMPLES),
            "Expected one input Tensor.",
            "Expected one input Tensor.",
        ),
        (
            signature({}),
            "Expected one or two output Tensors, found 0",
            "Expected one output Tensor.",
        ),
        (
            signature({"outputs": SCORES}, x=EXAMPLES),
            "No classification inputs found in SignatureDef: <text>",
            "No regression inputs found in SignatureDef: <text>",
        ),
        (
            signature({"y": SCORES}),
            (
                'Expected classification signature outputs to contain at least one of "classes" or'
                ' "scores". Signature was: <text>'
            ),
            "No regression outputs found in SignatureDef: <text>",
        ),
    ],
)
def test_a_signature_that_does_not_fit_is_refused(
    served: ServedSignature, classifying: str, regressing: str
) -> None:
    for plan, words in ((plan_classify, classifying), (plan_regress, regressing)):
        with pytest.raises(InvalidRequest) as caught:
            plan(served)
        assert str(caught.value) == words


def refused(plan: Plan, **values: Array) -> str:
    read_outputs = regress if plan is ONE else classify
    with pytest.raises(InvalidRequest) as caught:
        read_outputs(plan, 2, {f"{name}:0": value for name, value in values.items()})
    return str(caught.value)


def test_classes_and_scores_come_together() -> None:
    labels = np.array([[b"a", b"b"], [b"c", b"\xff"]], object)
    scores = np.array([[1, 2], [3, 4]], np.float32)
    result = classify(BOTH, 2, {"classes:0": labels, "scores:0": scores})
    assert [[(c.label, c.score) for c in row.classes] for row in result.classifications] == [
        [("a", 1.0), ("b", 2.0)],
        [("c", 3.0), ("\ufffd", 4.0)],
    ]


def test_outputs_of_a_classifier_that_do_not_fit_are_refused() -> None:
    labels = np.full((2, 3), b"a", object)
    scores = np.zeros((2, 3), np.float32)
    cases = [
        (
            {"classes": labels[0], "scores": scores},
            "Expected Tensor shape: [batch_size num_classes] but got [3]",
        ),
        (
            {"classes": labels[:1], "scores": scores},
            "Expected classes output batch size of 2. Got: 1",
        ),
        (
            {"classes": labels, "scores": scores[:1]},
            "Expected scores output batch size of 2. Got: 1",
        ),
        (
            {"classes": labels, "scores": scores[:, :2]},
            "Tensors class and score should match in dim_size(1). Got 3 vs. 2",
        ),
    ]
    for values, words in cases:
        assert refused(BOTH, **values) == words
    swapped = plan_classify(signature({"classes": SCORES}))
    assert refused(swapped, scores=scores) == "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"
    swapped = plan_classify(signature({"scores": CLASSES}))
    assert refused(swapped, classes=labels) == "Expected scores Tensor of DT_FLOAT. Got: DT_STRING"


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_a_regression_is_a_vector_or_a_column(shape: tuple[int, ...]) -> None:
    values = np.array([0.5, np.inf], np.float32).reshape(shape)
    result = regress(ONE, 2, {"scores:0": values})
    assert [row.value for row in result.regressions] == [0.5, np.inf]


def test_outputs_of_a_regressor_that_do_not_fit_are_refused() -> None:
    values = np.zeros(3, np.float32)
    assert refused(ONE, scores=values) == (
        "Input batch size did not match output batch size: 2 vs. 3"
    )
    assert refused(ONE, scores=np.zeros((), np.float32)) == (
        "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got []"
    )
    typed = plan_regress(signature({"outputs": CLASSES}))
    with pytest.raises(
        InvalidRequest, match=r"^Expected output Tensor of DT_FLOAT\.  Got: DT_STRING$"
    ):
        regress(typed, 2, {"classes:0": np.full(2, b"a", object)})
