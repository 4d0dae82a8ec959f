"""Do the examples of the manuals run? Every `curl` in them, as it stands but for the port."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.conftest import Up

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

ROOT = Path(__file__).resolve().parents[2]
MANUALS = ("README.md", "gateway/README.md", "serving/torch_server/README.md")
# A command in a block of code, with the lines that it continues on.
_CURL = re.compile(r"^ *(curl (?:[^\n]*\\\n)*[^\n]*)", re.MULTILINE)


def examples() -> Iterator[tuple[str, str]]:
    for manual in MANUALS:
        for command in _CURL.findall((ROOT / manual).read_text()):
            yield manual, command.partition(" #")[0]


EXAMPLES = [*examples()]


def ports(up: Up) -> Mapping[str, str]:
    """Where the manuals' servers listen in this test."""
    torch = {"8610": up.torch_rest, "8611": up.torch}
    return {"8080": up.rest, "8081": up.grpc, "8082": up.admin, **torch}


def test_there_are_examples() -> None:
    assert {"README.md", "serving/torch_server/README.md"} <= {manual for manual, _ in EXAMPLES}


@pytest.mark.parametrize(("manual", "command"), EXAMPLES)
def test_an_example_runs(stack: Up, manual: str, command: str) -> None:
    for port, address in ports(stack).items():
        command = re.sub(rf"(?:127\.0\.0\.1|localhost):{port}\b", address, command)
    status = "\\n%{http_code} %{content_type}"
    ran = subprocess.run(
        ["/bin/sh", "-c", f"{command} --silent --max-time 60 --write-out '{status}'"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{manual}: {ran.stderr}"
    body, _, told = ran.stdout.rpartition("\n")
    assert told.startswith("200 "), f"{manual}: {body}"
    if "json" in told:
        json.loads(body)
