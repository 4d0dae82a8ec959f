"""How does a value that nobody may change cost next to nothing to make?

A frozen dataclass writes each of its fields through `object.__setattr__`, and one predict call makes some
fifteen values: that was a twentieth of the path. `value_class` makes a class that the type checker holds to be
frozen and that is a plain slotted dataclass at run time. It has equality and a hash by its fields, where those have them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

__all__ = ["value_class"]

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value_class(*, kw_only: bool = False) -> Callable[[type[_T]], type[_T]]:
    """Make a class of values; for those made on the path of every request, else use a frozen dataclass."""
    return dataclass(slots=True, unsafe_hash=True, kw_only=kw_only)
