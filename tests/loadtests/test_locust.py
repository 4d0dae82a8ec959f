"""Does Locust, as a user starts it, find a sound gateway sound, and anything else not?

Locust runs as a process of its own: it patches the standard library of the one that imports it.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtests.dialects import DIALECTS
from tests.addresses import free_port
from tests.fakes.arithmetic import Arithmetic
from tests.fakes.gateways import Stack, running
from tests.loadtests.stores import SUBJECTS, write_store

pytestmark = pytest.mark.slow

LOCUSTFILE = "loadtests/locustfile.py"
# POST     floats tfs-rest       123     0(0.00%) | …
LINE = re.compile(r"^(?:POST|gRPC) +(\w+ [a-z-]+) +(\d+) +\d+\(", re.MULTILINE)


@dataclass(frozen=True)
class Ran:
    """How a run ended: its exit status, what it printed, and what it counted by line of its table."""

    status: int | None
    text: str
    counts: Mapping[str, int]


async def locust(root: Path, folder: Path, *arguments: str) -> Ran:
    """Run Locust to its end, with a store in `folder`."""
    if not (folder / "store").exists():
        write_store(folder / "store")
    models = ",".join(SUBJECTS)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "locust", "-f", LOCUSTFILE, "--headless", "--only-summary",
        "--store", str(folder / "store"), "--models", models, "--request-timeout", "10",
        *arguments,
        cwd=root, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(100):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = printed.decode()
    counts = {name: int(requests) for name, requests in LINE.findall(text)}
    return Ran(process.returncode, text, counts)


def towards(stack: Stack) -> tuple[str, ...]:
    rest = stack.gateway.addresses["rest"]
    return ("--host", f"http://{rest}", "--grpc-address", stack.grpc)


def test_all_dialects_and_models_pass_and_both_sides_count_the_same(
    root: Path, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "tandem.toml") as stack:
            ran = await locust(root, tmp_path, "-u", "12", "-r", "12", "-t", "3s", *towards(stack))
            assert ran.status == 0, ran.text
            assert set(ran.counts) == {f"{m} {d}" for m in SUBJECTS for d in DIALECTS}, ran.text
            assert stack.count("tandem_requests_total") == sum(ran.counts.values())
            assert stack.count("tandem_requests_total", reason="ok") == sum(ran.counts.values())
            # Twelve units, and one arm each: both arms of the split are asked.
            assert stack.count("tandem_assignments_total", model="floats", arm="tf") > 0
            assert stack.count("tandem_assignments_total", model="floats", arm="torch") > 0

    asyncio.run(scenario())


def test_wrong_numbers_fail_the_run(root: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        backends = {"tf": Arithmetic(), "torch": Arithmetic(offset=1.01)}
        async with running(tmp_path / "tandem.toml", backends=backends) as stack:
            ran = await locust(root, tmp_path, "-u", "12", "-r", "12", "-t", "2s", *towards(stack))
            assert ran.status == 1, ran.text
            assert "WrongAnswer('y: wrong numbers in " in ran.text
            assert "total: wrong" not in ran.text

    asyncio.run(scenario())


def test_nobody_at_the_address_fails_the_run(root: Path, tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    to = ("--host", f"http://{nobody}", "--grpc-address", nobody)
    ran = asyncio.run(locust(root, tmp_path, "-u", "6", "-r", "6", "-t", "2s", *to))
    assert ran.status == 1, ran.text
    assert f"Failed('http://{nobody}: [Errno 111] Connection refused')" in ran.text
    assert "Failed('UNAVAILABLE: " in ran.text


def test_a_model_that_is_not_built_is_refused_before_the_first_request(
    root: Path, tmp_path: Path
) -> None:
    unbuilt = asyncio.run(locust(root, tmp_path, "--models", "absent"))
    assert (unbuilt.status, unbuilt.counts) == (1, {})
    assert "absent: no version is built; run `make store`" in unbuilt.text


def test_a_misspelt_dialect_is_refused_with_those_there_are(root: Path, tmp_path: Path) -> None:
    misspelt = asyncio.run(locust(root, tmp_path, "--dialects", "tfs-rest,morse"))
    assert (misspelt.status, misspelt.counts) == (2, {})
    assert f"got morse, knows {', '.join(DIALECTS)}" in misspelt.text
