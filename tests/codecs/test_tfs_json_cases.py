"""TensorFlow Serving's own tests of its JSON codec, case by case, against ours."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gateway.codecs import tfs_json
from gateway.errors import InvalidRequest
from gateway.messages import InferResponse
from gateway.tensors import Tensor
from tests.codecs.tfs_bodies import output, read, read_tensors, refusal, written

MIXED = {"dbl": "FP64 -1", "flt": "FP32 -1,2", "int": "INT32 -1,3,2", "str": "BYTES -1,2"}


def test_01_rows_of_one_input() -> None:
    assert read('{"instances":[[1,2],[3,4],[5,6]]}', default="INT32 -1,2") == {
        "default": [[1, 2], [3, 4], [5, 6]]
    }


def test_02_03_unknown_keys_may_be_nested_as_deep_as_they_like() -> None:
    deep = "[" * 500_000 + "]" * 500_000
    assert read(f'{{"instances":[1],"nested":{deep}}}', x="INT32 -1") == {"x": [1]}
    assert "key must be a string value" in refusal(f'{{"signature_name":{deep}}}')


def test_04_05_floats_are_written_with_or_without_a_point() -> None:
    body = '{"instances":[1,2.0,3,4,5.003,0.007,0.0]}'
    assert read(body, x="FP64 -1") == {"x": [1, 2, 3, 4, 5.003, 0.007, 0]}
    assert read(body, x="FP32 -1")["x"][4] == np.float32(5.003)


def test_06_an_integer_and_a_decimal_are_the_same_float() -> None:
    assert read('{"instances":[1435774380]}', x="FP32 -1") == read(
        '{"instances":[1435774380.0]}', x="FP32 -1"
    )


def test_07_08_beyond_the_range_of_a_float_is_infinite_and_below_it_zero() -> None:
    got = read('{"instances":[1.79769e+308,-1.79769e+308,2.22507e-308,-2.22507e-308]}', x="FP32 -1")
    assert repr(got["x"]) == "[inf, -inf, 0.0, -0.0]"


def test_09_the_signature_name_is_kept() -> None:
    body = tfs_json.parse_predict(b'{"signature_name":"predict_images","instances":[[1,2]]}')
    assert body.signature_name == "predict_images"


def test_11_12_13_base64_strings() -> None:
    hello, world = '{"b64":"aGVsbG8="}', '{"b64":"d29ybGQ="}'
    assert read(f'{{"instances":[{hello},{world}]}}', x="BYTES -1") == {"x": [b"hello", b"world"]}
    assert read(f'{{"instances":[[{hello}],[{world}]]}}', x="BYTES -1,1") == {
        "x": [[b"hello"], [b"world"]]
    }
    assert read(f'{{"instances":[{{"x":[[{hello}],[{world}]]}}]}}', x="BYTES -1") == {
        "x": [[[b"hello"], [b"world"]]]
    }


def test_14_rows_of_several_inputs() -> None:
    first = '{"int":[[1,2],[3,4],[5,6]],"str":["foo","bar"],"flt":[1.0,NaN],"dbl":[NaN]}'
    second = '{"int":[[7,8],[9,0],[1,2]],"str":["baz","qux"],"flt":[2.0,Infinity],"dbl":[2.0]}'
    got = {
        tensor.name: tensor
        for tensor in read_tensors(f'{{"instances":[{first},{second}]}}', **MIXED)
    }
    assert {name: tensor.shape for name, tensor in got.items()} == {
        "dbl": (2, 1),
        "flt": (2, 2),
        "int": (2, 3, 2),
        "str": (2, 2),
    }
    assert repr(got["flt"].array.tolist()) == "[[1.0, nan], [2.0, inf]]"


def test_15_16_columns_of_one_input_with_or_without_its_name() -> None:
    wanted = {"x": [[[1, 2], [3, 4], [5, 6]]]}
    assert read('{"inputs":{"x":[[[1,2],[3,4],[5,6]]]}}', x="INT32 -1") == wanted
    assert read('{"inputs":[[[1,2],[3,4],[5,6]]]}', x="INT32 -1") == wanted


def test_17_columns_of_several_inputs() -> None:
    body = '{"inputs":{"bin":{"b64":"aGVsbG8="},"int":[[1]],"str":["foo","bar"],"more":0}}'
    assert read(body, bin="BYTES", int="INT32 -1", str="BYTES -1") == {
        "bin": b"hello",
        "int": [[1]],
        "str": [b"foo", b"bar"],
    }


REFUSED = {
    "18": ("", "document is empty"),
    "19": ('{"signature_name":5,"instances":[1]}', "must be a string value"),
    "20": ('{"instances":[1],"inputs":[1]}', "Not formatted correctly"),
    "21": ('{"instances":[[1,2],[3,4],[5,6,7]]}', "Expecting tensor size: 2 but got: 3"),
    "22": ('{"instances":[[1,2],[3,4],[[5,6]]]}', "Expecting shape [2] but got: [1,2]"),
    "23": ('{"instances":[1,[1]]}', "Expecting shape [] but got: [1]"),
    "24": ('{"instances":[[1,2],["a","b"]]}', "not of expected type: int32"),
    "27": ('{"instances":[{"default":1},[1,20,30]]}', "Expecting object but got list"),
    "28": ('{"instances":[[1],{"default":1}]}', "Expecting value/list but got object"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bodies_that_do_not_fit_are_refused(case: str) -> None:
    body, expected = REFUSED[case]
    assert expected in refusal(body)


def test_25_26_rows_of_several_inputs_have_one_shape_each() -> None:
    inputs = {"int": "INT32 -1,3,2", "str": "BYTES -1"}
    row = '{"int":[[1,2],[3,4],[5,6]],"str":"a"}'
    assert "element: 1 key: int of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape" in (
        refusal(f'{{"instances":[{row},{{"int":[[[1,2],[3,4],[5,6]]],"str":"b"}}]}}', **inputs)
    )
    assert "Expecting tensor size: 6 but got: 8" in (
        refusal(f'{{"instances":[{row},{{"int":[[1,2],[3,4],[5,6],[7,8]],"str":"b"}}]}}', **inputs)
    )


def test_29_30_one_output_stands_alone() -> None:
    values = [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]]
    assert written("row", output("y", "INT32", values)) == {"predictions": values}
    assert written("columnar", output("y", "INT32", values)) == {"outputs": values}
    assert written("row", output("y", "INT32", [1, 2, 3])) == {"predictions": [1, 2, 3]}
    assert written("columnar", output("y", "FP32", 2.5)) == {"outputs": 2.5}


def test_31_outputs_named_bytes_are_base64() -> None:
    hello = [[b"hello", b"world"], [b"tf", b"serving"]]
    assert written("row", output("y_bytes", "BYTES", hello)) == {
        "predictions": [
            [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}],
            [{"b64": "dGY="}, {"b64": "c2VydmluZw=="}],
        ]
    }
    assert written("row", output("y", "BYTES", hello)) == {
        "predictions": [["hello", "world"], ["tf", "serving"]]
    }


def test_32_floats_are_written_as_briefly_as_they_can_be_read_back() -> None:
    numbers = [9000000, 999999, 0.5, 0.0003, 0.00003, 555557.5]
    assert written("row", output("y", "FP32", numbers)) == {"predictions": numbers}
    text = tfs_json.encode_response(
        InferResponse(model="m", version="1", outputs=(output("y", "FP32", [0.1, 2.0]),)), "row"
    )
    assert text == b'{"predictions":[0.1,2.0]}'


def test_33_nan_and_infinity_are_bare_words() -> None:
    outputs = (output("y", "FP32", [math.nan, math.inf, 3, -math.inf]),)
    answer = InferResponse(model="m", version="1", outputs=outputs)
    assert (
        tfs_json.encode_response(answer, "row") == b'{"predictions":[NaN,Infinity,3.0,-Infinity]}'
    )


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ((), "Cannot convert empty tensor map to JSON"),
        ((output("y", "FP32", 1.0),), "Tensor name: y has no shape information "),
        (
            (output("y", "FP32", [1, 2]), output("z", "FP32", [1])),
            "Tensor name: z has inconsistent batch size: 1 expecting: 2",
        ),
        (
            (output("y", "FP32", []), output("z", "FP32", [1])),
            "Tensor name: z has inconsistent batch size: 1 expecting: 0",
        ),
    ],
)
def test_34_36_outputs_without_common_rows_make_no_rows(
    outputs: tuple[Tensor, ...], expected: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        written("row", *outputs)
    assert refused.value.message == expected


def test_35_several_outputs_stand_under_their_names() -> None:
    outputs = (
        output("b", "BOOL", [True, False]),
        output("f", "BF16", [[0.5], [1.5]]),
        output("i", "INT64", [2**53 + 1, -1]),
        output("s", "BYTES", [b"a", b"b"]),
        output("u", "UINT64", [2**64 - 1, 0]),
    )
    assert written("row", *outputs) == {
        "predictions": [
            {"b": True, "f": [0.5], "i": 2**53 + 1, "s": "a", "u": 2**64 - 1},
            {"b": False, "f": [1.5], "i": -1, "s": "b", "u": 0},
        ]
    }
    assert written("columnar", *outputs)["outputs"]["f"] == [[0.5], [1.5]]


def test_37_no_rows_are_an_empty_list() -> None:
    assert written("row", output("y", "FP32", np.zeros((0, 2)))) == {"predictions": []}
    empty = (output("y", "FP32", np.zeros((0, 1, 2))), output("z", "BYTES", np.zeros((0, 3))))
    assert written("row", *empty) == {"predictions": []}
