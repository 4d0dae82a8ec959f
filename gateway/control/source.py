"""What does the configuration file say, and what is wrong with it?

    file ─read─▶ text ─tomllib─▶ tables ─schema─▶ Config ─cross_references, addresses─▶ Config

Rules:
- Every problem of a file is reported at once, each with its line, what was got and what was wanted.
- Strict: an unknown key, `"8"` for a number or `1` for a string is an error, never a guess.
- `parse` is pure; `load` and `ConfigFile` are the only parts that touch the disk.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import tomllib
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from datetime import date, time
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import TypeAdapter, ValidationError

from gateway.config import Config, cross_references
from gateway.control import toml_lines
from gateway.control.addresses import ListenOverrides, address_complaints, split_address
from gateway.control.complaints import ConfigError, Problem, complaint, display, show_place
from gateway.control.stand_ins import is_about, replace_wrong
from gateway.control.toml_lines import Place

__all__ = [
    "MAX_FILE_BYTES",
    "ConfigError",
    "ConfigFile",
    "ListenOverrides",
    "Problem",
    "load",
    "parse",
    "split_address",
]

MAX_FILE_BYTES = 1024 * 1024  # also below what a Kubernetes ConfigMap may hold

_SCHEMA: TypeAdapter[Config] = TypeAdapter(Config)
_MAX_BITS = 63  # TOML promises no more, and a longer integer would become an infinite float
_SYNTAX = re.compile(
    r"(?P<what>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)", re.DOTALL
)
# What reading a file gave: its bytes, or why there are none. Compared to see a change.
_Snapshot: TypeAlias = bytes | Problem
_Found: TypeAlias = tuple[Place, str]


def load(path: Path, listen: ListenOverrides | None = None) -> Config:
    """Read and check a file; blocks on the disk.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong.
    """
    return _understand(_read(path), path, listen or ListenOverrides())


def parse(text: str, origin: str) -> Config:
    """Check the text of a configuration file. `origin` names it in problems.

    Raises:
        ConfigError: with everything that is wrong, in the order of the file.
    """
    tables, index = _tables(text, origin)
    config, found = _check(tables)
    if config is None or found:
        problems = (
            Problem(
                origin=origin,
                line=toml_lines.line_of(index, place),
                place=show_place(place),
                message=message,
            )
            for place, message in found
        )
        raise ConfigError(tuple(sorted(problems, key=lambda problem: problem.line or 0)))
    return config


class ConfigFile:
    """A configuration file that may change while we run.

    Invariant: `_seen` is what the newest `load`, or the newest value of `changes`, was made from, so a
    change between `load` and `changes` is not missed.
    """

    def __init__(self, path: Path, listen: ListenOverrides | None = None) -> None:
        self.path = path
        self._listen = listen or ListenOverrides()
        self._seen: _Snapshot | None = None

    def load(self) -> Config:
        """Read and check the file now; blocks on the disk.

        Raises:
            ConfigError: it cannot be read, or something in it is wrong.
        """
        self._seen = _read(self.path)
        return _understand(self._seen, self.path, self._listen)

    @property
    def text(self) -> str:
        """What the newest `load`, or the newest value of `changes`, was made from; "" if there was none."""
        seen = self._seen
        return seen.decode("utf-8-sig") if isinstance(seen, bytes) else ""

    async def changes(self, poll_s: float) -> AsyncGenerator[Config | ConfigError, None]:
        """Yield what the file says whenever its bytes have changed; never ends by itself.

        The path is opened anew every `poll_s` seconds, which also follows the symlink that Kubernetes
        swaps for a ConfigMap and a file replaced by rename; modification times follow neither. A change
        counts once two reads in a row agree: the first may have met a half-written file, whose first
        half can be a valid file with fewer models. A file that goes missing is one `ConfigError`.
        """
        pending: _Snapshot | None = None
        while True:
            await asyncio.sleep(poll_s)
            found = await asyncio.to_thread(_read, self.path)
            if found != self._seen and found == pending:
                self._seen = found
                yield await asyncio.to_thread(self._outcome, found)
            pending = found

    def _outcome(self, snapshot: _Snapshot) -> Config | ConfigError:
        try:
            return _understand(snapshot, self.path, self._listen)
        except ConfigError as exc:
            return exc


def _read(path: Path) -> _Snapshot:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        return Problem(origin=str(path), line=None, place="", message=_unreadable(exc))
    if len(content) > MAX_FILE_BYTES:
        message = f"is over {MAX_FILE_BYTES} bytes, more than a configuration can sensibly hold"
        return Problem(origin=str(path), line=None, place="", message=message)
    return content


def _unreadable(exc: OSError) -> str:
    if isinstance(exc, FileNotFoundError):
        return "no such file; `tandem.toml` at the root of the repository is a complete example"
    return f"cannot be read: {exc.strerror}"


def _understand(snapshot: _Snapshot, path: Path, listen: ListenOverrides) -> Config:
    if isinstance(snapshot, Problem):
        raise ConfigError((snapshot,))
    try:
        text = snapshot.decode("utf-8-sig")  # some Windows editors write a byte order mark
    except UnicodeDecodeError as exc:
        line = snapshot.count(b"\n", 0, exc.start) + 1
        problem = Problem(origin=str(path), line=line, place="", message="is not UTF-8 text")
        raise ConfigError((problem,)) from exc
    return listen.apply(parse(text, str(path)))


def _tables(text: str, origin: str) -> tuple[dict[str, Any], Mapping[Place, int]]:
    try:
        return tomllib.loads(text), toml_lines.lines(text)
    except tomllib.TOMLDecodeError as exc:
        problem = _syntax_problem(text, origin, str(exc))
    except (ValueError, RecursionError) as exc:  # an integer of 5,000 digits, 1,000 nested arrays
        problem = Problem(origin=origin, line=None, place="", message=f"cannot be read: {exc}")
    raise ConfigError((problem,))


def _syntax_problem(text: str, origin: str, said: str) -> Problem:
    match = _SYNTAX.fullmatch(said)
    if match is None:
        return Problem(origin=origin, line=None, place="", message=f"not TOML: {said}")
    line = int(match["line"]) if match["line"] else text.rstrip().count("\n") + 1
    return Problem(origin=origin, line=line, place="", message=f"not TOML: {match['what']}")


def _check(tables: dict[str, Any]) -> tuple[Config | None, list[_Found]]:
    """The configuration where nothing hides it, and everything that is wrong.

    What the schema refuses is replaced in `tables` by what it takes, so that what lies behind is seen too.
    """
    found = list(_outside_schema(tables, ()))
    replace_wrong(tables, [place for place, _ in found])
    config, refused = _validate(tables)
    found += refused
    if config is None:
        replace_wrong(tables, [place for place, _ in refused])
        config, refused = _validate(tables)
    wrong = [place for place, _ in found]
    if config is None:
        return None, found + [entry for entry in refused if not is_about(entry[0], wrong)]
    behind = [*_contradictions(tables, config, wrong), *address_complaints(config)]
    found += [(place, message) for place, message in behind if not is_about(place, wrong)]
    return config, found


def _validate(tables: dict[str, Any]) -> tuple[Config | None, list[_Found]]:
    try:
        return _SCHEMA.validate_json(json.dumps(tables), strict=True), []
    except ValidationError as exc:
        errors = exc.errors(include_url=False)
        return None, [(error["loc"], complaint(error)) for error in errors]


def _outside_schema(value: object, place: Place) -> Iterator[_Found]:
    """TOML values that no setting takes, and that JSON (which the schema is checked in) has not."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _outside_schema(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _outside_schema(inner, (*place, index))
    elif isinstance(value, float) and not math.isfinite(value):
        yield place, f"got {value}, wants a finite number"
    elif isinstance(value, int) and value.bit_length() > _MAX_BITS:
        yield place, f"got {display(value)}, wants a number that 64 bits can hold"
    elif isinstance(value, date | time):
        yield (
            place,
            f"got the date or time {value}, which no setting takes; a string goes in quotes",
        )


def _contradictions(tables: dict[str, Any], config: Config, wrong: list[Place]) -> Iterator[_Found]:
    # A model may be called "minilm.v2", so a dotted place cannot simply be cut at its dots.
    places = {show_place(place): place for place in _places(tables, ())}
    replaced = {show_place(place) for place in wrong}
    for place, message, against in cross_references(config):
        if against not in replaced:
            yield _written(place, places), message


def _written(dotted: str, places: Mapping[str, Place]) -> Place:
    """The place that is called this; one that the file leaves out to its default, in what is there."""
    if dotted in places:
        return places[dotted]
    table, _, setting = dotted.rpartition(".")
    return (*_written(table, places), setting) if table else (dotted,)


def _places(value: object, place: Place) -> Iterator[Place]:
    yield place
    inner: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for part, element in inner:
        yield from _places(element, (*place, part))
