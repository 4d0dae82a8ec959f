"""How does each server want one row, and how does it answer? Three forms of JSON; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

__all__ = ["OIP", "PLAIN", "ROWS", "TFS", "Form", "Row"]

Row: TypeAlias = Mapping[str, Sequence[float]]

_DATATYPES = {"x": "FP32", "input_ids": "INT64", "attention_mask": "INT64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A way to ask for one row.

    Attributes:
        write: The body that asks for a row.
        read: The row of numbers in the body of an answer; KeyError, TypeError, ValueError or IndexError if
            there is none.
    """

    write: Callable[[Row], bytes]
    read: Callable[[bytes], list[float]]


def _write_tfs(row: Row) -> bytes:
    (only, *others) = row.values()
    return orjson.dumps({"instances": [dict(row) if others else only]})


def _write_oip(row: Row) -> bytes:
    inputs = [
        {"name": name, "datatype": _DATATYPES[name], "shape": [1, len(data)], "data": data}
        for name, data in row.items()
    ]
    return orjson.dumps({"inputs": inputs})


def _read_plain(body: bytes) -> list[float]:
    answer: Any = orjson.loads(body)
    found: list[float] = answer["y"] if isinstance(answer, dict) else answer
    return found


def _only(rows: list[list[float]]) -> list[float]:
    (row,) = rows
    return row


PLAIN = Form(write=lambda row: orjson.dumps(dict(row)), read=_read_plain)
"""The row as it is; the answer's row alone, or under `y`."""

ROWS = Form(
    write=lambda row: orjson.dumps({"rows": [dict(row)]}),
    read=lambda body: _only(orjson.loads(body)),
)
"""A list of one row each way."""

TFS = Form(
    write=_write_tfs,
    read=lambda body: _only(orjson.loads(body)["predictions"]),
)
"""TF Serving's REST API, row by row."""

OIP = Form(
    write=_write_oip,
    read=lambda body: list(orjson.loads(body)["outputs"][0]["data"]),
)
"""The Open Inference Protocol's JSON."""
