"""What do the Open Inference Protocol's REST inference bodies say, and how do we say it ourselves?

A body is JSON, or JSON followed by raw tensor bytes; then a header, `Inference-Header-Content-Length`,
gives the length of the JSON part. Here that header is `header_length`, None where it is absent. One
tensor's form is in `oip_json_tensor`; metadata and errors are in `oip_json_metadata`, whose names are
given again here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.codecs.json_text import dump, load, number_text, seen
from gateway.codecs.oip_json_metadata import (
    decode_model_metadata,
    encode_error,
    encode_model_metadata,
    encode_server_metadata,
)
from gateway.codecs.oip_json_tensor import TensorReader, TensorWriter
from gateway.codecs.oip_model import check_count
from gateway.codecs.oip_parameters import refuse_reserved, refuse_unsupported
from gateway.codecs.raw import RawBytes
from gateway.errors import InvalidRequest
from gateway.messages import InferRequest, InferResponse, Parameter

__all__ = [
    "OutputForm",
    "decode_model_metadata",
    "decode_request",
    "decode_response",
    "encode_error",
    "encode_model_metadata",
    "encode_request",
    "encode_request_apart",
    "encode_response",
    "encode_server_metadata",
    "request_of",
]

_INTEGERS = range(-(2**63), 2**64)  # int64 or uint64, as the gRPC form has it
_BINARY_OUTPUT = "binary_data_output"


@dataclass(frozen=True, slots=True)
class OutputForm:
    """Which outputs a caller wants as raw bytes: those in `binary_by_name`, else by `binary`."""

    binary: bool = False
    binary_by_name: Mapping[str, bool] = field(default_factory=dict)

    def is_binary(self, name: str) -> bool:
        """Whether the output of that name is wanted as raw bytes."""
        return self.binary_by_name.get(name, self.binary)


_ALL_JSON, _ALL_BINARY = OutputForm(binary=False), OutputForm(binary=True)


def decode_request(
    body: RawBytes, header_length: int | None, *, model: str, version: str | None
) -> tuple[InferRequest, OutputForm]:
    """A client's infer request, and the form in which it wants the outputs.

    Args:
        body: Uncompressed; a client's compression is undone before.
        header_length: Bytes of JSON at its beginning, None for all; a body that has 0 is read by
            `oip_raw_request`.
        model: As in the URL.
        version: As in the URL, None if it has none.

    Raises:
        InvalidRequest: the body cannot be read or contradicts itself.
        Unsupported: shared memory, or classification.
    """
    document, text, rest = _open(body, header_length)
    words = text.count(b"true") + text.count(b"false")  # at least as many as it has booleans
    return request_of(document, rest, words, model=model, version=version)


def request_of(
    document: dict[str, object],
    rest: memoryview,
    words: int,
    *,
    model: str,
    version: str | None,
) -> tuple[InferRequest, OutputForm]:
    """As `decode_request`, of a body whose JSON has been read.

    Args:
        document: What the JSON says.
        rest: The bytes after it.
        words: How often "true" and "false" are in its text.
        model: As in the URL.
        version: As in the URL, None if it has none.
    """
    parameters = _read_parameters(document.get("parameters"))
    flags = [*parameters.values()]
    default = _read_flag(parameters.pop(_BINARY_OUTPUT, False), "parameters.binary_data_output")
    refuse_reserved(parameters)
    wanted = _read_wanted(document.get("outputs"))
    told = [value for value in (*flags, *wanted.values()) if isinstance(value, bool)]
    booleans = words > len(told)
    reader = TensorReader("input", model, rest, booleans=booleans)
    request = InferRequest(
        model=model,
        inputs=reader.read_all(document.get("inputs")),
        version=version,
        outputs=tuple(wanted),
        id=_read_text(document, "id"),
        parameters=parameters,
    )
    return request, _output_form(wanted, default=default)


def encode_request(request: InferRequest, *, binary: bool = True) -> tuple[bytes, int | None]:
    """An infer request for a backend, and its header length; model and version go into the URL.

    Without the binary tensor data extension, FP16 and BF16 are numbers: it is that or nothing.

    Raises:
        InvalidRequest: not `binary`, and an input has no JSON form.
    """
    parts, header_length = encode_request_apart(request, binary=binary)
    return b"".join(parts), header_length


def encode_request_apart(
    request: InferRequest, *, binary: bool = True
) -> tuple[list[RawBytes], int | None]:
    """As `encode_request`, the body in parts: the JSON part, and the tensors' bytes from where they are."""
    writer = TensorWriter("input", halves=not binary)
    parameters = {**request.parameters}
    document: dict[str, object] = {"id": request.id} if request.id else {}
    document["inputs"] = [
        writer.binary(tensor) if binary else writer.listed(tensor, index)
        for index, tensor in enumerate(request.inputs)
    ]
    if request.outputs:
        document["outputs"] = [
            {"name": name, "parameters": {"binary_data": binary}} for name in request.outputs
        ]
    elif binary:
        parameters[_BINARY_OUTPUT] = True
    return _parts(document, parameters, writer.blobs)


def decode_response(body: RawBytes, header_length: int | None) -> InferResponse:
    """A backend's infer response.

    Raises:
        InvalidRequest: the body cannot be read or contradicts itself.
    """
    document, _, rest = _open(body, header_length)
    model = _read_text(document, "model_name")
    return InferResponse(
        model=model,
        version=_read_text(document, "model_version"),
        outputs=TensorReader("output", model, rest, halves=True).read_all(document.get("outputs")),
        id=_read_text(document, "id"),
        parameters=_read_parameters(document.get("parameters")),
    )


def encode_response(response: InferResponse, form: OutputForm) -> tuple[bytes, int | None]:
    """An infer response for a client, and its header length.

    Raises:
        InvalidRequest: an output has no JSON form, and was not asked for as raw bytes.
    """
    writer = TensorWriter("output")
    document: dict[str, object] = {"model_name": response.model}
    if response.version:
        document["model_version"] = response.version
    if response.id:
        document["id"] = response.id
    document["outputs"] = [
        writer.binary(tensor) if form.is_binary(tensor.name) else writer.listed(tensor, index)
        for index, tensor in enumerate(response.outputs)
    ]
    parts, header_length = _parts(document, response.parameters, writer.blobs)
    return b"".join(parts), header_length


def _open(body: RawBytes, header_length: int | None) -> tuple[dict[str, object], bytes, memoryview]:
    """The JSON object at the beginning of a body, its text, and the bytes after it."""
    length = len(body) if header_length is None else header_length
    if header_length is not None and not 0 < length <= len(body):
        raise InvalidRequest(
            f"inference header size should be in range (0, {len(body)}), got: {length}"
        )
    text = bytes(body[:length])
    document = load(text)
    if not isinstance(document, dict):
        raise InvalidRequest(f"the body: got {seen(document)}, wanted an object")
    return document, text, memoryview(body)[length:]


def _parts(
    document: dict[str, object], parameters: Mapping[str, Parameter], blobs: list[RawBytes]
) -> tuple[list[RawBytes], int | None]:
    """The parts of a body, a JSON object and the bytes after it, and its header length if there are any."""
    if parameters:
        document["parameters"] = {
            name: number_text(value) if isinstance(value, float) else value
            for name, value in parameters.items()
        }
    text = dump(document)
    return [text, *blobs], len(text) if any(map(len, blobs)) else None


def _read_parameters(value: object) -> dict[str, Parameter]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"got {seen(value)}, wanted an object", path="parameters")
    check_count(len(value), "parameters")
    for name, parameter in value.items():
        is_integer = isinstance(parameter, int) and parameter in _INTEGERS
        if not is_integer and not isinstance(parameter, (bool, float, str)):
            raise InvalidRequest(
                f"got {seen(parameter)}, wanted true, false, a string, or a number of 64 bits",
                path=f"parameters.{name}",
            )
    return value


def _read_wanted(value: object) -> dict[str, bool | None]:
    """The outputs asked for, and whether each says that it wants raw bytes."""
    if value is None:
        return {}
    if not isinstance(value, list):
        raise InvalidRequest(f"got {seen(value)}, wanted a list", path="outputs")
    check_count(len(value), "outputs")
    return dict(_read_wanted_output(output, f"outputs[{i}]") for i, output in enumerate(value))


def _read_wanted_output(output: object, path: str) -> tuple[str, bool | None]:
    if not isinstance(output, dict):
        raise InvalidRequest(f"got {seen(output)}, wanted an object", path=path)
    name, parameters = output.get("name"), output.get("parameters")
    if not isinstance(name, str):
        raise InvalidRequest(f"got {seen(name)}, wanted a string", path=f"{path}.name")
    if parameters is None:
        return name, None
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"got {seen(parameters)}, wanted an object", path=f"{path}.parameters")
    refuse_unsupported(parameters, path)
    binary = parameters.get("binary_data")
    return name, binary if binary is None else _read_flag(binary, f"{path}.parameters.binary_data")


def _output_form(wanted: Mapping[str, bool | None], *, default: bool) -> OutputForm:
    if not wanted:
        return _ALL_BINARY if default else _ALL_JSON
    return OutputForm(default, {name: said for name, said in wanted.items() if said is not None})


def _read_flag(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"got {seen(value)}, wanted true or false", path=path)
    return value


def _read_text(document: Mapping[str, object], key: str) -> str:
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidRequest(f"got {seen(value)}, wanted a string", path=key)
    return value
