r"""How do TF Serving's REST bodies become messages, and back?

Reading a predict body has two stages, because TF Serving checks in this order and clients see which
check failed: the JSON and the type of `signature_name` (`parse_predict`); then, by the caller, the model
and the signature; only then what the body says (`decode_inputs`).

Rules:
- The common case costs a few microseconds: orjson, then numpy. Whatever they cannot prove right is read
  again by the exact reader (`lenient_json`) or walked element by element (`tfs_json_read`).
- orjson lets the last of duplicate keys win, TF Serving the first. So keys are counted: when the text
  has more colons than the document accounts for, the text is read again. (A duplicate key hidden
  behind a colon written as \u003a is not noticed; its last value counts.)
- Text that goes out is compact, floats are spelled as briefly as they can be read back; TF Serving
  prints them over several lines and with more digits. As values they are the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from gateway.codecs.lenient_json import read_json
from gateway.codecs.tfs_json_explain import explain_columns, explain_rows
from gateway.codecs.tfs_json_metadata import signatures_document
from gateway.codecs.tfs_json_read import is_base64, is_in_json, read_columns, read_rows
from gateway.codecs.tfs_json_text import quote
from gateway.codecs.tfs_json_write import Form, write_outputs
from gateway.errors import InvalidRequest
from gateway.messages import InferResponse, ModelDescription, VersionStatus
from gateway.tensors import Signature, Tensor, TensorSpec
from gateway.values import value_class

__all__ = [
    "PredictBody",
    "decode_inputs",
    "encode_error",
    "encode_metadata",
    "encode_response",
    "encode_status",
    "parse_predict",
]

_KEYS: Mapping[Form, str] = {"row": "instances", "columnar": "inputs"}


@value_class()
class PredictBody:
    """A predict body whose JSON is sound; what it says is not looked at yet.

    Attributes:
        signature_name: "" for the default one.
        form: How the inputs are given, and so how the answer is: `instances` are rows, `inputs` columns.
        document: The whole JSON object.
        only_numbers: Whether every leaf of the inputs is certainly a number.
    """

    signature_name: str
    form: Form
    document: dict[str, object]
    only_numbers: bool

    @property
    def value(self) -> object:
        """What stands under `instances` or `inputs`; None when neither is there."""
        return self.document.get(_KEYS[self.form])


def parse_predict(body: bytes) -> PredictBody:
    """Read the JSON of a predict request, as far as no model is needed for it.

    Raises:
        InvalidRequest: no JSON, no object, or a signature name that is no string.
    """
    document, keys = _read_document(body)
    strings = 2 * keys
    signature_name = document.get("signature_name")
    if signature_name is None and "signature_name" not in document:
        signature_name = ""
    elif isinstance(signature_name, str):
        strings += 2
    else:
        raise InvalidRequest(
            f"{_quoted(document)} not formatted correctly."
            " 'signature_name' key must be a string value."
        )
    only_numbers = body.count(b'"') == strings and not (
        b"true" in body or b"false" in body or b"null" in body
    )
    return PredictBody(
        signature_name, "row" if "instances" in document else "columnar", document, only_numbers
    )


def decode_inputs(body: PredictBody, signature: Signature) -> tuple[Tensor, ...]:
    """The tensors of a predict body, one for every input of the signature and in its order.

    Row form adds a dimension: `N` rows of shape `[…]` make `[N, …]`. Shapes are not compared with the
    signature here, nor the rows of the inputs with each other.

    Raises:
        InvalidRequest: in TF Serving's words.
        Unsupported: an input's datatype has no JSON form there.
    """
    specs = signature.inputs
    if not specs:
        raise InvalidRequest(
            f"Failed to get input map for signature: {body.signature_name or 'DEFAULT'}"
        )
    document = body.document
    if body.form == "row":
        if "inputs" in document:
            raise InvalidRequest(
                f"{_quoted(document)} Not formatted correctly expecting only one of"
                " 'inputs' or 'instances' keys to exist "
            )
        return _decode_rows(body, specs)
    if "inputs" not in document:
        raise InvalidRequest("Missing 'inputs' or 'instances' key")
    return _decode_columns(body, specs)


def encode_response(response: InferResponse, form: Form) -> bytes:
    """Write the answer to a predict request, in the form of the request.

    NaN and Infinity are bare words; strings are text, or `{"b64": …}` where the output's name ends in
    `_bytes`.

    Raises:
        InvalidRequest: there is no output; in row form, an output has no rows or another number of them.
    """
    return write_outputs(response.outputs, form)


def encode_error(message: str) -> bytes:
    """Write an error's body."""
    try:
        return orjson.dumps({"error": message})
    except orjson.JSONEncodeError:  # it quotes bytes that were no UTF-8
        return orjson.dumps({"error": message.encode("utf-8", "replace").decode()})


def encode_status(
    statuses: tuple[VersionStatus, ...], *, kserve: tuple[str, bool] | None = None
) -> bytes:
    """Write the answer to a status question, in the order given.

    `kserve` is the model's name and whether it is ready: KServe's V1 clients ask at the same address and
    read `name` and `ready`.
    """
    lines = [
        {
            "version": status.version,
            "state": status.state,
            "status": {"error_code": status.error_code, "error_message": status.error_message},
        }
        for status in statuses
    ]
    document: dict[str, object] = {"model_version_status": lines}
    if kserve is not None:
        document |= {"name": kserve[0], "ready": kserve[1]}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def encode_metadata(description: ModelDescription) -> bytes:
    """Write the answer to a metadata question."""
    document = {
        "model_spec": {
            "name": description.model,
            "signature_name": "",
            "version": description.version,
        },
        "metadata": {"signature_def": {"signature_def": signatures_document(description)}},
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def _decode_rows(body: PredictBody, specs: Mapping[str, TensorSpec]) -> tuple[Tensor, ...]:
    rows = body.document["instances"]
    if not isinstance(rows, list):
        raise InvalidRequest(f"{_quoted(body.document)} Expecting 'instances' to be an list/array")
    if not rows:
        raise InvalidRequest(f"{_quoted(body.document)} No values in 'instances' array")
    named = isinstance(rows[0], dict) and not is_base64(rows[0])
    if not named and len(specs) > 1:
        raise InvalidRequest(
            "instances is a plain list, but expecting list of objects as multiple"
            " input tensors required as per tensorinfo_map"
        )
    tensors = read_rows(rows, specs, named=named, only_numbers=body.only_numbers)
    if tensors is None or _are_unreadable(tensors):
        return explain_rows(rows, specs, named=named)
    return tensors


def _decode_columns(body: PredictBody, specs: Mapping[str, TensorSpec]) -> tuple[Tensor, ...]:
    value = body.value
    if isinstance(value, dict) and not is_base64(value):
        columns: Mapping[str, object] = value
        for name in specs:
            if name not in columns:
                raise InvalidRequest(f"Missing named input: {name} in 'inputs' object.")
    elif len(specs) == 1:
        columns = dict.fromkeys(specs, value)
    else:
        raise InvalidRequest(
            "inputs is a plain value/list, but expecting an object as multiple"
            " input tensors required as per tensorinfo_map"
        )
    tensors = read_columns(columns, specs, only_numbers=body.only_numbers)
    if tensors is None or _are_unreadable(tensors):
        return explain_columns(columns, specs)
    return tensors


def _are_unreadable(tensors: tuple[Tensor, ...]) -> bool:
    """Whether there is a value that TF Serving does not read in JSON."""
    return any(not is_in_json(tensor.datatype) and tensor.array.size for tensor in tensors)


def _read_document(body: bytes) -> tuple[dict[str, object], int]:
    """The JSON object, and how many keys it has on its first two levels."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict):
        keys, colons = len(document), body.count(b":")
        if keys == colons:
            return document, keys
        keys = _count_keys(document)
        if keys == colons or _has_colons(document, colons):
            return document, keys
    found = read_json(body)
    if not isinstance(found, dict):
        raise InvalidRequest(f"{_quoted(found)} Is not object")
    return found, _count_keys(found)


def _count_keys(document: dict[str, object]) -> int:
    keys = len(document)
    for value in document.values():
        if isinstance(value, dict):
            keys += len(value)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            keys += sum([len(row) for row in value if isinstance(row, dict)])
    return keys


def _has_colons(document: dict[str, object], colons: int) -> bool:
    """Whether the document, written again, has that many: then no duplicate key was lost in reading."""
    try:
        return orjson.dumps(document).count(b":") == colons
    except orjson.JSONEncodeError:  # nested deeper than orjson writes
        return False


def _quoted(document: object) -> str:
    return f"JSON Value: {quote(document)}"
