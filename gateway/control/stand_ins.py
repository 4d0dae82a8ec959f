"""How does a check go on past what is wrong, so that one round tells everything that is wrong?

Each wrong value is replaced by one that the schema takes: its default, or a stand-in where there is none.
What is then complained about at such a place, or below it, is about the stand-in and not for the person.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

from gateway.control.complaints import required_keys, settings_of, type_at
from gateway.control.toml_lines import Place

__all__ = ["is_about", "replace_wrong"]


def replace_wrong(tables: dict[str, Any], wrong: Iterable[Place]) -> None:
    """Put into `tables`, at each of these places, what the schema takes; unknown keys are taken out."""
    for place in wrong:
        holder = _holder(tables, place[:-1])
        if holder is None:
            continue  # what it stood in has been replaced
        _replace(holder, place)


def is_about(place: Place, wrong: Iterable[Place]) -> bool:
    """Whether a place is one of those that were replaced, or lies in one."""
    return any(place[: len(other)] == other for other in wrong)


def _holder(tables: Any, place: Place) -> Any:
    """The table or array at a place, None where there is none any more."""
    for part in place:
        try:
            tables = tables[part]
        except (LookupError, TypeError):
            return None
    return tables if isinstance(tables, dict | list) else None


def _replace(holder: Any, place: Place) -> None:
    last, outer = place[-1], type_at(place[:-1])
    if isinstance(last, int):
        holder[last] = _stand_in(type_at(place))
    elif dataclasses.is_dataclass(outer):
        holder.pop(last, None)
        if last in required_keys(outer):
            holder[last] = _stand_in(type_at(place))
    else:  # a name of the person's: others may refer to it, so it stays
        holder[last] = _stand_in(type_at(place))


def _stand_in(schema: object) -> Any:
    """The least that the schema takes as a value of this type."""
    if dataclasses.is_dataclass(schema):
        hints = settings_of(schema)
        return {key: _stand_in(hints[key]) for key in required_keys(schema)}
    if get_origin(schema) is Literal:
        return get_args(schema)[0]
    simple: dict[object, Any] = {str: "", int: 0, float: 0}
    return simple.get(schema, [] if get_origin(schema) is tuple else {})
