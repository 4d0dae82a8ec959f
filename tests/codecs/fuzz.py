"""Which bytes break a codec? A search by coverage, for as long as one likes.

    tests/clients/install.sh
    .venv-clients/bin/python -m tests.codecs.fuzz -max_total_time=300 -timeout=5

Every decoder of tests/codecs/decoders.py, chosen by the first byte; arguments are libFuzzer's. Any error that
is not a `GatewayError` ends it and leaves the bytes in a file, and so does an input that takes over `-timeout`.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gateway"]):
    from gateway.errors import GatewayError
    from tests.codecs.decoders import DECODERS

_TABLE = tuple(DECODERS.values())


def read(data: bytes) -> None:
    """One input: which decoder, and what it gets."""
    if data:
        with contextlib.suppress(GatewayError):
            _TABLE[data[0] % len(_TABLE)].read(data[1:])


def main() -> None:
    """Begin from the seeds of the table, and search."""
    with tempfile.TemporaryDirectory() as corpus:
        for index, decoder in enumerate(_TABLE):
            for number, seed in enumerate(decoder.seeds):
                (Path(corpus) / f"{index}-{number}").write_bytes(bytes([index]) + seed)
        atheris.Setup([sys.argv[0], *sys.argv[1:], corpus], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
