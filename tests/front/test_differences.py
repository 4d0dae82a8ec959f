"""What the manual's table says that the two fronts answer differently, each asked by hand."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Final

import grpc
import pytest

from tests.fakes import gateways
from tests.front import envoys
from tests.golden.raw_http import HttpAnswer, converse

pytestmark = pytest.mark.slow

_BODY = gzip.compress(b'{"instances": [[1, 2]]}')
_TWICE = "content-encoding: gzip\r\ncontent-encoding: gzip\r\n"

ASKED: Final = (
    b"GET /v2/health/live HTTP/1.0\r\n\r\n",
    b"GET /v2/health/live HTTP/1.1\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /v2/health/live HTTP/1.1\nhost: x\n\n",
    f"POST {envoys.PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(_BODY)}\r\n{_TWICE}\r\n".encode()
    + _BODY,
)
OWN: Final = (200, 200, 400, 400, 200)
ENVOY: Final = (200, 400, 307, 200, 501)
IDS: Final = (
    b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\nx-request-id: a\r\nx-request-id: b\r\n\r\n"
)


async def _asked(address: str, request: bytes) -> HttpAnswer:
    """Each on a connection of its own: some end it."""
    (answer,) = await converse(address, [request])
    assert answer is not None
    return answer


def test_our_own_server_answers_as_the_table_says(tmp_path: Path) -> None:
    async def scenario(stack: gateways.Stack) -> None:
        address = stack.gateway.addresses["rest"]
        told = [(await _asked(address, request)).status for request in ASKED]
        assert tuple(told) == OWN
        assert (await _asked(address, IDS)).headers["x-request-id"] == "b"

    gateways.against(tmp_path, scenario)


def test_envoy_answers_as_the_table_says(tmp_path: Path) -> None:
    async def scenario(behind: envoys.Behind, _: grpc.aio.Channel) -> None:
        address = behind.envoy.addresses["rest"]
        async with asyncio.timeout(60):
            told = [(await _asked(address, request)).status for request in ASKED]
            assert tuple(told) == ENVOY
            assert (await _asked(address, IDS)).headers["x-request-id"] == "a,b"

    envoys.against(tmp_path, scenario)
