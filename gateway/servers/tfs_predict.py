"""What does a large predict body say: at once, if it is plain, or read away from the event loop?

Which signature a body is for stands in the body, and reading a body twice would double its cost. So the
worker process gets all signatures of the arm that is going to answer, and the errors come back in two
kinds: those that TF Serving finds before it looks up the model are raised, those of the inputs returned.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.codecs import tfs_json
from gateway.codecs.tfs_json_numbers import NumbersBody, parse_numbers
from gateway.codecs.tfs_json_write import Form
from gateway.errors import GatewayError, UnknownSignature
from gateway.routing.table import Arm
from gateway.servers.heavy import PLAIN_BYTES
from gateway.tensors import Signature, Tensor

__all__ = ["LargePredict", "numbers_at_once", "read_large", "signatures_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LargePredict:
    """A predict body that has been read. `inputs`: None if its signature was not among those given."""

    signature_name: str
    form: Form
    inputs: tuple[Tensor, ...] | GatewayError | None


def numbers_at_once(body: bytes) -> NumbersBody | None:
    """A large body of numbers, if reading it does not hold up the event loop; else None."""
    return parse_numbers(body, quick=True) if len(body) <= PLAIN_BYTES else None


def read_large(body: bytes, signatures: Mapping[str, Signature]) -> LargePredict:
    """Read a predict body, its inputs by the signature that it names.

    Raises:
        InvalidRequest: no JSON, no object, or a signature name that is no string.
    """
    numbers = parse_numbers(body)
    if numbers is not None:
        signature = signatures.get(numbers.signature_name)
        found = None if signature is None else numbers.inputs(signature)
        if signature is None or found is not None:
            return LargePredict(
                signature_name=numbers.signature_name, form=numbers.form, inputs=found
            )
    return _read_any(body, signatures)


def _read_any(body: bytes, signatures: Mapping[str, Signature]) -> LargePredict:
    parsed = tfs_json.parse_predict(body)
    signature = signatures.get(parsed.signature_name)
    inputs: tuple[Tensor, ...] | GatewayError | None = None
    if signature is not None:
        try:
            inputs = tfs_json.decode_inputs(parsed, signature)
        except GatewayError as error:
            inputs = error
    return LargePredict(signature_name=parsed.signature_name, form=parsed.form, inputs=inputs)


def signatures_of(arm: Arm) -> dict[str, Signature]:
    """The arm's signatures by the names that a body may give, "" among them."""
    if arm.description is None:
        return {}
    found = dict(arm.description.signatures)
    # Without a default one, a body that names none is told so once its JSON was found sound.
    with contextlib.suppress(UnknownSignature):
        found[""] = arm.signature("")
    return found
