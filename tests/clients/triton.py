"""A gateway in front of models that give back what they are given, for tritonclient's four clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np

from gateway.messages import InferRequest, InferResponse, ModelDescription
from gateway.tensors import DTYPES, Array, Signature, Tensor, TensorSpec
from tests.fakes.arithmetic import SIGNATURES, Arithmetic
from tests.fakes.gateways import Stack, running

__all__ = ["VALUES", "Echo", "beside", "echoing", "same", "stacked", "within"]

VALUES: Mapping[str, Array] = {
    "BOOL": np.array([[True, False]]),
    "UINT8": np.array([[0, 255]], np.uint8),
    "UINT16": np.array([[0, 65535]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1]], np.uint32),
    "UINT64": np.array([[0, 2**64 - 1]], np.uint64),
    "INT8": np.array([[-128, 127]], np.int8),
    "INT16": np.array([[-(2**15), 2**15 - 1]], np.int16),
    "INT32": np.array([[-(2**31), 2**31 - 1]], np.int32),
    "INT64": np.array([[-(2**63), 2**63 - 1]], np.int64),
    "FP16": np.array([[-0.0, np.inf]], np.float16),
    "BF16": np.array([[1.5, -3.0]], ml_dtypes.bfloat16),
    "FP32": np.array([[-0.0, np.nan]], np.float32),
    "FP64": np.array([[5e-324, -np.inf]], np.float64),
    "BYTES": np.array([[b"", b"a\x00\xff"]], np.object_),
}
"""Two values of each datatype that are easily lost."""


@dataclass
class Echo(Arithmetic):
    """`echo_fp32` and so on give their input `x` `[rows, n]` back as `y`; the other models as ever."""

    models: frozenset[str] = frozenset(SIGNATURES) | {f"echo_{name.lower()}" for name in VALUES}

    def compute(self, request: InferRequest) -> InferResponse:
        if not request.model.startswith("echo_"):
            return super().compute(request)
        (given,) = request.inputs
        output = Tensor("y", given.datatype, given.array)
        return InferResponse(model=request.model, version=self.version, outputs=(output,))

    def describe(self, model: str) -> ModelDescription:
        if not model.startswith("echo_"):
            return super().describe(model)
        datatype = next(name for name in DTYPES if model == f"echo_{name.lower()}")
        return ModelDescription(
            model=model,
            version=self.version,
            platform="echo",
            signatures={
                "serving_default": Signature(
                    "serving_default",
                    {"x": TensorSpec("x", datatype, (-1, -1))},
                    {"y": TensorSpec("y", datatype, (-1, -1))},
                )
            },
        )


def echoing() -> str:
    """The configuration of the models, all at one backend."""
    names = [*SIGNATURES, *(f"echo_{name.lower()}" for name in VALUES)]
    return "".join(f'[models.{name}.arms.torch]\nbackend = "torch"\n' for name in names)


@asynccontextmanager
async def stacked(path: Path) -> AsyncIterator[Stack]:
    """A gateway in front of two backends, of which all models are at the one called torch."""
    backends = {"tf": Arithmetic(), "torch": Echo()}
    async with running(path / "tandem.toml", models=echoing(), backends=backends) as stack:
        yield stack


def beside(path: Path, scenario: Callable[[Stack], None]) -> None:
    """Run a scenario that blocks, in a thread beside the gateway's loop."""

    async def run() -> None:
        async with stacked(path) as stack, asyncio.timeout(60):
            await asyncio.to_thread(scenario, stack)

    asyncio.run(run())


def within(path: Path, scenario: Callable[[Stack], Awaitable[None]]) -> None:
    """Run a scenario on the gateway's loop."""

    async def run() -> None:
        async with stacked(path) as stack, asyncio.timeout(60):
            await scenario(stack)

    asyncio.run(run())


def same(got: Array | None, wanted: Array) -> None:
    """Check that two arrays have the same type, shape and bits (BYTES: the same elements)."""
    assert got is not None
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
    if wanted.dtype.hasobject:
        assert got.tolist() == wanted.tolist()
    else:
        assert got.tobytes() == wanted.tobytes()
