"""Our subset of the protocol's messages against tritonclient's."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tritonclient.grpc import service_pb2 as triton

from gateway._stubs import oip_wire_pb2 as ours

MESSAGES = sorted(ours.DESCRIPTOR.message_types_by_name)


def fields(descriptor: Descriptor) -> dict[str, tuple[object, ...]]:
    return {field.name: _shape_of(field) for field in descriptor.fields}


def _shape_of(field: FieldDescriptor) -> tuple[object, ...]:
    inner = field.message_type
    oneof = field.containing_oneof
    return (
        field.number,
        field.type,
        field.is_repeated,
        oneof.name if oneof else None,
        fields(inner) if inner else None,
    )


def fill(message: Any, depth: int = 0) -> Any:
    """Set every field of a message, a repeated one twice, each to another value."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type and field.message_type.GetOptions().map_entry:
            for key in ("first", "second"):
                fill(getattr(message, field.name)[key], depth + 1)
        elif field.message_type and field.is_repeated:
            for _ in range(2):
                fill(getattr(message, field.name).add(), depth + 1)
        elif field.message_type:
            fill(getattr(message, field.name), depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).extend([_value(field, 0), _value(field, 1)])
        else:
            setattr(message, field.name, _value(field, depth))
    return message


def _value(field: FieldDescriptor, salt: int) -> object:
    number = field.number + salt
    return {
        field.CPPTYPE_STRING: str(number)
        if field.type == field.TYPE_STRING
        else str(number).encode(),
        field.CPPTYPE_BOOL: True,
        field.CPPTYPE_FLOAT: number + 0.5,
        field.CPPTYPE_DOUBLE: number + 0.5,
    }.get(field.cpp_type, number)


@pytest.mark.parametrize("name", MESSAGES)
def test_every_field_is_tritons(name: str) -> None:
    """Names, numbers, types and nesting are equal, and none is missing."""
    wanted = triton.DESCRIPTOR.message_types_by_name[name]
    assert fields(ours.DESCRIPTOR.message_types_by_name[name]) == fields(wanted)


@pytest.mark.parametrize("name", MESSAGES)
def test_either_reads_what_the_other_wrote(name: str) -> None:
    """A message with every field set survives the way there and back."""
    mine, theirs = getattr(ours, name), getattr(triton, name)
    written = fill(mine()).SerializeToString(deterministic=True)
    read = theirs.FromString(written)
    assert read == fill(theirs())
    assert mine.FromString(read.SerializeToString()) == fill(mine())
    assert read.SerializeToString(deterministic=True) == written


def test_the_packages_differ() -> None:
    """Two packages, or protobuf would refuse to load both into one process."""
    assert ours.DESCRIPTOR.package == "tandem.oip"
    assert triton.DESCRIPTOR.package == "inference"
