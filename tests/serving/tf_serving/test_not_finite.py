"""Does a row that is no number stay alone with it? The real models in the stand-in.

Its answer is a number where torch answers NaN: see model_store/README.md. The recorded server does the
same (418 and 422 in tests/golden/tf_serving/rest.jsonl).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from gateway.codecs import tfs_proto
from gateway.messages import InferRequest
from gateway.tensors import Array, Tensor
from serving.tf_serving.config import ModelConfig
from tests.serving.not_finite import BAD, INPUTS, Ask, built_store, check_batch_mates
from tests.serving.processes import TIMEOUT_S
from tests.serving.tf_serving.conftest import StartStandIn

pytestmark = pytest.mark.slow

PREDICT = "/tensorflow.serving.PredictionService/Predict"


@pytest.fixture(scope="module")
def ask(start_stand_in: StartStandIn, root: Path) -> Iterator[Ask]:
    store = built_store(root)
    stand_in = start_stand_in(
        [ModelConfig(name=model, base_path=str(store / model)) for model in INPUTS]
    )
    with stand_in.channel() as channel:
        predict: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PREDICT)

        def ask_one(model: str, rows: Array) -> Array:
            tensor = Tensor(INPUTS[model], "FP32", rows)
            request = tfs_proto.encode_request(InferRequest(model=model, inputs=(tensor,)))
            answer = tfs_proto.decode_response(predict(request, timeout=TIMEOUT_S))
            return answer.outputs[0].array

        yield ask_one
        assert stand_in.noise == []


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("model", INPUTS)
def test_a_bad_row_changes_no_other_row(ask: Ask, root: Path, model: str, bad: float) -> None:
    check_batch_mates(ask, built_store(root), model, bad)


@pytest.mark.parametrize("model", INPUTS)
def test_a_nan_is_lost_in_a_fused_relu(ask: Ask, root: Path, model: str) -> None:
    """A fact about the runtime, not a wish: when it changes, the manual must."""
    answers = check_batch_mates(ask, built_store(root), model, np.nan)
    assert np.isfinite(answers).all()
