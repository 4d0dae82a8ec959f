"""How is a model's configuration told in the Open Inference Protocol (Triton's ModelConfig)?

A gateway knows a part of what Triton configures: names, datatypes, shapes, versions, and how it batches.
Only that is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway._stubs import oip_wire_pb2 as pb
from gateway.codecs.json_text import dump
from gateway.codecs.oip_model import told_shape, told_signature
from gateway.codecs.protobuf import parse, serialize
from gateway.messages import ModelDescription
from gateway.tensors import TensorSpec

__all__ = [
    "BatchingTold",
    "decode_config_request",
    "encode_config_json",
    "encode_config_proto",
]

_TYPE_NAMES = {"BYTES": "TYPE_STRING"}  # where it is not TYPE_ and the datatype
_INT64_DIGITS = 18  # any number of so many fits


@dataclass(frozen=True, slots=True)
class BatchingTold:
    """How an arm batches: at most so many rows, and how long a batch may wait for more."""

    max_batch_rows: int
    max_delay_s: float


def decode_config_request(data: bytes) -> tuple[str, str | None]:
    """Model and version of a ModelConfigRequest. Raises: InvalidRequest."""
    message = parse(pb.ModelConfigRequest, data)
    return message.name, message.version or None


def encode_config_json(
    description: ModelDescription, versions: Sequence[str], batching: BatchingTold
) -> bytes:
    """The answer of `/v2/models/MODEL/config`; `versions` are all that can be asked for."""
    return dump(_told(description, versions, batching))


def encode_config_proto(
    description: ModelDescription, versions: Sequence[str], batching: BatchingTold
) -> bytes:
    """A ModelConfigResponse; `versions` are all that can be asked for."""
    config = pb.ModelConfig(**_told(description, versions, batching))
    return serialize(pb.ModelConfigResponse(config=config))


def _told(
    description: ModelDescription, versions: Sequence[str], batching: BatchingTold
) -> dict[str, Any]:
    # JSON and protobuf have the same names here, so one form serves both.
    signature = told_signature(description)
    batches = signature.is_batchable
    numbers = [int(version) for version in versions if _is_number(version)]
    told: dict[str, Any] = {
        "name": description.model,
        "platform": description.platform,
        "backend": "tandem",
        "version_policy": {"specific": {"versions": numbers}},
        "max_batch_size": batching.max_batch_rows if batches else 0,
        "input": _specs(signature.inputs, batches=batches),
        "output": _specs(signature.outputs, batches=batches),
        "model_transaction_policy": {"decoupled": False},
    }
    if batches:
        delay = round(batching.max_delay_s * 1e6)
        told["dynamic_batching"] = {"max_queue_delay_microseconds": delay}
    return told


def _specs(specs: Mapping[str, TensorSpec], *, batches: bool) -> list[dict[str, Any]]:
    """The tensors; where Triton knows of a batch, its dimension is not among `dims`."""
    return [
        {
            "name": spec.name,
            "data_type": _TYPE_NAMES.get(spec.datatype, f"TYPE_{spec.datatype}"),
            "dims": told_shape(spec)[1 if batches else 0 :],
        }
        for spec in specs.values()
    ]


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdigit() and len(version) <= _INT64_DIGITS
