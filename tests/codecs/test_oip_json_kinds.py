"""Are elements of the wrong kind refused, wherever else the body speaks of true and false?"""

from __future__ import annotations

import json

import pytest

from gateway.codecs import oip_json
from gateway.errors import InvalidRequest

ELSEWHERE: tuple[dict[str, object], ...] = (
    {},
    {"outputs": [{"name": "y", "parameters": {"binary_data": False}}]},
    {"parameters": {"binary_data_output": False, "other": True}},
    {"id": "true", "outputs": [{"name": "false"}, {"name": "true"}]},
    {"outputs": [{"name": "y", "parameters": {"binary_data": value}} for value in (True, False)]},
)
NUMERIC = ("FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")


def decode(datatype: str, data: list[object], elsewhere: dict[str, object]) -> object:
    tensor = {"name": "x", "datatype": datatype, "shape": [len(data)], "data": data}
    body = json.dumps({"inputs": [tensor], **elsewhere}).encode()
    request, _ = oip_json.decode_request(body, None, model="m", version=None)
    return request.inputs[0].array.tolist()


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
@pytest.mark.parametrize("datatype", NUMERIC)
@pytest.mark.parametrize("wrong", [True, False, None, "1", [1], {}])
def test_what_is_no_number_is_refused(
    wrong: object, datatype: str, elsewhere: dict[str, object]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(datatype, [1, 0, wrong, 1], elsewhere)
    assert refused.value.path == "inputs[0].data[2]"


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
@pytest.mark.parametrize("datatype", NUMERIC)
def test_numbers_are_read(datatype: str, elsewhere: dict[str, object]) -> None:
    assert decode(datatype, [1, 0, 2], elsewhere) == [1, 0, 2]


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_a_float_is_no_integer(elsewhere: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode("INT64", [1, 2.0], elsewhere)
    assert refused.value.path == "inputs[0].data[1]"
