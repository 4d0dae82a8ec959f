"""The public descriptors are, field by field, what other projects' stubs have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tritonclient.grpc import service_pb2

from gateway.codecs.descriptors import public_pool

POOL, SERVICES = public_pool()


def messages(package: str) -> Iterator[Any]:
    """Every message that the services of a package reach."""
    seen: dict[str, Any] = {}
    todo = [
        kind
        for service in SERVICES
        if service.startswith(f"{package}.")
        for method in POOL.FindServiceByName(service).methods
        for kind in (method.input_type, method.output_type)
    ]
    while todo:
        message = todo.pop()
        if seen.setdefault(message.full_name, message) is message:
            todo += [f.message_type for f in message.fields if f.message_type is not None]
            todo = [one for one in todo if one.full_name not in seen]
    return iter(seen.values())


def form(field: Any) -> tuple[Any, ...]:
    kind = field.message_type or field.enum_type
    return field.name, field.number, field.type, field.label, kind and kind.full_name


@pytest.mark.parametrize(
    "message", list(messages("inference")), ids=lambda message: message.full_name
)
def test_oip_messages_are_those_of_tritons_client(message: Any) -> None:
    theirs = service_pb2.DESCRIPTOR.pool.FindMessageTypeByName(message.full_name)
    assert {form(field) for field in message.fields} <= {form(field) for field in theirs.fields}


def test_no_public_type_refers_to_a_name_of_ours() -> None:
    for service in SERVICES:
        for message in messages(service.rpartition(".")[0]):
            assert not message.full_name.startswith("tandem.")


def test_packed_numbers_have_their_own_types() -> None:
    tensor = POOL.FindMessageTypeByName("tensorflow.TensorProto")
    names = ("float_val", "double_val", "bool_val", "string_val")
    kinds = [tensor.fields_by_name[name].type for name in names]
    field = type(tensor.fields_by_name["float_val"])
    assert kinds == [field.TYPE_FLOAT, field.TYPE_DOUBLE, field.TYPE_BOOL, field.TYPE_BYTES]
