"""What do Classify and Regress ask of a signature, and what do they make of its outputs?

Pure. Both send their examples, serialised, to the one input of a signature, `inputs`. Classify reads the outputs
`classes` and `scores`, of which one may be missing, and Regress reads `outputs`. The checks are TensorFlow
Serving's, in its order and its words; the method that the signature names is not compared with the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs.tfs_tensor import dtype_name
from gateway.errors import InvalidRequest
from gateway.tensors import Array
from serving.tf_serving.signature import Binding, ServedSignature

__all__ = ["Plan", "classify", "plan_classify", "plan_regress", "read_examples", "regress"]

_INPUT = "inputs"
_CLASSES = "classes"
_SCORES = "scores"
_REGRESSIONS = "outputs"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: the graph's tensor that takes the examples, and those to fetch."""

    signature: ServedSignature
    feed: str
    fetches: tuple[str, ...]

    @property
    def binding(self) -> Binding:
        """The input that takes the examples."""
        return self.signature.inputs[_INPUT]


def read_examples(sent: wire.Input) -> Array:
    """The serialised examples, BYTES [examples]; a context's features come first, so an example's win.

    Raises:
        InvalidRequest: there is none.
    """
    kind = sent.WhichOneof("kind")
    context = b""
    if kind == "example_list_with_context":
        listed = sent.example_list_with_context.examples
        # Two messages in a row are one message in which the later fields win.
        context = sent.example_list_with_context.context.SerializeToString()
    else:
        listed = sent.example_list.examples
    if not listed:
        raise InvalidRequest("Input is empty.")
    examples: Array = np.empty(len(listed), object)
    examples[:] = [context + example.SerializeToString() for example in listed]
    return examples


def plan_classify(signature: ServedSignature) -> Plan:
    """Check that a signature can classify examples.

    Raises:
        InvalidRequest: it cannot; with what it has.
    """
    _check_one_input(signature)
    if len(signature.outputs) not in (1, 2):
        raise InvalidRequest(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    feed = _feed(signature, "classification")
    fetches = tuple(
        signature.outputs[alias].tensor
        for alias in (_CLASSES, _SCORES)
        if alias in signature.outputs
    )
    if not fetches:
        raise InvalidRequest(
            "Expected classification signature outputs to contain at least one of"
            f' "{_CLASSES}" or "{_SCORES}". Signature was: {signature.text}'
        )
    return Plan(signature, feed, fetches)


def plan_regress(signature: ServedSignature) -> Plan:
    """Check that a signature can regress examples.

    Raises:
        InvalidRequest: it cannot; with what it has.
    """
    _check_one_input(signature)
    if len(signature.outputs) != 1:
        raise InvalidRequest("Expected one output Tensor.")
    feed = _feed(signature, "regression")
    if _REGRESSIONS not in signature.outputs:
        raise InvalidRequest(f"No regression outputs found in SignatureDef: {signature.text}")
    return Plan(signature, feed, (signature.outputs[_REGRESSIONS].tensor,))


def classify(plan: Plan, count: int, values: Mapping[str, Array]) -> wire.ClassificationResult:
    """The classes of each of `count` examples.

    Args:
        plan: What was run.
        count: How many examples there were.
        values: The fetched tensors by the graph's names for them.

    Raises:
        InvalidRequest: the outputs are not BYTES and FP32 [examples, classes].
    """
    labels = _matrix(plan.signature, _CLASSES, count, values)
    scores = _matrix(plan.signature, _SCORES, count, values)
    if labels is not None and scores is not None and labels.shape[1] != scores.shape[1]:
        raise InvalidRequest(
            "Tensors class and score should match in dim_size(1)."
            f" Got {labels.shape[1]} vs. {scores.shape[1]}"
        )
    result = wire.ClassificationResult()
    for row in range(count):
        classes = result.classifications.add().classes
        found = labels if labels is not None else scores
        assert found is not None  # plan_classify saw at least one
        for column in range(found.shape[1]):
            each = classes.add()
            if labels is not None:
                each.label = labels[row, column].decode("utf-8", "replace")
            if scores is not None:
                each.score = scores[row, column]
    return result


def regress(plan: Plan, count: int, values: Mapping[str, Array]) -> wire.RegressionResult:
    """The value of each of `count` examples.

    Args:
        plan: What was run.
        count: How many examples there were.
        values: The fetched tensors by the graph's names for them.

    Raises:
        InvalidRequest: the output is not FP32 [examples] or [examples, 1].
    """
    binding = plan.signature.outputs[_REGRESSIONS]
    value = values[binding.tensor]
    if not (value.ndim == 1 or (value.ndim == 2 and value.shape[1] == 1)):  # noqa: PLR2004
        raise InvalidRequest(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got"
            f" {_shape(value)}"
        )
    if value.shape[0] != count:
        raise InvalidRequest(
            f"Input batch size did not match output batch size: {count} vs. {value.shape[0]}"
        )
    if binding.dtype != wire.DT_FLOAT:
        raise InvalidRequest(
            f"Expected output Tensor of DT_FLOAT.  Got: {dtype_name(binding.dtype)}"
        )
    result = wire.RegressionResult()
    for number in value.reshape(-1).tolist():
        result.regressions.add(value=number)
    return result


def _check_one_input(signature: ServedSignature) -> None:
    if len(signature.inputs) != 1:
        raise InvalidRequest("Expected one input Tensor.")


def _feed(signature: ServedSignature, what: str) -> str:
    if _INPUT not in signature.inputs:
        raise InvalidRequest(f"No {what} inputs found in SignatureDef: {signature.text}")
    return signature.inputs[_INPUT].tensor


_KINDS: Mapping[str, tuple[str, wire.DataType]] = {
    _CLASSES: ("DT_STRING", wire.DT_STRING),
    _SCORES: ("DT_FLOAT", wire.DT_FLOAT),
}


def _matrix(
    signature: ServedSignature, alias: str, count: int, values: Mapping[str, Array]
) -> Array | None:
    """One output of a classifier, None if the signature has none of that name."""
    binding = signature.outputs.get(alias)
    if binding is None:
        return None
    value = values[binding.tensor]
    if value.ndim != 2:  # noqa: PLR2004 - a matrix
        raise InvalidRequest(
            f"Expected Tensor shape: [batch_size num_classes] but got {_shape(value)}"
        )
    name, wanted = _KINDS[alias]
    if binding.dtype != wanted:
        raise InvalidRequest(f"Expected {alias} Tensor of {name}. Got: {dtype_name(binding.dtype)}")
    if value.shape[0] != count:
        raise InvalidRequest(
            f"Expected {alias} output batch size of {count}. Got: {value.shape[0]}"
        )
    return value


def _shape(value: Array) -> str:
    return f"[{','.join(map(str, value.shape))}]"
