"""How do bytes become a protobuf message, and a message bytes, with our own errors?"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from gateway.errors import BodyTooLarge, InvalidRequest

__all__ = ["parse", "serialize"]

MAX_MESSAGE_BYTES = 2**31 - 1  # protobuf's own limit

_AnyMessage = TypeVar("_AnyMessage", bound=Message)


def parse(kind: type[_AnyMessage], data: bytes) -> _AnyMessage:
    """The message of type `kind` in `data`.

    Raises:
        InvalidRequest: the bytes are none.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InvalidRequest(
            f"got {len(data)} bytes that are no {kind.DESCRIPTOR.name} message"
        ) from error


def serialize(message: Message) -> bytes:
    """The bytes of `message`.

    Raises:
        BodyTooLarge: more than a protobuf message may have. Python writes it, but nobody reads it.
    """
    data = message.SerializeToString()
    if len(data) > MAX_MESSAGE_BYTES:
        raise BodyTooLarge(
            f"the {message.DESCRIPTOR.name} has {len(data)} bytes, at most {MAX_MESSAGE_BYTES} fit"
        )
    return data
