"""How do bytes become a protobuf message, and a message bytes, with our own errors?"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, EncodeError, Message

from gateway.errors import BodyTooLarge, InvalidRequest

__all__ = ["parse", "serialize"]

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
        BodyTooLarge: over the 2 GiB that a protobuf message may have.
    """
    try:
        return message.SerializeToString()
    except EncodeError as error:
        name = message.DESCRIPTOR.name
        raise BodyTooLarge(f"the {name} message is over protobuf's 2 GiB: {error}") from error
