"""The model that an unreadable gRPC message names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway._stubs import oip_wire_pb2 as oip
from gateway._stubs import tfs_wire_pb2 as tfs
from gateway.codecs.named_model import model_asked, model_named

KNOWN = {"iris", "é"}


def spec(name: str) -> tfs.ModelSpec:
    return tfs.ModelSpec(name=name, signature_name="s")


@pytest.mark.parametrize("name", sorted(KNOWN))
@pytest.mark.parametrize(
    "message",
    [
        lambda name: oip.ModelInferRequest(model_name=name, id="iris"),
        lambda name: tfs.PredictRequest(model_spec=spec(name), output_filter=["iris"]),
        lambda name: tfs.MultiInferenceRequest(tasks=[tfs.InferenceTask(model_spec=spec(name))]),
    ],
)
def test_every_request_names_its_model_first(message: object, name: str) -> None:
    """Whatever follows it, or is missing behind it."""
    assert callable(message)
    data = message(name).SerializeToString()
    assert model_named(data, KNOWN) == name
    assert model_named(data + b"\x12\x7f", KNOWN) == name
    assert model_named(b"\x38\x96\x01\x41" + b"\x00" * 8 + data, KNOWN) == name
    assert model_named(b"\x38\x01" * 64 + data, KNOWN) == ""


@given(st.binary())
def test_any_bytes_name_a_known_model_or_none(data: bytes) -> None:
    """And nothing is raised."""
    assert model_named(data, KNOWN) in {*KNOWN, ""}
    assert model_named(data, ()) == ""
    model_asked(data)


@pytest.mark.parametrize("version", ["", "7"])
def test_what_a_message_asks_for_is_found_whoever_serves_it(version: str) -> None:
    message = oip.ModelInferRequest(model_name="é", model_version=version, id="i")
    assert model_asked(message.SerializeToString()) == ("é", version or None)
