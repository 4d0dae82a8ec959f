"""The gateway inside a real Envoy: both protocols on either port, who leaves, and large bodies."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest

from gateway.codecs import tfs_proto
from gateway.http1.listen import split
from gateway.messages import InferRequest
from gateway.tensors import Tensor
from tests.fakes.arithmetic import Gate
from tests.front.envoys import (
    PATH,
    PREDICT,
    REQUEST,
    TOKENS,
    Behind,
    against,
    count,
    predict,
    queued,
    until,
)

pytestmark = pytest.mark.slow


def test_either_port_serves_both_protocols(tmp_path: Path) -> None:
    async def scenario(behind: Behind, _: grpc.aio.Channel) -> None:
        for address in (behind.envoy.addresses["rest"], behind.grpc):
            async with (
                httpx.AsyncClient(base_url=f"http://{address}") as client,
                grpc.aio.insecure_channel(address) as other,
            ):
                answer = await client.post(PATH, json={"instances": [[1, 2]]})
                assert answer.json() == {"predictions": [3]}
                assert "server" not in answer.headers
                call = predict(other)(
                    tfs_proto.encode_request(REQUEST), metadata=(("x-request-id", "mine"),)
                )
                outputs = tfs_proto.decode_response(await call).outputs
                assert outputs[0].array.tolist() == [[3, 5, 7, 9]]
                assert dict(await call.trailing_metadata())["x-request-id"] == "mine"

    against(tmp_path, scenario)


def test_a_refusal_has_its_code_and_its_text(tmp_path: Path) -> None:
    async def scenario(_: Behind, channel: grpc.aio.Channel) -> None:
        wrong = InferRequest(model="nö", inputs=REQUEST.inputs)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await predict(channel)(tfs_proto.encode_request(wrong))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        assert refused.value.details() == "Servable not found for request: Latest(nö)"
        nowhere: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/a/B")
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await nowhere(b"")
        assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED

    against(tmp_path, scenario)


def test_a_path_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    async def scenario(behind: Behind, _: grpc.aio.Channel) -> None:
        for path in ("%FF%FE", "a%C3", "%%FF"):
            answer = await behind.rest.get(f"/v1/models/{path}")
            assert answer.status_code == 400
            assert answer.json() == {"error": "Malformed request: the path is no UTF-8"}
        for path, model in (("%C3%A9", "é"), ("%F0%9F%98%80", "😀")):
            answer = await behind.rest.get(f"/v1/models/{path}")
            assert answer.json() == {"error": f"Could not find any versions of model {model}"}

    against(tmp_path, scenario)


def test_a_compressing_client_is_understood(tmp_path: Path) -> None:
    async def scenario(_: Behind, channel: grpc.aio.Channel) -> None:
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            call = predict(channel)(tfs_proto.encode_request(REQUEST), compression=compression)
            outputs = tfs_proto.decode_response(await call).outputs
            assert outputs[0].array.tolist() == [[3, 5, 7, 9]]

    against(tmp_path, scenario)


def test_a_call_that_is_cancelled_or_too_late_is_given_up(tmp_path: Path) -> None:
    gate = Gate()

    async def scenario(behind: Behind, channel: grpc.aio.Channel) -> None:
        data = tfs_proto.encode_request(TOKENS)
        first = predict(channel)(data)
        await gate.reached()
        leaver = predict(channel)(data)
        await until(lambda: queued(behind, 1))
        leaver.cancel()
        await until(lambda: queued(behind, 0))
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await predict(channel)(data, timeout=0.2)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: queued(behind, 0))
        gate.opened.set()
        await first
        assert await count(behind, "tandem_requests_total", reason="caller_left") >= 1
        assert behind.backends["tf"].batches == [1]

    against(tmp_path, scenario, fault=gate)


def test_a_client_that_gives_up_most_of_its_calls_keeps_the_others(tmp_path: Path) -> None:
    gate = Gate()

    async def scenario(behind: Behind, channel: grpc.aio.Channel) -> None:
        data = tfs_proto.encode_request(TOKENS)
        first = predict(channel)(data)
        await gate.reached()
        for _ in range(10):
            leavers = [predict(channel)(data) for _ in range(30)]
            await until(lambda: queued(behind, 30))
            for leaver in leavers:
                leaver.cancel()
            await until(lambda: queued(behind, 0))
        gate.opened.set()
        assert tfs_proto.decode_response(await first).outputs[0].array.tolist() == [3]
        assert await count(behind, "tandem_in_flight_requests") == 0

    against(tmp_path, scenario, fault=gate)


def test_an_http_client_that_leaves_is_given_up(tmp_path: Path) -> None:
    gate = Gate()

    async def scenario(behind: Behind, _: grpc.aio.Channel) -> None:
        body = json.dumps({"instances": [[1]]}).encode()
        host, port = split(behind.envoy.addresses["rest"])
        async with asyncio.TaskGroup() as group:
            first = group.create_task(behind.rest.post(PATH, content=body))
            await gate.reached()
            leaver = await asyncio.open_connection(host, port)
            head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
            leaver[1].write(head.encode() + body)
            await until(lambda: queued(behind, 1))
            leaver[1].close()
            await until(lambda: queued(behind, 0))
            gate.opened.set()
        assert first.result().json() == {"predictions": [1]}
        assert await count(behind, "tandem_requests_total", reason="caller_left") == 1

    against(tmp_path, scenario, fault=gate)


def test_large_messages_pass_and_larger_ones_are_refused(tmp_path: Path) -> None:
    async def scenario(behind: Behind, channel: grpc.aio.Channel) -> None:
        ids = np.ones((1, 500_000), np.int64)
        large = InferRequest(model="tokens", inputs=(Tensor("ids", "INT64", ids),))
        answer = await predict(channel)(tfs_proto.encode_request(large), timeout=60)
        assert tfs_proto.decode_response(answer).outputs[0].array.tolist() == [500_000]
        for size, says in ((6_000_000, "limits.max_body_bytes"), (11_000_000, "larger than max")):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await predict(channel)(bytes(size), timeout=60)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert says in str(refused.value.details())
        packed = gzip.compress(json.dumps({"instances": [[1, 2]]}).encode())
        small = await behind.rest.post(PATH, content=packed, headers={"content-encoding": "gzip"})
        assert small.json() == {"predictions": [3]}

    against(tmp_path, scenario, "[limits]\nmax_body_bytes = 5000000\n")


def test_a_request_that_does_not_arrive_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario(behind: Behind, _: grpc.aio.Channel) -> None:
        host, port = split(behind.envoy.addresses["rest"])
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{{".encode())
        async with asyncio.timeout(20):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()

    against(tmp_path, scenario, "[limits]\ndefault_timeout_s = 0.2\n")
    assert "Exception in callback" not in capfd.readouterr().err  # for the part that comes no more


def test_a_call_that_does_not_arrive_is_refused_with_a_status(tmp_path: Path) -> None:
    async def scenario(_: Behind, channel: grpc.aio.Channel) -> None:
        endless: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(PREDICT)
        call = endless()  # and nothing is written
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await call
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert late.value.details() == "the request has not arrived whole within 0.2 s"

    against(tmp_path, scenario, "[limits]\ndefault_timeout_s = 0.2\n")
