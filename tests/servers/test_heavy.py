"""Large JSON is read and written by another process: the answers and the errors stay the same."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.servers import oip_predict, oip_rest, tfs_predict, tfs_rest
from gateway.servers.heavy import HEAVY_BYTES, HEAVY_ELEMENTS, PLAIN_BYTES, are_heavy
from gateway.tensors import Tensor
from tests.fakes.gateways import Stack, against
from tests.servers.large import OIP, SMALL, TFS, jobs, padded, rows


def oip_tensor(**changes: Any) -> bytes:
    given = {"name": '"x"', "datatype": '"FP32"', "shape": "[1, 4]", "data": "[1, 2, 3, 4]"}
    tensor = ", ".join(f'"{name}": {value}' for name, value in (given | changes).items())
    return f'{{"id": "i", "inputs": [{{{tensor}}}]}}'.encode()


SAME = [
    (TFS, SMALL, {}),
    (TFS, rows(2000)[:-2] + b",[NaN,1,2,3]]}", {}),  # numbers alone would be plain
    (TFS, b'{"inputs": {"x": [[1, 2, 3, 4]]}}', {}),
    (TFS, b'{"instances": [[NaN, 2, -Infinity, 4]]}', {}),
    (TFS, b'{"signature_name": "serving_default", "instances": [[1, 2, 3, 4]]}', {}),
    ("/v1/models/pairs:predict", b'{"instances": [{"a": [1, 2], "b": 3}]}', {}),
    (TFS, b'{"instances": [[1, 2, 3, 4]', {}),
    (TFS, b"[]", {}),
    (TFS, b'{"signature_name": 1}', {}),
    (TFS, b'{"instances": [], "signature_name": "s"}', {}),
    (TFS, b'{"instances": []}', {}),
    (TFS, b'{"instances": [[1, 2, 3, 4], [1, 2]]}', {}),
    (TFS, b'{"instances": [["a", 2, 3, 4]]}', {}),
    (TFS, b'{"instances": [[1, 2, 3]]}', {}),
    (TFS, b'{"instances": "bad"', {"x-tandem-timeout-ms": "soon"}),
    (TFS, b'{"instances": "bad"}', {"x-tandem-timeout-ms": "soon"}),
    (TFS, b'{"instances": "bad"}', {"x-tandem-arm": "none"}),
    ("/v1/models/none:predict", b'{"instances"', {}),
    ("/v1/models/none:predict", b'{"instances": "bad"}', {}),
    ("/v1/models/floats/versions/9:predict", b'{"instances": []}', {}),
    ("/v1/models/floats/labels/l:predict", b'{"instances": []}', {}),
    (OIP, oip_tensor(), {}),
    (OIP, oip_tensor(data="[NaN, 2, -Infinity, 4]"), {}),
    (OIP, oip_tensor(data="[1, 2]"), {}),
    (OIP, oip_tensor(data="[[1, 2], [3]]"), {}),
    (OIP, oip_tensor(shape="[1, 3]", data="[1, 2, 3]"), {}),
    (OIP, oip_tensor(datatype='"FLOAT"'), {}),
    (OIP, b'{"inputs": [', {"x-tandem-timeout-ms": "soon"}),
    (OIP, oip_tensor(), {"x-tandem-timeout-ms": "soon"}),
    (OIP, b'{"inputs": [], "parameters": {"timeout": -1}}', {}),
    (OIP, b"{}", {}),
    ("/v2/models/none/infer", b"[", {}),
    ("/v2/models/none/infer", oip_tensor(), {}),
]


def test_large_bodies_get_the_answers_that_small_ones_get(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(stack: Stack) -> None:
        for path, body, headers in SAME:
            sent = {"x-request-id": "the same", **headers}
            with monkeypatch.context() as patch:
                for module in (tfs_rest, oip_rest):
                    patch.setattr(module, "HEAVY_BYTES", sys.maxsize)
                    patch.setattr(module, "are_heavy", lambda _: False)
                before = jobs(stack)
                inline = await stack.rest.post(path, content=padded(body), headers=sent)
                assert jobs(stack) == before
            heavy = await stack.rest.post(path, content=padded(body), headers=sent)
            assert jobs(stack) > before
            assert (heavy.status_code, heavy.content) == (inline.status_code, inline.content), body
        assert stack.count("tandem_requests_total") == 2 * len(SAME)

    against(tmp_path, scenario)


def test_a_large_json_part_before_raw_bytes_is_read_with_them(tmp_path: Path) -> None:
    part = padded(
        b'{"parameters": {"binary_data_output": true}, "inputs": [{"name": "x", "shape": [1, 4],'
        b' "datatype": "FP32", "parameters": {"binary_data_size": 16}}]}'
    )
    raw = np.array([1, 2, 3, 4], np.float32).tobytes()

    async def scenario(stack: Stack) -> None:
        headers = {"inference-header-content-length": str(len(part))}
        answer = await stack.rest.post(OIP, content=part + raw, headers=headers)
        size = int(answer.headers["inference-header-content-length"])
        assert np.frombuffer(answer.content[size:], np.float32).tolist() == [3, 5, 7, 9]
        assert jobs(stack) == 1
        headers = {"inference-header-content-length": str(10**9)}  # says nothing of the size
        wrong = await stack.rest.post(OIP, content=raw, headers=headers)
        assert (wrong.status_code, jobs(stack)) == (400, 1)

    against(tmp_path, scenario)


def test_bodies_leave_the_event_loop_above_16_kib(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        for path, body in ((TFS, SMALL), (OIP, oip_tensor())):
            before = jobs(stack)
            for size, there in ((HEAVY_BYTES, 0), (HEAVY_BYTES + 1, 1)):
                answer = await stack.rest.post(path, content=padded(body, size))
                assert (answer.status_code, jobs(stack) - before) == (200, there)

    assert HEAVY_BYTES == 16 * 1024
    against(tmp_path, scenario)


def test_answers_leave_the_event_loop_above_8192_elements(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        for count, there in ((2048, 0), (2049, 1)):  # rows of four
            raw = np.tile(np.array([1, 2, 3, 4], np.float32), count).tobytes()
            part = (
                b'{"inputs": [{"name": "x", "shape": [%d, 4], "datatype": "FP32",'
                b' "parameters": {"binary_data_size": %d}}]}' % (count, len(raw))
            )
            headers = {"inference-header-content-length": str(len(part))}
            answer = await stack.rest.post(OIP, content=part + raw, headers=headers)
            assert answer.json()["outputs"][0]["data"] == [3.0, 5.0, 7.0, 9.0] * count
            assert jobs(stack) == there

    assert HEAVY_ELEMENTS == 8192
    against(tmp_path, scenario)


@pytest.mark.parametrize(("size", "at_once"), [(PLAIN_BYTES, True), (PLAIN_BYTES + 1, False)])
def test_plain_numbers_are_read_at_once_up_to_128_kib(size: int, at_once: bool) -> None:  # noqa: FBT001
    tfs, oip = rows(5000), oip_tensor(shape="[2500, 4]", data=f"[{9999 * '1,'}1]")
    assert (tfs_predict.numbers_at_once(padded(tfs, size)) is not None) is at_once
    found = oip_predict.numbers_at_once(padded(oip, size), None, model="m", version=None)
    assert (found is not None) is at_once
    assert PLAIN_BYTES == 128 * 1024


@pytest.mark.parametrize("strange", ["NaN", "true", '"a"', "[1]", "2.4703282292062327208e-324"])
def test_what_is_not_plain_is_not_read_at_once(strange: str) -> None:
    data = f"[{'1,' * 9999}{strange}]"
    assert tfs_predict.numbers_at_once(b'{"instances": %b}' % data.encode()) is None
    oip = oip_tensor(shape="[2500, 4]", data=data)
    assert oip_predict.numbers_at_once(oip, None, model="m", version=None) is None


def test_plain_numbers_stay_on_the_event_loop_if_they_fit(tmp_path: Path) -> None:
    """To say why they do not can take long."""

    async def scenario(stack: Stack) -> None:
        fits = await stack.rest.post(TFS, content=rows(2000))
        assert (fits.status_code, jobs(stack)) == (200, 0)
        floats = b'{"instances": [[' + b"1.5," * 5000 + b"1]]}"
        misfit = await stack.rest.post("/v1/models/tokens:predict", content=floats)
        assert (misfit.status_code, jobs(stack)) == (400, 1)
        assert "is not of expected type: int64" in misfit.json()["error"]

    against(tmp_path, scenario)


def test_strings_count_with_what_they_hold() -> None:
    def strings(*texts: bytes) -> Tensor:
        return Tensor("s", "BYTES", np.array(texts, np.object_))

    assert not are_heavy([strings(b"a" * 8000, b"b" * 8000)])
    assert are_heavy([strings(b"a" * 8000), strings(b"b" * 9000)])
    assert not are_heavy([])


def test_a_table_that_changes_meanwhile_has_the_body_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the signatures known before were of a table that has since been replaced.
    monkeypatch.setattr(tfs_rest, "signatures_of", lambda _: {})

    async def scenario(stack: Stack) -> None:
        answer = await stack.rest.post(TFS, content=padded(SMALL))
        assert answer.json() == {"predictions": [[3.0, 5.0, 7.0, 9.0]]}
        assert jobs(stack) == 2
        assert stack.count("tandem_assignments_total") == 1

    against(tmp_path, scenario)


def test_a_body_is_inflated_the_same_on_and_off_the_event_loop(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        answers = set()
        for level in (0, 9):  # 0 compresses nothing: above the threshold
            body = gzip.compress(padded(SMALL, 8000), compresslevel=level)
            assert (len(body) > 1024) is (level == 0)
            answer = await stack.rest.post(TFS, content=body, headers={"content-encoding": "gzip"})
            answers.add((answer.status_code, answer.content))
        assert len(answers) == 1
        broken = gzip.compress(SMALL) + b" " * 2000
        answer = await stack.rest.post(
            TFS, content=broken[:20] + broken[40:], headers={"content-encoding": "gzip"}
        )
        assert answer.status_code == 400

    against(tmp_path, scenario)


@pytest.mark.parametrize("encoding", ["identity", "gzip, identity", "identity,gzip"])
def test_an_encoding_that_is_none_is_not_looked_at(tmp_path: Path, encoding: str) -> None:
    """As TF Serving takes them; an empty body needs no inflating."""

    async def scenario(stack: Stack) -> None:
        body = gzip.compress(SMALL) if "gzip" in encoding else SMALL
        headers = {"content-encoding": encoding}
        answer = await stack.rest.post(TFS, content=body, headers=headers)
        assert answer.status_code == 200
        empty = await stack.rest.post(TFS, content=b"", headers=headers)
        assert empty.json() == {"error": "JSON Parse error: The document is empty"}

    against(tmp_path, scenario)
