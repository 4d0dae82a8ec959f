"""What of a request does not fit the model's signature?

The facts beside the text: a dialect whose clients know other words for them writes those.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from gateway.errors import InvalidRequest
from gateway.values import value_class

__all__ = ["Aspect", "DoesNotFit", "Misfit"]

Aspect: TypeAlias = Literal["inputs", "repeated", "datatype", "shape", "rows", "output"]
"""The inputs' names, one input's name, datatype, shape or rows, or the name of an output that is asked for."""


@value_class(kw_only=True)
class Misfit:
    """One thing that does not fit.

    Attributes:
        model: As the caller knows it.
        name: Of the input or output, "" where it is all inputs.
        got, wanted: Names, a datatype, dimensions (-1 is an open one), or numbers of rows.
    """

    aspect: Aspect
    model: str = ""
    name: str = ""
    got: tuple[str | int, ...] = ()
    wanted: tuple[str | int, ...] = ()


class DoesNotFit(InvalidRequest):
    """A request that does not fit its model's signature.

    Attributes:
        misfit: The first thing that was found.
    """

    def __init__(self, message: str, misfit: Misfit, *, path: str = "") -> None:
        super().__init__(message, path=path)
        self.misfit = misfit
