"""Does a row that is no number stay alone with it? The real models, compiled, on the real server.

What the TensorFlow runtime answers instead is in tests/serving/tf_serving/test_not_finite.py, and why it
differs is in model_store/README.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.tensors import Array
from tests.serving.not_finite import BAD, INPUTS, built_store, check_batch_mates
from tests.serving.torch_server.running import RunningServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(torch_python: Path, root: Path) -> Iterator[RunningServer]:
    arguments = ["--model-store", str(built_store(root)), "--models", ",".join(INPUTS)]
    running = RunningServer(torch_python, root, arguments)
    try:
        for model in INPUTS:
            running.wait_for("version_ready", model=model)
        yield running
    finally:
        running.close()


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("model", INPUTS)
def test_a_bad_row_changes_no_other_row_and_is_not_a_number_itself(
    server: RunningServer, root: Path, model: str, bad: float
) -> None:
    def ask(model: str, rows: Array) -> Array:
        return server.ask(model, {INPUTS[model]: rows})

    answers = check_batch_mates(ask, built_store(root), model, bad)
    assert not np.isfinite(answers).all(axis=1).any()
    assert server.metric("worker_restarts_total") == 0
