"""Which request is a body that is one input's bytes and nothing else (a raw binary request)?

Triton's form: the JSON part has length 0, so the name, the datatype and the shape of the only input come
from the model's signature, and every output is wanted as raw bytes. The request has one row, if the model
has rows. A shape may leave one dimension open, which follows from the size; a BYTES input is one element, the
body itself, without the length before it.
"""

from __future__ import annotations

import math

import numpy as np

from gateway.codecs.raw import RawBytes, decode_raw, objects
from gateway.errors import InvalidRequest
from gateway.messages import InferRequest
from gateway.tensors import DTYPES, Array, Signature, Tensor, TensorSpec

__all__ = ["decode_raw_request"]


def decode_raw_request(
    body: RawBytes, signature: Signature, *, model: str, version: str | None
) -> InferRequest:
    """The request that the bytes of the model's only input make.

    Raises:
        InvalidRequest: the model has more inputs, or the bytes do not determine the shape.
    """
    if len(signature.inputs) != 1:
        raise InvalidRequest(
            f"a raw binary request is for models with one input, {model} has"
            f" {len(signature.inputs)}: describe them in a JSON part",
            path="Inference-Header-Content-Length",
        )
    spec = next(iter(signature.inputs.values()))
    if spec.datatype == "BYTES":
        array = _element(body, spec, model)
    else:
        what = f"input {spec.name!r} for model {model!r}"
        shape = _shape(spec, len(body), what, has_rows=spec.has_rows and not signature.is_whole)
        array = decode_raw(body, spec.datatype, shape, what=what, path="inputs[0]")
    return InferRequest(
        model=model, version=version, inputs=(Tensor(spec.name, spec.datatype, array),)
    )


def _element(body: RawBytes, spec: TensorSpec, model: str) -> Array:
    declared = (1,) if spec.shape is None else spec.shape
    shape = tuple([1 if dim == -1 else dim for dim in declared])
    if math.prod(shape) != 1:
        raise InvalidRequest(
            f"a raw binary request is one element, model {model} wants {spec.describe_shape()}"
            f" for input {spec.name!r}",
            path="inputs[0].shape",
        )
    return objects([bytes(body)], shape, "inputs[0]")


def _shape(spec: TensorSpec, size: int, what: str, *, has_rows: bool) -> tuple[int, ...]:
    if spec.shape is None:
        raise _unclear("its rank is not known", what)
    shape = list(spec.shape)
    if has_rows:
        shape[0] = 1
    if shape.count(-1) > 1:
        raise _unclear(f"{shape.count(-1)} dimensions are open", what)
    if -1 in shape:
        row = np.dtype(DTYPES[spec.datatype]).itemsize * math.prod([d for d in shape if d != -1])
        # What does not divide is refused where the bytes are compared with the shape.
        shape[shape.index(-1)] = size // row if row else 0
    return tuple(shape)


def _unclear(why: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"a raw binary request does not tell the shape of {what}, where {why}: describe it in a JSON part",
        path="inputs[0].shape",
    )
