"""The life of the gateway inside Envoy: its streams and its requests at the drain, TLS, taken addresses."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import pytest

from gateway.codecs import oip_proto, tfs_proto
from gateway.control.addresses import ListenOverrides
from gateway.front.process import Certificate, EnvoyError, started_envoy
from gateway.http1.listen import ListenError, split
from gateway.messages import InferRequest, InferResponse
from gateway.tensors import Tensor
from tests.fakes.arithmetic import Arithmetic, Gate
from tests.fakes.gateways import LISTEN
from tests.front.envoys import (
    PATH,
    REQUEST,
    TOKENS,
    Behind,
    against,
    behind_envoy,
    predict,
    queued,
    until,
)

pytestmark = pytest.mark.slow

STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
WATCH = "/grpc.health.v1.Health/Watch"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
NOTHING_HAPPENS_S = 1.0
LONG = 24_000_000
"""Bytes of an answer that no socket's buffer holds."""
_TENSORS = (
    b'{"inputs": [{"name": "ids", "datatype": "INT64", "shape": [1, 1], "data": [1]},'
    b' {"name": "mask", "datatype": "INT64", "shape": [1, 1], "data": [1]}]}'
)
SLOW = b"POST /v2/models/masked/infer HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (
    len(_TENSORS),
    _TENSORS,
)
EMPTY = f"{LISTEN}\n[backends]\n[models]\n"


def test_streams_answer_in_order_and_end_with_the_drain(tmp_path: Path) -> None:
    async def scenario(behind: Behind, channel: grpc.aio.Channel) -> None:
        watched: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(WATCH)
        streamed: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(STREAM)
        watch = watched(b"")
        assert await watch.read() == SERVING
        stream = streamed()
        for name in ("a", "b", "c"):
            request = InferRequest(model="floats", inputs=REQUEST.inputs, id=name)
            await stream.write(oip_proto.encode_request(request))
        for wanted in (b"a", b"b", b"c"):
            answer = await stream.read()
            assert isinstance(answer, bytes)
            assert wanted in answer
        await behind.envoy.stop()
        assert await watch.read() == NOT_SERVING
        assert await watch.code() is grpc.StatusCode.OK
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.read()
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        assert ended.value.details() == "the gateway is draining"

    against(tmp_path, scenario)


def test_what_was_accepted_is_answered_before_the_end(tmp_path: Path) -> None:
    gate = Gate()

    async def scenario(behind: Behind, channel: grpc.aio.Channel) -> None:
        async with asyncio.TaskGroup() as group:
            rest = group.create_task(behind.rest.post(PATH, json={"instances": [[1]]}))
            await gate.reached()
            call = group.create_task(_asked(channel))
            await until(lambda: queued(behind, 1))
            stopping = group.create_task(behind.envoy.stop())
            await until(lambda: _refuses(behind))
            assert not stopping.done()
            gate.opened.set()
        assert rest.result().json() == {"predictions": [1]}
        assert tfs_proto.decode_response(call.result()).outputs[0].array.tolist() == [3]

    against(tmp_path, scenario, fault=gate)


def test_who_reads_slowly_gets_the_whole_answer_before_the_end(tmp_path: Path) -> None:
    """Much of it is in Envoy's hands, when the gateway has long done its part."""

    async def run() -> None:
        models = '[models.masked.arms.tf]\nbackend = "tf"\n'
        backends = {"tf": Arithmetic(fault=_long), "torch": Arithmetic()}
        async with behind_envoy(
            tmp_path / "tandem.toml", models=models, backends=backends
        ) as behind:
            with socket.create_connection(split(behind.envoy.addresses["rest"])) as client:
                client.sendall(SLOW)
                head = await asyncio.to_thread(client.recv, 1)
                async with asyncio.TaskGroup() as group:
                    stopping = group.create_task(behind.envoy.stop())
                    await asyncio.wait({stopping}, timeout=NOTHING_HAPPENS_S)
                    rest = await asyncio.to_thread(_read_all, client)
            answer = head + rest
            told = re.search(rb"content-length: (\d+)", answer)
            assert told is not None
            assert len(answer.partition(b"\r\n\r\n")[2]) == int(told[1]) > LONG

    asyncio.run(run())


async def _long(request: InferRequest) -> InferResponse:
    squares = np.full((1, LONG // 8), 10_000_000, np.int64)
    mean = Tensor("mean", "FP32", np.zeros(1, np.float32))
    outputs = (mean, Tensor("squares", "INT64", squares))
    return InferResponse(model="masked", version="1", outputs=outputs, signature=request.signature)


def _read_all(client: socket.socket) -> bytes:
    client.settimeout(30)
    return b"".join(iter(lambda: client.recv(1 << 20), b""))


async def _asked(channel: grpc.aio.Channel) -> bytes:
    return await predict(channel)(tfs_proto.encode_request(TOKENS))


async def _refuses(behind: Behind) -> bool:
    host, port = split(behind.envoy.addresses["rest"])
    try:
        _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


def test_tls_is_served_on_either_port(tmp_path: Path) -> None:
    certificate = Certificate(chain=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    asked = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
    ]
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    made = ("-keyout", str(certificate.key), "-out", str(certificate.chain))
    subprocess.run(["openssl", *asked, names, *made], check=True, capture_output=True)

    async def run() -> None:
        trusted = grpc.ssl_channel_credentials(certificate.chain.read_bytes())
        async with (
            behind_envoy(tmp_path / "tandem.toml", certificate=certificate) as behind,
            grpc.aio.secure_channel(behind.grpc, trusted) as channel,
        ):
            assert (await behind.rest.post(PATH, json={"instances": [[1, 2]]})).status_code == 200
            await predict(channel)(tfs_proto.encode_request(REQUEST))

    asyncio.run(run())


def test_an_address_that_is_taken_is_told_with_its_setting(tmp_path: Path) -> None:
    async def run() -> None:
        async with behind_envoy(tmp_path / "tandem.toml") as behind:
            for name in ("rest", "grpc", "admin"):
                taken = ListenOverrides(**{name: behind.envoy.addresses[name]})
                with pytest.raises(ListenError, match=f"listen.{name}: cannot listen"):
                    async with started_envoy(tmp_path / "tandem.toml", taken):
                        pass

    asyncio.run(run())


def test_a_missing_envoy_is_told_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyvoy", None)
    (tmp_path / "tandem.toml").write_text(EMPTY)

    async def run() -> None:
        async with started_envoy(tmp_path / "tandem.toml", ListenOverrides()):
            pass

    with pytest.raises(EnvoyError, match=r"pip install tandem-gateway\[envoy\]"):
        asyncio.run(run())


def test_the_command_drains_at_sigterm_and_exits_0(root: Path, tmp_path: Path) -> None:
    (tmp_path / "tandem.toml").write_text(EMPTY)
    argv = [sys.executable, "-m", "gateway", "serve", str(tmp_path / "tandem.toml")]
    with subprocess.Popen(
        [*argv, "--front", "envoy"], cwd=root, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert any("the gateway is ready" in line for line in process.stderr)
        process.terminate()
        rest = process.stderr.read()
        assert process.wait(60) == 0
    assert "the gateway has stopped" in rest


@pytest.mark.parametrize("flags", [["--tls-cert", "a"], ["--front", "envoy", "--tls-key", "b"]])
def test_tls_needs_envoy_and_both_files(flags: list[str], root: Path, tmp_path: Path) -> None:
    (tmp_path / "tandem.toml").write_text(EMPTY)
    argv = [sys.executable, "-m", "gateway", "serve", str(tmp_path / "tandem.toml"), *flags]
    ended = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 2
    assert "--tls-cert and --tls-key" in ended.stderr
