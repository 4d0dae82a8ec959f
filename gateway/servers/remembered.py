"""Which answers about a caller's text are worth remembering? Short ones: the memory is the caller's to fill."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["remembered"]

MAX_CHARACTERS = 512

_P = ParamSpec("_P")
_R = TypeVar("_R")


def remembered(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Remember what a pure function of texts said of the last 1,024 whose last text is short."""
    known = functools.lru_cache(maxsize=1024)(function)

    def ask(*texts: _P.args, **named: _P.kwargs) -> _R:
        last = texts[-1]
        if isinstance(last, str) and len(last) > MAX_CHARACTERS:
            return function(*texts, **named)
        return known(*texts, **named)  # type: ignore[arg-type]  # texts have hashes

    return ask
