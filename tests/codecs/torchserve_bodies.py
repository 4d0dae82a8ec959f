"""Models for TorchServe's dialect in the tests of its codec, and forms to send to them."""

from __future__ import annotations

from gateway.tensors import Signature, TensorSpec


def signature(*specs: TensorSpec) -> Signature:
    named = {spec.name: spec for spec in specs}
    return Signature("serving_default", named, named)


FLOATS = signature(TensorSpec("x", "FP32", (-1, 4)))
TEXT = signature(TensorSpec("text", "BYTES", (-1,)))
PAIR = signature(TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "INT64", (-1,)))
WHOLE = signature(TensorSpec("x", "INT32", (2,)))
GRID = signature(TensorSpec("x", "UINT8", (-1, -1, 3)))
OPEN = signature(TensorSpec("x", "FP32", (-1, -1, -1)))
DATA = signature(TensorSpec("data", "FP32", (-1, 2)))
SIGNATURES = (FLOATS, TEXT, PAIR, WHOLE, GRID, OPEN, DATA)
ROW = [1.0, 2.0, 3.0, 4.0]


def form(boundary: str, **parts: tuple[str, bytes]) -> bytes:
    lines = b""
    for name, (kind, value) in parts.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n'
        head += f"Content-Type: {kind}\r\n" if kind else ""
        lines += head.encode() + b"\r\n" + value + b"\r\n"
    return lines + f"--{boundary}--\r\n".encode()
