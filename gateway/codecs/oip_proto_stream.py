"""What does one message of Triton's inference stream (`ModelStreamInfer`) say?

Requests are ordinary ModelInferRequests. An answer is either a ModelInferResponse or an error's text, with
the request's id, by which a client finds what it belongs to. Every response says that it is its request's
last, as Triton's do of models that give one answer; an error says nothing of the kind there either.
"""

from __future__ import annotations

from gateway._stubs import oip_wire_pb2 as pb
from gateway.codecs.protobuf import serialize

__all__ = ["encode_stream_error", "encode_stream_response"]

_INFER_RESPONSE = b"\x12"  # field 2, length-delimited
_LOW, _MORE = 0x7F, 0x80
_FINAL = {"triton_final_response": pb.InferParameter(bool_param=True)}
_FINAL_FIELD = pb.ModelInferResponse(parameters=_FINAL).SerializeToString()


def encode_stream_response(response: bytes) -> bytes:
    """A ModelStreamInferResponse that holds an encoded ModelInferResponse, its request's last."""
    # Put around the bytes as they are: parsing them only to write them again would copy every tensor.
    size = _varint(len(response) + len(_FINAL_FIELD))
    return b"".join((_INFER_RESPONSE, size, response, _FINAL_FIELD))


def encode_stream_error(text: str, request_id: str) -> bytes:
    """A ModelStreamInferResponse that says what went wrong."""
    message = pb.ModelStreamInferResponse(error_message=text.encode(errors="replace").decode())
    message.infer_response.id = request_id
    return serialize(message)


def _varint(number: int) -> bytes:
    octets = bytearray()
    while number > _LOW:
        octets.append(number & _LOW | _MORE)
        number >>= 7
    octets.append(number)
    return bytes(octets)
