"""Our subset of the protocol's messages against tritonclient's."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tritonclient.grpc import model_config_pb2 as configuration
from tritonclient.grpc import service_pb2 as triton

from gateway._stubs import oip_wire_pb2 as ours

PARTS = {  # of these we have only what a gateway knows, or tells
    "ModelConfig",
    "ModelConfigResponse",
    "ModelDynamicBatching",
    "ModelInput",
    "ModelOutput",
    "ModelStatistics",
    "ModelStatisticsResponse",
    "ModelVersionPolicy",
}
MESSAGES = sorted(ours.DESCRIPTOR.message_types_by_name)
WHOLE = [name for name in MESSAGES if name not in PARTS]


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


def of_triton(name: str) -> Any:
    return getattr(triton, name, None) or getattr(configuration, name)


def differences(part: dict[str, Any], whole: dict[str, Any]) -> list[str]:
    """The fields of `part` that `whole` lacks or has otherwise; what it has besides is no matter."""
    found = []
    for name, (*kind, inner) in part.items():
        *wanted, deeper = whole.get(name, (None,))
        if kind != wanted:
            found.append(name)
        elif inner is not None:
            found += [f"{name}.{place}" for place in differences(inner, deeper)]
    return found


@pytest.mark.parametrize("name", sorted(PARTS))
def test_what_we_have_of_a_message_is_tritons(name: str) -> None:
    """Every field of ours is there, with the same number and type, at every depth."""
    mine = fields(ours.DESCRIPTOR.message_types_by_name[name])
    assert mine
    assert differences(mine, fields(of_triton(name).DESCRIPTOR)) == []


@pytest.mark.parametrize("name", sorted(PARTS))
def test_what_we_write_of_a_message_is_read_there(name: str) -> None:
    """Nothing of ours ends up among the unknown fields."""
    mine = fill(getattr(ours, name)())
    read = of_triton(name).FromString(mine.SerializeToString())
    read.DiscardUnknownFields()
    assert getattr(ours, name).FromString(read.SerializeToString()) == mine


def test_datatypes_have_tritons_numbers() -> None:
    """Of the configuration's enum, which has other names than the protocol's datatypes."""
    assert dict(ours.DataType.items()) == dict(configuration.DataType.items())


@pytest.mark.parametrize("name", WHOLE)
def test_every_field_is_tritons(name: str) -> None:
    """Names, numbers, types and nesting are equal, and none is missing."""
    wanted = of_triton(name).DESCRIPTOR
    assert fields(ours.DESCRIPTOR.message_types_by_name[name]) == fields(wanted)


@pytest.mark.parametrize("name", WHOLE)
def test_either_reads_what_the_other_wrote(name: str) -> None:
    """A message with every field set survives the way there and back."""
    mine, theirs = getattr(ours, name), of_triton(name)
    written = fill(mine()).SerializeToString(deterministic=True)
    read = theirs.FromString(written)
    assert read == fill(theirs())
    assert mine.FromString(read.SerializeToString()) == fill(mine())
    assert read.SerializeToString(deterministic=True) == written


def test_the_packages_differ() -> None:
    """Two packages, or protobuf would refuse to load both into one process."""
    assert ours.DESCRIPTOR.package == "tandem.oip"
    assert triton.DESCRIPTOR.package == "inference"
