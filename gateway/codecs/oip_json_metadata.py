"""What does a server of the Open Inference Protocol say of itself and its models, over REST?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.codecs.json_text import dump, load, seen
from gateway.codecs.oip_model import (
    IndexedModel,
    ServerMetadata,
    datatype_named,
    describe,
    newest_first,
    told_shape,
    told_signature,
)
from gateway.errors import InvalidRequest
from gateway.messages import ModelDescription
from gateway.tensors import TensorSpec

__all__ = [
    "decode_error",
    "decode_model_metadata",
    "decode_model_versions",
    "decode_repository_index",
    "decode_repository_index_request",
    "decode_server_metadata",
    "encode_error",
    "encode_model_metadata",
    "encode_repository_index",
    "encode_server_metadata",
]

_SEEN_BYTES = 500  # of an error's body that is not the protocol's


def encode_error(message: str) -> bytes:
    """The body of an answer that is none."""
    return dump({"error": message.encode(errors="replace").decode()})


def decode_error(body: bytes) -> str:
    """What a server says went wrong, in the form of any of them; "" where it says nothing.

    Triton and our servers say `{"error": text}`; MLServer too, or, for a body that it cannot read,
    FastAPI's `{"detail": …}`; TorchServe `{"code", "type", "message"}`.
    """
    try:
        document = load(body)
    except InvalidRequest:
        return body[:_SEEN_BYTES].decode(errors="replace").strip()
    if isinstance(document, dict):
        for key in ("error", "message", "detail"):
            if document.get(key):
                value = document[key]
                return value if isinstance(value, str) else dump(value).decode()
    return body[:_SEEN_BYTES].decode(errors="replace").strip()


def encode_server_metadata(name: str, version: str, extensions: Iterable[str]) -> bytes:
    """The answer of `/v2`."""
    return dump({"name": name, "version": version, "extensions": list(extensions)})


def decode_server_metadata(body: bytes) -> ServerMetadata:
    """The answer of `/v2`. Raises: InvalidRequest."""
    document = _object(load(body), "")
    return ServerMetadata(
        name=_text(document, "name", ""),
        version=_text(document, "version", ""),
        extensions=_texts(document, "extensions"),
    )


def decode_repository_index(body: bytes) -> tuple[IndexedModel, ...]:
    """The answer of `/v2/repository/index`, in its order; what an entry leaves out is "".

    Raises:
        InvalidRequest: no such answer.
    """
    entries = load(body)
    if not isinstance(entries, list):
        raise InvalidRequest(f"got {seen(entries)}, wanted a list")
    return tuple(_indexed(_object(entry, f"[{i}]"), f"[{i}]") for i, entry in enumerate(entries))


def decode_repository_index_request(body: bytes) -> bool:
    """Whether the question at `/v2/repository/index` is for ready versions only; it may be empty.

    Raises:
        InvalidRequest: it is not empty, and no object, or its `ready` is neither true nor false.
    """
    ready = _object(load(body), "the body").get("ready", False) if body else False
    if not isinstance(ready, bool):
        raise InvalidRequest(f"got {seen(ready)}, wanted true or false", path="ready")
    return ready


def encode_repository_index(models: Iterable[IndexedModel]) -> bytes:
    """The answer of `/v2/repository/index`."""
    return dump(
        [
            {"name": m.name, "version": m.version, "state": m.state, "reason": m.reason}
            for m in models
        ]
    )


def encode_model_metadata(description: ModelDescription, versions: Sequence[str] = ()) -> bytes:
    """The answer of `/v2/models/MODEL`.

    Args:
        description: Its `serving_default` signature is told, or its only one.
        versions: All versions that can be asked for; the described one when empty.
    """
    signature = told_signature(description)
    return dump(
        {
            "name": description.model,
            "versions": list(versions or [description.version]),
            "platform": description.platform,
            "inputs": _told_specs(signature.inputs),
            "outputs": _told_specs(signature.outputs),
        }
    )


def decode_model_metadata(body: bytes) -> ModelDescription:
    """The answer of `/v2/models/MODEL`, in the newest of the versions it lists ("" if none).

    Raises:
        InvalidRequest: no such answer, or a datatype that the protocol does not have.
    """
    document = _object(load(body), "")
    return describe(
        _text(document, "name", ""),
        _texts(document, "versions"),
        _text(document, "platform", ""),
        specs={
            "inputs": _read_specs(document, "inputs"),
            "outputs": _read_specs(document, "outputs"),
        },
    )


def decode_model_versions(body: bytes) -> tuple[str, ...]:
    """The versions that the answer of `/v2/models/MODEL` lists, newest first. Raises: InvalidRequest."""
    return newest_first(_texts(_object(load(body), ""), "versions"))


def _indexed(entry: Mapping[str, object], path: str) -> IndexedModel:
    said = {
        key: _text(entry, key, path)
        for key in ("version", "state", "reason")
        if entry.get(key) is not None
    }
    return IndexedModel(
        name=_text(entry, "name", path),
        version=said.get("version", ""),
        state=said.get("state", ""),
        reason=said.get("reason", ""),
    )


def _told_specs(specs: Mapping[str, TensorSpec]) -> list[dict[str, object]]:
    return [
        {"name": spec.name, "datatype": spec.datatype, "shape": told_shape(spec)}
        for spec in specs.values()
    ]


def _read_specs(document: Mapping[str, object], key: str) -> list[TensorSpec]:
    return [
        _read_spec(_object(member, f"{key}[{index}]"), f"{key}[{index}]")
        for index, member in enumerate(_list(document, key))
    ]


def _read_spec(member: Mapping[str, object], path: str) -> TensorSpec:
    shape = _list(member, "shape", path)
    dims = tuple(dim for dim in shape if type(dim) is int)
    if len(dims) != len(shape):
        raise InvalidRequest("wanted a list of integers", path=f"{path}.shape")
    return TensorSpec(
        name=_text(member, "name", path),
        datatype=datatype_named(member.get("datatype"), path),
        shape=dims,
    )


def _object(value: object, path: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"got {seen(value)}, wanted an object", path=path)
    return value


def _list(members: Mapping[str, object], key: str, path: str = "") -> list[object]:
    value = members.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidRequest(f"got {seen(value)}, wanted a list", path=_place(path, key))
    return value


def _texts(members: Mapping[str, object], key: str) -> tuple[str, ...]:
    values = _list(members, key)
    texts = tuple(value for value in values if isinstance(value, str))
    if len(texts) != len(values):
        raise InvalidRequest("wanted a list of strings", path=key)
    return texts


def _text(members: Mapping[str, object], key: str, path: str) -> str:
    value = members.get(key)
    if not isinstance(value, str):
        raise InvalidRequest(f"got {seen(value)}, wanted a string", path=_place(path, key))
    return value


def _place(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
