"""Does the REST codec say what the real TensorFlow Serving said, for every recorded call?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from gateway.codecs import tfs_json
from gateway.codecs.lenient_json import read_json
from gateway.codecs.tfs_json_read import read_columns, read_rows
from gateway.errors import GatewayError
from gateway.messages import DEFAULT_SIGNATURE, InferResponse, VersionStatus
from gateway.tensors import Signature, Tensor
from tests.codecs.oip_strategies import same_numbers
from tests.codecs.tfs_golden import RestExchange, grpc_descriptions, rest_exchanges, signatures

PREDICTS = [exchange for exchange in rest_exchanges() if exchange.path.endswith(":predict")]
GROUPS = sorted({exchange.group for exchange in PREDICTS})

# Decided by the caller of the codec, from the path and the names of models, versions and signatures.
LOOKUP = (
    "Servable not found for request",
    "Unrecognized servable version label",
    "Failed to convert version",
    "Malformed request",
    "Serving signature name:",
)

# Found by the model while it ran, or in what it answered.
BY_THE_MODEL = ("\n\t [[{{", "Tensor name: ")

# Where Tandem answers differently on purpose: the exchanges and why.
DIFFERENT_SIGNATURES = {
    "id_c64": "Tandem carries no complex numbers: the signature is unknown to it",
    "__saved_model_init_op": "not a signature to call: unknown to Tandem",
}
DIFFERENT = {
    **dict.fromkeys(
        (379,),
        "a tensor has at most 32 dimensions (TF Serving: 254)",
    ),
    **dict.fromkeys(
        (
            *(498, 501, 502, 503, 505, 506, 507, 509, 530, 533, 534, 537, 538, 539, 541, 543),
            *(573, 574, 575, 577, 1697, 1705),
        ),
        "int8, uint8 and int16 are refused beyond their range; TF Serving lets them wrap around",
    ),
    1143: "of two missing inputs the first by name is reported, TF Serving's order is random",
}


@dataclass(frozen=True)
class Refusal:
    status: int
    text: str


def outcome(exchange: RestExchange) -> Refusal | tuple[Tensor, ...] | None:
    """Our error, or the tensors read; None where a lookup comes first."""
    try:
        body = tfs_json.parse_predict(exchange.body)
        if (
            _is_by_path(exchange)
            or exchange.error.startswith(LOOKUP)
            or exchange.model not in signatures()
        ):
            return None
        signature = signatures()[exchange.model].get(body.signature_name or DEFAULT_SIGNATURE)
        return None if signature is None else tfs_json.decode_inputs(body, signature)
    except GatewayError as error:
        return Refusal(error.http_status, error.message)


def _signature(exchange: RestExchange) -> Signature:
    name = tfs_json.parse_predict(exchange.body).signature_name or DEFAULT_SIGNATURE
    return signatures()[exchange.model][name]


def _is_by_path(exchange: RestExchange) -> bool:
    return exchange.status != 200 and not exchange.error  # a version beyond int64: no text at all


def reason_to_differ(exchange: RestExchange) -> str:
    if exchange.id in DIFFERENT:
        return DIFFERENT[exchange.id]
    for name, reason in DIFFERENT_SIGNATURES.items():
        if f'"{name}"'.encode() in exchange.body:
            return reason
    return ""


def agrees(exchange: RestExchange) -> bool:
    got = outcome(exchange)
    if got is None:
        return True
    if exchange.status == 200 or any(mark in exchange.error for mark in BY_THE_MODEL):
        return not isinstance(got, Refusal)
    return got == Refusal(exchange.status, exchange.error)


@pytest.mark.parametrize("group", GROUPS)
def test_predict_bodies_are_taken_and_refused_as_by_the_real_server(group: str) -> None:
    disagreed = [
        (exchange.id, exchange.body[:200], exchange.status, exchange.error, outcome(exchange))
        for exchange in PREDICTS
        if exchange.group == group and not reason_to_differ(exchange) and not agrees(exchange)
    ]
    assert disagreed == []


def test_every_listed_difference_is_one() -> None:
    listed = {exchange.id: exchange for exchange in PREDICTS if exchange.id in DIFFERENT}
    assert sorted(listed) == sorted(DIFFERENT)
    assert [id_ for id_, exchange in listed.items() if agrees(exchange)] == []


def test_the_record_is_large_enough_to_mean_something() -> None:
    outcomes = [outcome(exchange) for exchange in PREDICTS]
    refused = [got for got in outcomes if isinstance(got, Refusal)]
    assert len(PREDICTS) > 900
    assert len(refused) > 250


SMALLEST_NORMAL = {"FP32": 1.2e-38, "FP64": 2.3e-308}

SUCCESSES = [
    exchange
    for exchange in PREDICTS
    if exchange.status == 200 and not reason_to_differ(exchange) and outcome(exchange) is not None
]


def _read_answer(text: bytes, signature: Signature) -> tuple[Tensor, ...]:
    """The tensors in an answer, as a client who knows the signature would read them."""
    document: Any = read_json(text)
    specs = signature.outputs
    if "predictions" in document:
        rows: list[object] = document["predictions"]
        tensors = read_rows(rows, specs, named=len(specs) > 1, only_numbers=False)
    else:
        value = document["outputs"]
        columns = value if len(specs) > 1 else dict.fromkeys(specs, value)
        tensors = read_columns(columns, specs, only_numbers=False)
    assert tensors is not None
    return tensors


@pytest.mark.parametrize("group", sorted({exchange.group for exchange in SUCCESSES}))
def test_answers_written_again_read_the_same(group: str) -> None:
    for exchange in SUCCESSES:
        if exchange.group != group:
            continue
        signature = _signature(exchange)
        recorded = _read_answer(exchange.response, signature)
        answer = InferResponse(model=exchange.model, version="1", outputs=recorded)
        form = tfs_json.parse_predict(exchange.body).form
        again = _read_answer(tfs_json.encode_response(answer, form), signature)
        assert all(map(same_numbers, again, recorded)), exchange.id


@pytest.mark.parametrize("exchange", [e for e in SUCCESSES if e.group.startswith("dtype_")])
def test_what_an_identity_model_answers_is_what_was_read(exchange: RestExchange) -> None:
    got = outcome(exchange)
    assert isinstance(got, tuple)
    (sent,) = got
    (answered,) = _read_answer(exchange.response, _signature(exchange))
    if sent.datatype in SMALLEST_NORMAL:
        # The recorded server flushes subnormal numbers to zero, and RapidJSON rounds carelessly.
        np.testing.assert_allclose(
            answered.array.tolist(),
            sent.array.tolist(),
            rtol=5e-16,
            atol=SMALLEST_NORMAL[sent.datatype],
        )
    else:
        assert answered.array.tolist() == sent.array.tolist()


def test_status_answers_are_the_real_ones() -> None:
    recorded = [exchange for exchange in rest_exchanges() if exchange.group == "status"]
    assert recorded
    for exchange in recorded:
        document = json.loads(exchange.response)
        statuses = tuple(
            VersionStatus(
                version=line["version"],
                state=line["state"],
                error_code=line["status"]["error_code"],
                error_message=line["status"]["error_message"],
            )
            for line in document["model_version_status"]
        )
        assert json.loads(tfs_json.encode_status(statuses)) == document


def test_metadata_answers_are_the_real_ones() -> None:
    compared = 0
    for exchange in rest_exchanges():
        model = exchange.path.split("/")[3]
        if exchange.group == "metadata" and model in grpc_descriptions():
            got = json.loads(tfs_json.encode_metadata(grpc_descriptions()[model]))
            assert got == json.loads(exchange.response), model
            compared += 1
    assert compared == 4
