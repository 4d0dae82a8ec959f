"""The backend: a torch server on one thread, asked in batches of sentences through the gateway's own adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gateway.backends.grpc_link import GrpcLink
from gateway.backends.oip import OipBackend
from gateway.messages import Deadline, InferRequest
from gateway.tensors import Tensor
from loadtests.bench.processes import ROOT, free_port, running, wait_for_http
from loadtests.peers.questions import Questions

__all__ = ["Sentences", "torch_server"]

_MODEL = "minilm"
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_TIMEOUT_S = 120.0


@contextmanager
def torch_server(scratch: Path) -> Iterator[str]:
    """A server of the model, until the block ends; gives the address of its gRPC."""
    rest, grpc = free_port(), free_port()
    serve: list[str | Path] = [
        ROOT / ".venv-torch/bin/python", "-m", "serving.torch_server",
        "--model-store", ROOT / "model_store", "--models", _MODEL, "--threads", "1",
        "--rest", f"127.0.0.1:{rest}", "--grpc", f"127.0.0.1:{grpc}",
    ]  # fmt: skip
    with running("torch", serve, core=None, logs=scratch) as server:
        wait_for_http(f"http://127.0.0.1:{rest}/v2/health/ready", server)
        yield f"127.0.0.1:{grpc}"


class Sentences:
    """Request number `n` is sentence `n`, counted around; `wrong` counts answers that are not its own."""

    def __init__(self, address: str, questions: Questions) -> None:
        """Inside a running event loop; sentences have one length."""
        self._backend = OipBackend(GrpcLink("torch", address, max_message_bytes=_MAX_MESSAGE_BYTES))
        self._columns = {
            name: np.array([row[name] for row in questions.rows], np.int64)
            for name in questions.rows[0]
        }
        self._questions = questions
        self.wrong = 0

    async def send(self, numbers: Sequence[int]) -> None:
        """One batch, and its answer."""
        rows = np.array(numbers) % len(self._questions.rows)
        inputs = [Tensor(name, "INT64", column[rows]) for name, column in self._columns.items()]
        deadline = Deadline.after(asyncio.get_running_loop().time(), _TIMEOUT_S)
        batch = InferRequest(model=_MODEL, inputs=tuple(inputs))
        answer = await self._backend.infer(batch, deadline)
        got = np.asarray(answer.outputs[0].array, np.float64)
        right = self._questions.expected[rows].astype(np.float64)
        near = self._questions.tolerance
        is_right = np.abs(got - right) <= near.atol + near.rtol * np.abs(right)
        self.wrong += int((~is_right.all(axis=1)).sum())

    async def full_batches_per_s(self, rows: int, seconds: float) -> float:
        """Rows a second of full batches, one after the other: what no policy can exceed."""
        clock = asyncio.get_running_loop().time
        await self.send(range(rows))
        start, sent = clock(), 0
        while clock() - start < seconds:
            await self.send(range(rows))
            sent += rows
        return sent / (clock() - start)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._backend.aclose()
