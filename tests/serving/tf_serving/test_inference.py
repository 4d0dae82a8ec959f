"""Which version, signature and tensors does a call with examples run, and how often?"""

from __future__ import annotations

import numpy as np
import pytest

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.errors import InvalidRequest
from serving.tf_serving.config import ModelConfig
from serving.tf_serving.inference import answer_classify, answer_multi, answer_regress
from serving.tf_serving.served import ServedModels
from serving.tf_serving.signature import Binding, ServedSignature
from tests.serving.tf_serving.fakes import FakeServable

CLASSIFY, REGRESS = (f"tensorflow/serving/{method}" for method in ("classify", "regress"))


@pytest.fixture
def servable() -> FakeServable:
    made = FakeServable("m", 3)
    examples = {"inputs": Binding("examples:0", wire.DT_STRING)}
    made.signatures = {
        "serving_default": ServedSignature(
            name="serving_default",
            method=CLASSIFY,
            inputs=examples,
            outputs={"scores": Binding("b:0", wire.DT_FLOAT)},
        ),
        "value": ServedSignature(
            name="value",
            method=REGRESS,
            inputs=examples,
            outputs={"outputs": Binding("a:0", wire.DT_FLOAT)},
        ),
    }
    made.graph = {
        "a:0": np.array([7.0, 8.0], np.float32),
        "b:0": np.array([[1.0], [2.0]], np.float32),
    }
    return made


@pytest.fixture
def served(servable: FakeServable) -> ServedModels:
    models = ServedModels([ModelConfig(name="m", base_path="/m", labels={"stable": 3})])
    models.add("m", 3, servable)
    return models


TWO_EXAMPLES = wire.Input(example_list=wire.ExampleList(examples=[wire.Example()] * 2))


def spec(signature: str = "") -> wire.ModelSpec:
    return wire.ModelSpec(name="m", signature_name=signature)


def test_a_classification_names_the_version_and_the_signature_that_answered(
    served: ServedModels,
) -> None:
    asked = wire.ModelSpec(name="m", version_label="stable")
    request = wire.ClassificationRequest(model_spec=asked, input=TWO_EXAMPLES)
    data = answer_classify(served, request.SerializeToString())
    answer = wire.ClassificationResponse.FromString(data)
    assert (answer.model_spec.version.value, answer.model_spec.signature_name) == (
        3,
        "serving_default",
    )
    assert not answer.model_spec.version_label
    scores = [row.classes[0].score for row in answer.result.classifications]
    assert scores == [1.0, 2.0]


def test_a_regression_runs_the_signature_that_it_names(
    served: ServedModels, servable: FakeServable
) -> None:
    request = wire.RegressionRequest(model_spec=spec("value"), input=TWO_EXAMPLES)
    data = answer_regress(served, request.SerializeToString())
    answer = wire.RegressionResponse.FromString(data)
    assert [row.value for row in answer.result.regressions] == [7.0, 8.0]
    ((feeds, values),) = servable.fed
    assert feeds == ("examples:0",)
    assert values[0].tolist() == [b"", b""]


def test_several_tasks_share_one_run(served: ServedModels, servable: FakeServable) -> None:
    tasks = [
        wire.InferenceTask(model_spec=spec("value"), method_name=REGRESS),
        wire.InferenceTask(model_spec=spec(), method_name=CLASSIFY),
    ]
    request = wire.MultiInferenceRequest(tasks=tasks, input=TWO_EXAMPLES)
    answer = wire.MultiInferenceResponse.FromString(
        answer_multi(served, request.SerializeToString())
    )
    first, second = answer.results
    assert [row.value for row in first.regression_result.regressions] == [7.0, 8.0]
    assert len(second.classification_result.classifications) == 2
    assert [each.model_spec.signature_name for each in answer.results] == [
        "value",
        "serving_default",
    ]
    assert len(servable.fed) == 1


def test_a_later_task_needs_a_model_too(served: ServedModels) -> None:
    tasks = [
        wire.InferenceTask(model_spec=spec(), method_name=CLASSIFY),
        wire.InferenceTask(method_name=CLASSIFY),
    ]
    request = wire.MultiInferenceRequest(tasks=tasks, input=TWO_EXAMPLES)
    with pytest.raises(InvalidRequest, match=r"^Found ModelSpec with an empty model name\.$"):
        answer_multi(served, request.SerializeToString())
