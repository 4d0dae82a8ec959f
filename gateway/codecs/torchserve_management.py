"""What does TorchServe's management API say of a model?

`GET /models/M[/V]?customized=true` answers a list, one object a version: its `modelVersion`, its `workers`
with a `status` each, and as `customizedMetadata` whatever the handler's `describe` returned. TorchServe has
no typed signatures; a handler that returns `{"inputs": […], "outputs": […]}` in the form of the Open
Inference Protocol's metadata gives one.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.codecs.json_text import dump, load, seen
from gateway.codecs.oip_json_metadata import decode_model_metadata
from gateway.codecs.oip_model import told_signature
from gateway.errors import InvalidRequest
from gateway.tensors import Signature

__all__ = ["WorkedVersion", "decode_models"]

_READY = "READY"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkedVersion:
    """One version of a model, as TorchServe describes it.

    Attributes:
        version: Any text, often "1.0".
        ready: How many of its workers are ready.
        signature: What its handler says of itself, None where that is no signature.
    """

    version: str
    ready: int
    signature: Signature | None


def decode_models(body: bytes) -> tuple[WorkedVersion, ...]:
    """The versions that the answer describes, in its order; the default one comes first.

    Raises:
        InvalidRequest: no such answer.
    """
    entries = load(body)
    if not isinstance(entries, list):
        raise InvalidRequest(f"got {seen(entries)}, wanted a list")
    return tuple(_version(entry, f"[{index}]") for index, entry in enumerate(entries))


def _version(entry: object, path: str) -> WorkedVersion:
    if not isinstance(entry, dict) or not isinstance(entry.get("modelVersion"), str):
        raise InvalidRequest("wanted an object with a modelVersion", path=path)
    workers = entry.get("workers")
    states = [w.get("status") for w in workers if isinstance(w, dict)] if workers else []
    return WorkedVersion(
        version=entry["modelVersion"],
        ready=states.count(_READY),
        signature=_signature(entry.get("customizedMetadata")),
    )


def _signature(said: object) -> Signature | None:
    """The signature in what a handler says of itself, None where there is none to be found."""
    try:
        if isinstance(said, str):  # TorchServe passes an answer that is no JSON object on as text
            said = load(said.encode())
        if not isinstance(said, dict) or not said.get("inputs") or not said.get("outputs"):
            return None
        described = {
            "name": "",
            "platform": "",
            "inputs": said["inputs"],
            "outputs": said["outputs"],
        }
        return told_signature(decode_model_metadata(dump(described)))
    except InvalidRequest:
        return None  # free text of the model's author: no signature is no error
