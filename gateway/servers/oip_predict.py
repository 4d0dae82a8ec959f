"""What does a large infer body say, if it can be read at once?"""

from __future__ import annotations

from gateway.codecs.oip_json import OutputForm
from gateway.codecs.oip_json_numbers import decode_numbers
from gateway.messages import InferRequest
from gateway.servers.heavy import PLAIN_BYTES

__all__ = ["numbers_at_once"]


def numbers_at_once(
    body: bytes, header_length: int | None, *, model: str, version: str | None
) -> tuple[InferRequest, OutputForm] | None:
    """A large body of numbers, if reading it does not hold up the event loop; else None."""
    if len(body) > PLAIN_BYTES:
        return None
    return decode_numbers(body, header_length, model=model, version=version, quick=True)
