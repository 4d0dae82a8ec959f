"""How many rows does a Triton model take at once? The one thing that we ask its configuration.

`max_batch_size` is 0 where Triton does not batch: then even a dynamic dim 0 is not known to be rows.
"""

from __future__ import annotations

from google.protobuf.unknown_fields import UnknownFieldSet

from gateway._stubs import oip_wire_pb2 as pb
from gateway.codecs.json_text import load, seen
from gateway.codecs.protobuf import parse
from gateway.errors import InvalidRequest

__all__ = ["read_max_batch_size_json", "read_max_batch_size_proto"]

_CONFIG, _MAX_BATCH_SIZE = 1, 4  # ModelConfigResponse.config, ModelConfig.max_batch_size


def read_max_batch_size_proto(data: bytes) -> int:
    """`max_batch_size` in a ModelConfigResponse. Raises: InvalidRequest."""
    # One number of a message with a hundred: read by field number, without a stub for the rest.
    config = _field(data, _CONFIG)
    size = _field(config, _MAX_BATCH_SIZE) if isinstance(config, bytes) else 0
    return size if isinstance(size, int) else 0


def read_max_batch_size_json(body: bytes) -> int:
    """`max_batch_size` in the answer of `/v2/models/MODEL/config`. Raises: InvalidRequest."""
    document = load(body)
    size = document.get("max_batch_size", 0) if isinstance(document, dict) else None
    if not isinstance(size, int):
        raise InvalidRequest(f"got {seen(size)}, wanted an integer", path="max_batch_size")
    return size


def _field(data: bytes, number: int) -> bytes | int | None:
    fields = UnknownFieldSet(
        parse(pb.ServerLiveRequest, data)
    )  # a message without fields of its own
    found = [fields[i].data for i in range(len(fields)) if fields[i].field_number == number]
    return found[-1] if found else None
