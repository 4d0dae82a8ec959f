"""Clients and searchers that are not ours, unchanged, against a running gateway.

They live in an environment of their own, .venv-clients; `make test-peers` installs it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gateways import Stack, running

pytestmark = [pytest.mark.slow, pytest.mark.peers]

ENVIRONMENT = ".venv-clients"
VALUES = [[3.0, 5.0, 7.0, 9.0], [0.0, 1.0, 1.5, 2000001.0]]
CHECKS = "not_a_server_error,response_schema_conformance,status_code_conformance"


@pytest.fixture(scope="module")
def scripts(root: Path) -> Path:
    """Where the environment's programs are."""
    if not (root / ENVIRONMENT / "ready").exists():
        pytest.skip(f"{ENVIRONMENT} is missing: run tests/clients/install.sh")
    return root / ENVIRONMENT / "bin"


def test_the_clients_of_kserve(scripts: Path, tmp_path: Path) -> None:
    argv = [scripts / "python", "-m", "tests.clients.ask_kserve"]
    told = json.loads(_ran(tmp_path, lambda s: [*argv, s.gateway.addresses["rest"], s.grpc]))
    v1, v2, grpc = told["v1"], told["v2"], told["grpc"]
    assert v1["values"] == VALUES
    assert all(v1[asked] for asked in ("live", "ready"))
    for protocol in (v2, grpc):
        assert all(protocol[asked] for asked in ("live", "server_ready", "ready"))
        for form in ("listed", "binary"):
            assert protocol[form]["values"] == VALUES
            assert (protocol[form]["name"], protocol[form]["datatype"]) == ("y", "FP32")
            assert (protocol[form]["id"], protocol[form]["model"]) == ("mine", "floats")
            assert protocol[form]["version"] in {"1", None}  # the client itself drops it from bytes
    assert not v2["none_ready"]
    for protocol in (v1, v2, grpc):
        assert "none" in protocol["refusal"]
    assert "404" in v1["refusal"]


def test_no_generated_request_breaks_the_rest_api(scripts: Path, tmp_path: Path) -> None:
    """Schemathesis makes requests from /openapi.json, right and wrong ones, from a fixed seed."""
    program = str(scripts / "schemathesis")

    def argv(stack: Stack) -> list[str]:
        url = f"http://{stack.gateway.addresses['rest']}/openapi.json"
        return [program, "run", url, "--checks", CHECKS, "--seed", "1", "--max-examples", "30"]

    assert "Tested:" in _ran(tmp_path, argv)


def _ran(path: Path, argv_for: Any) -> str:
    """What a program printed that ran beside a gateway, and ended well."""

    async def run() -> str:
        async with running(path / "tandem.toml") as stack:
            return await _output(argv_for(stack), path)

    return asyncio.run(run())


async def _output(argv: Sequence[str], cwd: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *map(str, argv), cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(300):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, (out + err).decode()[-4000:]
    return out.decode()
