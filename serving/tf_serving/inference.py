"""What do Classify, Regress and MultiInference answer?

Bytes in, bytes out: find the version, check the signature, run the examples, write what came out.
`examples` knows the rules of each; a MultiInference is several of them over the same examples in one run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs.protobuf import parse, serialize
from gateway.errors import InvalidRequest, Unsupported
from gateway.messages import DEFAULT_SIGNATURE, Target
from gateway.tensors import Array
from serving.tf_serving.examples import (
    Plan,
    classify,
    plan_classify,
    plan_regress,
    read_examples,
    regress,
)
from serving.tf_serving.served import Servable, ServedModels
from serving.tf_serving.signature import ServedSignature, check_datatype

__all__ = ["answer_classify", "answer_multi", "answer_regress"]

_PLANS: Mapping[str, Callable[[ServedSignature], Plan]] = {
    "tensorflow/serving/classify": plan_classify,
    "tensorflow/serving/regress": plan_regress,
}
_Asking: TypeAlias = wire.ClassificationRequest | wire.RegressionRequest


@dataclass(frozen=True, slots=True)
class _Ran:
    """How many examples there were, and the fetched tensors by the graph's names for them."""

    count: int
    values: Mapping[str, Array]


def answer_classify(served: ServedModels, data: bytes) -> bytes:
    """The serialised answer to a ClassificationRequest.

    Raises:
        CallerError: no such model, version or signature, or it cannot classify these examples.
        ModelFailed: the graph failed on them.
    """
    message = parse(wire.ClassificationRequest, data)
    with served.using(_target(message)) as servable:
        plan = plan_classify(_signature(servable, message.model_spec))
        ran = _run(servable, [plan], message.input)
        result = classify(plan, ran.count, ran.values)
        spec = _spec_of(servable, message.model_spec)
    return serialize(wire.ClassificationResponse(result=result, model_spec=spec))


def answer_regress(served: ServedModels, data: bytes) -> bytes:
    """The serialised answer to a RegressionRequest.

    Raises:
        CallerError: no such model, version or signature, or it cannot regress these examples.
        ModelFailed: the graph failed on them.
    """
    message = parse(wire.RegressionRequest, data)
    with served.using(_target(message)) as servable:
        plan = plan_regress(_signature(servable, message.model_spec))
        ran = _run(servable, [plan], message.input)
        result = regress(plan, ran.count, ran.values)
        spec = _spec_of(servable, message.model_spec)
    return serialize(wire.RegressionResponse(result=result, model_spec=spec))


def answer_multi(served: ServedModels, data: bytes) -> bytes:
    """The serialised answer to a MultiInferenceRequest, one result a task, in their order.

    Raises:
        CallerError: no such model, version or signature, or a task that cannot be done.
        ModelFailed: the graph failed on these examples.
    """
    message = parse(wire.MultiInferenceRequest, data)
    first = message.tasks[0].model_spec if message.tasks else wire.ModelSpec()
    with served.using(_target_of(first)) as servable:
        plans = _plan_tasks(servable, message.tasks)
        ran = _run(servable, plans, message.input)
        response = wire.MultiInferenceResponse()
        for task, plan in zip(message.tasks, plans, strict=True):
            result = response.results.add(model_spec=_spec_of(servable, task.model_spec))
            if _PLANS[task.method_name] is plan_classify:
                result.classification_result.CopyFrom(classify(plan, ran.count, ran.values))
            else:
                result.regression_result.CopyFrom(regress(plan, ran.count, ran.values))
    return serialize(response)


def _plan_tasks(servable: Servable, tasks: Sequence[wire.InferenceTask]) -> list[Plan]:
    plans: list[Plan] = []
    seen: set[str] = set()
    for task in tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        _check_model(task.model_spec.name, tasks[0].model_spec.name)
        if name in seen:
            raise InvalidRequest(f"Duplicate evaluation of signature: {name}")
        seen.add(name)
        if name not in servable.signatures:
            raise InvalidRequest(f"Requested signature not found in model graph: {name}")
        plan = _PLANS.get(task.method_name)
        if plan is None:
            raise Unsupported(f"Unsupported signature method_name: {task.method_name}")
        plans.append(plan(servable.signatures[name]))
    return plans


def _check_model(name: str, first: str) -> None:
    if not name:
        raise InvalidRequest("Found ModelSpec with an empty model name.")
    if name != first:
        raise InvalidRequest(
            "All ModelSpecs in a MultiInferenceRequest must access the same model name."
        )


def _run(servable: Servable, plans: Sequence[Plan], sent: wire.Input) -> _Ran:
    """Feed the examples to every plan's input and fetch what any of them wants, in one run."""
    examples = read_examples(sent)
    bindings = {plan.feed: plan.binding for plan in plans}
    feeds = tuple(sorted(bindings))
    for index, feed in enumerate(feeds):
        check_datatype(index, bindings[feed], "BYTES")
    fetches = tuple(sorted({name for plan in plans for name in plan.fetches}))
    values = servable.evaluate(feeds, fetches, [examples] * len(feeds))
    return _Ran(len(examples), dict(zip(fetches, values, strict=True)))


def _signature(servable: Servable, spec: wire.ModelSpec) -> ServedSignature:
    name = spec.signature_name or DEFAULT_SIGNATURE
    signature = servable.signatures.get(name)
    if signature is None:
        # Not UnknownSignature, which is Predict's FAILED_PRECONDITION.
        raise InvalidRequest(f"No signature was found with the name: {name}")
    return signature


def _target(message: _Asking) -> Target:
    if not message.HasField("model_spec"):
        raise InvalidRequest("Missing ModelSpec")
    return _target_of(message.model_spec)


def _target_of(spec: wire.ModelSpec) -> Target:
    if not spec.name:
        raise InvalidRequest("ModelSpec has no name specified.")
    choice = spec.WhichOneof("version_choice")
    return Target(
        model=spec.name,
        version=str(spec.version.value) if choice == "version" else None,
        label=spec.version_label if choice == "version_label" else None,
    )


def _spec_of(servable: Servable, asked: wire.ModelSpec) -> wire.ModelSpec:
    """The version and signature that answered, under the name that was asked for."""
    spec = wire.ModelSpec(name=asked.name, signature_name=asked.signature_name or DEFAULT_SIGNATURE)
    spec.version.value = servable.version
    return spec
