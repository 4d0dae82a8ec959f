"""What does one request look like, at each of the backends that can be measured? Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loadtests.bench.direct import SENTENCE_ID
from loadtests.bench_plan.backend import COLUMNS
from loadtests.open_loop import post

__all__ = ["BACKENDS", "Asked"]

_TOKENS = 32
_PIXELS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A backend, and what it is asked.

    Attributes:
        model: Its name at the gateway.
        row: One row, as TF Serving's REST API has it.
        is_torch: Whether the torch server serves it; else it is the paced backend.
        title: As tables call it.
    """

    model: str
    row: Any
    is_torch: bool
    title: str

    def request(self, rows: int) -> bytes:
        """A whole HTTP request with so many rows."""
        body = json.dumps({"instances": [self.row] * rows}).encode()
        return post(f"/v1/models/{self.model}:predict", body)


BACKENDS: Mapping[str, Asked] = {
    "paced": Asked(model="paced", row=[1.0] * COLUMNS, is_torch=False, title="paced"),
    "digits": Asked(model="digits", row=[0.5] * _PIXELS, is_torch=True, title="digits on torch"),
    "minilm": Asked(
        model="minilm",
        row={"input_ids": [SENTENCE_ID] * _TOKENS, "attention_mask": [1] * _TOKENS},
        is_torch=True,
        title=f"minilm on torch, {_TOKENS} tokens",
    ),
}
