"""Does a gateway follow a model whose versions come and go, as the recorded server did?

One base path, served by a stand-in; the stages are those of the record, each made from the one before it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.codecs.lenient_json import read_json
from tests.golden.exchanges import RestExchange, lifecycle_exchanges
from tests.golden.raw_http import send
from tests.golden.replay import Verdict, replay_rest

MODEL = "m"
TIMEOUT_S = 60
_RECORDED_BASE_PATH = b"/models/run/life"
_QUESTION = RestExchange(
    id=0, group="", method="GET", path=f"/v1/models/{MODEL}", body=b"", status=200, response=b""
)

Change = Callable[[Path, Path], None]
"""Makes a stage, from the base path and the directory of the made models."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What is done to the base path, and the state in which every version then is."""

    change: Change
    states: Mapping[str, str]


def half_plus_two(base: Path, made: Path) -> None:
    """The first version, as every run begins."""
    shutil.copytree(made / "half_plus_two" / "00000123", base / "1")


def _half_plus_three(base: Path, made: Path) -> None:
    _move_in(made / "half_plus_three" / "00000123", base / "2")


def _garbage(base: Path, _: Path) -> None:
    aside = base.parent / "aside"
    aside.mkdir()
    (aside / "saved_model.pb").write_bytes(b"garbage")
    aside.rename(base / "3")


def _empty(base: Path, _: Path) -> None:
    (base / "4").mkdir()


def _without(*versions: str) -> Change:
    def change(base: Path, _: Path) -> None:
        for version in versions:
            shutil.rmtree(base / version)

    return change


def _odd_names(base: Path, made: Path) -> None:
    half_plus_two_again = made / "half_plus_two" / "00000123"
    for name in ("notanumber", "007x", "0005"):
        _move_in(half_plus_two_again, base / name)


def _move_in(source: Path, target: Path) -> None:
    """Copy aside and rename: nobody sees half a model."""
    aside = target.parent.parent / "aside"
    shutil.copytree(source, aside)
    aside.rename(target)


_OVER = dict.fromkeys(("4", "3", "1"), "END")
STAGES: Mapping[str, Stage] = {
    "v1 only": Stage(lambda *_: None, {"1": "AVAILABLE"}),
    "v2 (half plus three) added": Stage(_half_plus_three, {"2": "AVAILABLE", "1": "END"}),
    "v3 garbage saved_model.pb added": Stage(_garbage, {"3": "END", "2": "AVAILABLE", "1": "END"}),
    "v4 empty dir added": Stage(_empty, {**_OVER, "2": "AVAILABLE"}),
    "v3 and v4 deleted": Stage(_without("3", "4"), {**_OVER, "2": "AVAILABLE"}),
    "v2 deleted: back to v1": Stage(_without("2"), {**_OVER, "2": "END", "1": "AVAILABLE"}),
    "notanumber, 007x, 0005 added": Stage(_odd_names, {**_OVER, "5": "AVAILABLE", "2": "END"}),
    "all versions deleted": Stage(_without("0005", "1"), {**_OVER, "5": "END", "2": "END"}),
}


async def replay_lifecycle(gateway: Mapping[str, str], base: Path, made: Path) -> list[Verdict]:
    """Make stage after stage in `base`, and ask the gateway what was recorded of each."""
    address = gateway["rest"]
    verdicts = []
    for note, stage in STAGES.items():
        stage.change(base, made)
        await _until(address, stage.states)
        asked = [
            _moved(exchange, base) for exchange in lifecycle_exchanges() if exchange.note == note
        ]
        verdicts += await replay_rest(address, asked)
    return verdicts


def _moved(exchange: RestExchange, base: Path) -> RestExchange:
    response = exchange.response.replace(_RECORDED_BASE_PATH, str(base).encode())
    return replace(exchange, response=response)


async def _until(address: str, wanted: Mapping[str, str]) -> None:
    """Wait until the gateway tells these states; both it and the stand-in look now and then."""
    async with asyncio.timeout(TIMEOUT_S):
        while await _states(address) != wanted:  # noqa: ASYNC110 - nobody owes us an event
            await asyncio.sleep(0.05)


async def _states(address: str) -> Mapping[str, str]:
    document = read_json((await send(address, _QUESTION)).body)
    assert isinstance(document, dict)
    told = document.get("model_version_status", [])
    return {version["version"]: version["state"] for version in told}
