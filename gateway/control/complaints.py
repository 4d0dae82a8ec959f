"""How is what is wrong with a configuration said to the person who wrote it?

Pydantic knows which rule was broken; a person wants what was got, what was wanted, in which unit, and
for a misspelt key the nearest right one.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin, get_type_hints

from gateway.config import Config

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from gateway.control.toml_lines import Place

__all__ = [
    "ConfigError",
    "Problem",
    "complaint",
    "display",
    "required_keys",
    "settings_of",
    "show_place",
    "type_at",
]

_MAX_SHOWN = 60  # characters of a value that is shown in a message

_WANTED = {
    "bool_type": "true or false",
    "dataclass_type": "a table",
    "float_type": "a number",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "int_type": "a whole number",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "mapping_type": "a table",
    "dict_type": "a table",
    "string_type": "a string",
    "tuple_type": "an array",
}

# The unit that ends a setting's name, as a person says it.
_UNITS = {"_ms": "milliseconds", "_s": "seconds", "_bytes": "bytes", "_rows": "rows"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong. `line` counts from 1, None where no line can be blamed."""

    origin: str
    line: int | None
    place: str
    message: str

    def __str__(self) -> str:
        where = self.origin if self.line is None else f"{self.origin}:{self.line}"
        return "  ".join(part for part in (where, self.place, f" {self.message}") if part)


class ConfigError(Exception):
    """The configuration cannot be used; nothing was changed.

    Attributes:
        problems: All that is wrong, in the order of the file; never empty.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def show_place(place: Place) -> str:
    """`("models", "iris", "shadow", 0, "arm")` as `models.iris.shadow[0].arm`."""
    shown = ""
    for part in place:
        shown += f"[{part}]" if isinstance(part, int) else f".{part}"
    return shown.removeprefix(".")


def display(value: object) -> str:
    """A value as the file has it, short enough for one line."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str | bool | int):
        text = json.dumps(value, ensure_ascii=False)
    else:
        text = str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}… ({len(text)} characters)"


def complaint(error: ErrorDetails) -> str:
    """One schema error as a sentence: what was got, what was wanted."""
    if error["type"] == "unexpected_keyword_argument":
        return _unknown_key(error["loc"])
    if error["type"] == "missing":
        return "missing; this setting has no default"
    wanted = _WANTED.get(error["type"])
    if wanted is None:
        return f"got {display(error['input'])}: {error['msg']}"
    wanted = wanted.format(**error.get("ctx", {}))
    message = f"got {display(error['input'])}, wants {wanted}{_unit(error['loc'])}"
    if error["type"] == "literal_error":
        message += _suggestion(
            str(error["input"]), wanted.replace("'", " ").replace(",", " ").split()
        )
    return message


def settings_of(schema: object) -> dict[str, Any]:
    """The settings of a table and their types; empty for whatever is no table of settings."""
    if not (isinstance(schema, type) and dataclasses.is_dataclass(schema)):
        return {}
    hints = get_type_hints(schema)
    return {field.name: hints[field.name] for field in dataclasses.fields(schema)}


def required_keys(schema: object) -> list[str]:
    """The settings of a table that have no default."""
    if not (isinstance(schema, type) and dataclasses.is_dataclass(schema)):
        return []
    missing = dataclasses.MISSING
    fields = dataclasses.fields(schema)
    return [f.name for f in fields if f.default is missing and f.default_factory is missing]


def type_at(place: Place) -> object:
    """The type that the schema gives a place, None where it knows none; `Config` is the whole file's."""
    schema: object = Config
    for part in place:
        settings = settings_of(schema)
        inner = get_args(schema)
        if settings:
            schema = _bare(settings.get(str(part)))
        elif inner:  # Mapping[str, X] or tuple[X, ...]
            schema = _bare(inner[1 if isinstance(part, str) else 0])
        else:
            return None
    return schema


def _unit(place: Place) -> str:
    name = str(place[-1])
    unit = next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")
    return f" ({unit})" if unit else ""


def _unknown_key(place: Place) -> str:
    known = _known_keys(type_at(place[:-1]))
    suggestion = _suggestion(str(place[-1]), known)
    here = [key for key in known if "." not in key]
    return (
        f"unknown key{suggestion}" if suggestion else f"unknown key; known here: {', '.join(here)}"
    )


def _suggestion(got: str, known: list[str]) -> str:
    # A key that is right, but belongs into a table beside this one, is the likeliest meaning of all.
    nearest = [key for key in known if key.endswith(f".{got}")] or difflib.get_close_matches(
        got, known
    )
    return f'; did you mean "{nearest[0]}"?' if nearest else ""


def _known_keys(schema: object) -> list[str]:
    """The keys a table may have, then those of the tables directly inside it, dotted."""
    hints = settings_of(schema)
    nested = [f"{key}.{inner}" for key, hint in hints.items() for inner in settings_of(_bare(hint))]
    return [*hints, *nested]


def _bare(hint: object) -> object:
    """A type without `Annotated` and `| None`."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return _bare(next(arg for arg in get_args(hint) if arg is not type(None)))
    return hint
