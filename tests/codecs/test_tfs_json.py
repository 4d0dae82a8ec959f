"""Do REST bodies become the right tensors, and tensors the right bodies?"""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.codecs import tfs_json
from gateway.codecs.lenient_json import read_json
from gateway.codecs.tfs_json_read import is_in_json
from gateway.errors import GatewayError, InvalidRequest, Unsupported
from gateway.messages import InferResponse, ModelDescription, VersionStatus
from gateway.tensors import DTYPES, MAX_RANK, Signature, Tensor
from tests.codecs.oip_strategies import same_numbers, tensors
from tests.codecs.tfs_bodies import output, read, read_tensors, refusal, written
from tests.codecs.tfs_golden import signature


def test_each_type_takes_its_own_values_only() -> None:
    for datatype in DTYPES:
        taken = {
            name
            for name, text in {
                "float": "[1.5]",
                "integer": "[1]",
                "bool": "[true]",
                "string": '["1"]',
                "null": "[null]",
                "whole float": "[1.0]",
            }.items()
            if _is_taken(f'{{"instances":{text}}}', datatype)
        }
        expected = {"integer"}
        if datatype in ("FP16", "BF16", "UINT16"):
            expected = set()
        if datatype in ("FP32", "FP64"):
            expected = {"float", "integer", "whole float"}
        if datatype in ("BOOL", "BYTES"):
            expected = {"BOOL": {"bool"}, "BYTES": {"string"}}[datatype]
        assert taken == expected, datatype


def _is_taken(body: str, datatype: str) -> bool:
    with contextlib.suppress(InvalidRequest, Unsupported):
        return bool(read_tensors(body, x=f"{datatype} -1"))
    return False


@pytest.mark.parametrize("odd", ["true", '"1"', "null", "[1.0]", '{"b64":"MQ=="}'])
@pytest.mark.parametrize("datatype", ["FP32", "INT64"])
def test_one_odd_value_among_many_numbers_is_found(datatype: str, odd: str) -> None:
    """numpy alone would turn true into 1, "1" into 1 and null into nan."""
    body = f'{{"instances":[{"1," * 100}{odd}]}}'
    assert "at item 100 of" in refusal(body, x=datatype) or "element: 100 of" in refusal(
        body, x=datatype
    )


def test_integers_are_refused_beyond_the_range_of_their_type() -> None:
    for datatype in ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT32", "UINT64"):
        limits = np.iinfo(datatype.lower())
        kept = read(f'{{"instances":[{limits.min},{limits.max},1]}}', x=datatype)
        assert kept == {"x": [limits.min, limits.max, 1]}
        for beyond in (int(limits.min) - 1, int(limits.max) + 1):
            assert f"not of expected type: {datatype.lower()}" in refusal(
                f'{{"instances":[1,{beyond}]}}', x=datatype
            )


def test_the_first_of_duplicate_keys_counts_wherever_it_is() -> None:
    assert read('{"instances":[1],"instances":[2]}', x="INT32") == {"x": [1]}
    assert read('{"instances":[{"x":1,"x":2},{"x":3}]}', x="INT32") == {"x": [1, 3]}
    assert read('{"inputs":{"x":[1],"x":[2]}}', x="INT32") == {"x": [1]}
    assert read('{"inputs":{"x":":","x":"b"}}', x="BYTES") == {"x": b":"}
    both = '{"signature_name":"a","instances":[1],"signature_name":"b"}'
    assert tfs_json.parse_predict(both.encode()).signature_name == "a"


def test_colons_in_strings_are_not_duplicate_keys() -> None:
    assert read('{"instances":["http://a","b:c"]}', x="BYTES") == {"x": [b"http://a", b"b:c"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aGVsbG8=", b"hello"),
        ("aGVsbG8", b"hello"),
        ("aGVs\\n bG8=", b"hello"),
        ("aGVsbG8.", b"hello"),
        ("", b""),
        ("aGVsbG8==", None),
        ("_-8=", None),
        ("A", None),
        ("AAAA=", None),
        ("!!!!", None),
    ],
)
def test_base64_is_read_as_leniently_as_abseil_reads_it(text: str, expected: bytes | None) -> None:
    body = f'{{"instances":[{{"b64":"{text}"}}]}}'
    if expected is None:
        assert refusal(body, x="BYTES").endswith("Error: INVALID_ARGUMENT: Unable to base64 decode")
    else:
        assert read(body, x="BYTES") == {"x": [expected]}


def test_bytes_that_are_no_text_go_in_and_out_as_they_are() -> None:
    body = b'{"instances":["\xff\xfe","\\udc80"]}'
    assert read(body, x="BYTES") == {"x": [b"\xff\xfe", b"\xed\xb2\x80"]}
    answer = InferResponse(model="m", version="1", outputs=(output("y", "BYTES", [b'\xff"\x01']),))
    assert tfs_json.encode_response(answer, "row") == b'{"predictions":["\xff\\"\\u0001"]}'
    assert json.loads(tfs_json.encode_error("got \udcff")) == {"error": "got ?"}


def test_rows_and_columns_may_be_empty_inside() -> None:
    assert read_tensors('{"instances":[[],[]]}', x="INT8")[0].shape == (2, 0)
    assert read_tensors('{"instances":[[],[]]}', x="BYTES")[0].shape == (2, 0)
    assert read_tensors('{"inputs":[]}', x="FP32")[0].shape == (0,)
    assert read_tensors('{"inputs":[[],[]]}', x="BOOL")[0].array.dtype == np.bool_


def test_a_tensor_has_at_most_so_many_dimensions() -> None:
    for form in ("instances", "inputs"):
        deepest = "[" * MAX_RANK + "1" + "]" * MAX_RANK
        assert len(read_tensors(f'{{"{form}":{deepest}}}', x="FP32")[0].shape) == MAX_RANK
        for leaf in ("1", ""):
            for depth in (MAX_RANK + 1, 100_000):
                deeper = "[" * depth + leaf + "]" * depth
                message = refusal(f'{{"{form}":{deeper}}}', x="FP32")
                assert message == "tensor parsing error: x"


def test_columns_say_which_of_several_inputs_is_wrong() -> None:
    inputs = {"a": "FP32 -1", "b": "INT32 -1"}
    assert refusal('{"inputs":{"a":[1],"b":["x"]}}', **inputs) == (
        'JSON Value: "x" Type: String is not of expected type: int32'
    )
    assert refusal('{"inputs":[1]}', **inputs).startswith("inputs is a plain value/list")
    assert refusal('{"instances":[1]}', **inputs).startswith("instances is a plain list")
    assert refusal('{"inputs":{"b":[1]}}', **inputs) == "Missing named input: a in 'inputs' object."


def test_a_signature_without_inputs_cannot_be_called() -> None:
    nothing = signature("noinput", {}, {})
    for name, text in (("noinput", b'{"signature_name":"noinput"}'), ("DEFAULT", b"{}")):
        with pytest.raises(InvalidRequest, match=f"Failed to get input map for signature: {name}"):
            tfs_json.decode_inputs(tfs_json.parse_predict(text), nothing)


def test_inputs_come_in_the_order_of_the_signature() -> None:
    body = '{"instances":[{"b":1,"a":2}]}'
    assert [tensor.name for tensor in read_tensors(body, a="FP32", b="FP32")] == ["a", "b"]


def test_nan_among_strings_that_say_null() -> None:
    outputs = (output("null", "FP64", [math.nan, 1.5]), output("t", "BYTES", [b"null", b"NaN"]))
    assert repr(written("row", *outputs)) == repr(
        {"predictions": [{"null": math.nan, "t": "null"}, {"null": 1.5, "t": "NaN"}]}
    )
    assert repr(written("columnar", *outputs)) == repr(
        {"outputs": {"null": [math.nan, 1.5], "t": ["null", "NaN"]}}
    )


def test_a_scalar_nan_in_columns() -> None:
    assert math.isnan(written("columnar", output("y", "FP16", math.nan))["outputs"])


@given(tensors(), st.sampled_from(("row", "columnar")), st.booleans())
def test_what_is_written_can_be_sent_back(tensor: Tensor, form: Any, named: bool) -> None:  # noqa: FBT001
    """Every value but the bits of NaN, and the shape of nothing, survives JSON."""
    if form == "row" and (not tensor.shape or not tensor.array.size):
        return
    if not is_in_json(tensor.datatype):
        return  # answered in JSON, but not taken
    answer = InferResponse(model="m", version="1", outputs=(tensor,))
    values = next(iter(_object(tfs_json.encode_response(answer, form)).values()))
    key = "instances" if form == "row" else "inputs"
    if named:
        values = [{tensor.name: row} for row in values] if form == "row" else {tensor.name: values}
    body = _dumps({key: values})
    wanted = signature("serving_default", {tensor.name: tensor.datatype}, {})
    (again,) = tfs_json.decode_inputs(tfs_json.parse_predict(body), wanted)
    if tensor.array.size:
        assert again.datatype == tensor.datatype
        assert again.shape == tensor.shape
        assert same_numbers(_widened(again), _widened(tensor))


def _object(text: bytes) -> dict[str, Any]:
    found = read_json(text)
    assert isinstance(found, dict)
    return found


def _dumps(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogateescape")


def _widened(tensor: Tensor) -> Tensor:
    if tensor.datatype == "BF16":
        return Tensor(tensor.name, "FP32", tensor.array.astype(np.float32))
    return tensor


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
values = st.recursive(
    leaves | st.just({"b64": "AA=="}),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("x", "y", "b64")), inner, max_size=2)
    ),
    max_leaves=10,
)
signatures_ = st.dictionaries(
    st.sampled_from(("x", "y")), st.sampled_from(tuple(DTYPES)), min_size=1
).map(lambda inputs: signature("s", inputs, {}))


@given(st.dictionaries(st.sampled_from(("instances", "inputs")), values), signatures_)
@example({"instances": [2**63, -1]}, signature("s", {"x": "FP32"}, {}))
@example({"inputs": {"x": [2**64 - 1, -1]}}, signature("s", {"x": "UINT64"}, {}))
def test_any_body_is_read_or_refused_with_our_error(document: Any, wanted: Signature) -> None:
    body = tfs_json.parse_predict(json.dumps(document).encode())
    try:
        tensors_ = tfs_json.decode_inputs(body, wanted)
    except (InvalidRequest, Unsupported):
        return
    assert [tensor.name for tensor in tensors_] == list(wanted.inputs)
    for tensor in tensors_:
        assert tensor.array.dtype == DTYPES[tensor.datatype]
        assert tensor.array.flags.c_contiguous


@given(st.binary(max_size=60))
def test_arbitrary_bytes_raise_nothing_but_our_errors(data: bytes) -> None:
    with contextlib.suppress(GatewayError):
        tfs_json.decode_inputs(tfs_json.parse_predict(data), signature("s", {"x": "FP32 -1"}, {}))


def test_status_and_metadata_bodies() -> None:
    statuses = (VersionStatus(version="2", state="LOADING"),)
    assert json.loads(tfs_json.encode_status(statuses)) == {
        "model_version_status": [
            {
                "version": "2",
                "state": "LOADING",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    found = signature("s", {"x": "FP32 -1,4"}, {"y": "BYTES"})
    description = ModelDescription(model="m", version="2", platform="p", signatures={"s": found})
    body = json.loads(tfs_json.encode_metadata(description))
    assert body["model_spec"] == {"name": "m", "signature_name": "", "version": "2"}
    (described,) = body["metadata"]["signature_def"]["signature_def"].values()
    assert described["inputs"]["x"]["tensor_shape"]["dim"][1] == {"size": "4", "name": ""}
    assert described["outputs"]["y"]["dtype"] == "DT_STRING"
