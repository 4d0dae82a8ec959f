"""The recorded gRPC calls as they are replayed, the models they were put to, and how texts compare."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway._stubs import tfs_wire_pb2 as wire
from serving.tf_serving.config import ModelConfig
from serving.tf_serving.versions import AllVersions
from tests.codecs.tfs_golden import GOLDEN

__all__ = ["Call", "comparable", "models_in", "read_calls"]

PARSING = "tensor parsing error: "  # the real server stops there; ours goes on to say what is wrong
IN_THE_GRAPH = "\n\t [["  # then the node that failed: of two that would fail, either one

# The last part of the base path of each model that the recorded server served.
_BASE_PATHS = {
    "half_plus_two": "saved_model_half_plus_two_cpu",
    "half_plus_two_2v_latest": "saved_model_half_plus_two_2_versions",
    "half_plus_two_tf2": "saved_model_half_plus_two_tf2_cpu",
    "half_plus_three": "saved_model_half_plus_three",
    "counter": "saved_model_counter",
    "est": "est",
    "mlp": "mlp",
    "named": "named",
    "types": "types",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One recorded call; `line` is what `replay` reads."""

    id: int
    group: str
    method: str
    model: str
    code: str
    details: str
    line: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.id}-{self.group}"


def read_calls(name: str) -> tuple[Call, ...]:
    """The calls in one file of tests/golden/tf_serving, in their order."""
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    return tuple(_call(json.loads(line)) for line in lines)


def models_in(store: Path) -> Sequence[ModelConfig]:
    """What the recorded server served, from base paths in `store`."""
    models = [
        ModelConfig(name=name, base_path=str(store / directory))
        for name, directory in _BASE_PATHS.items()
    ]
    two_versions = ModelConfig(
        name="half_plus_two_2v",
        base_path=str(store / "saved_model_half_plus_two_2_versions"),
        policy=AllVersions(),
        labels={"stable": 123, "canary": 124},
    )
    return [*models, two_versions]


def comparable(details: str) -> str:
    """An error's text without what may differ."""
    if details.startswith(PARSING):
        return ":".join(details.split(":")[:2])
    return details.split(IN_THE_GRAPH, maxsplit=1)[0]


def _call(line: Mapping[str, Any]) -> Call:
    return Call(
        id=line["id"],
        group=line["group"],
        method=line["method"],
        model=_model_of(line),
        code=line["code"],
        details=line["details"] or "",
        line=line,
    )


def _model_of(line: Mapping[str, Any]) -> str:
    """The model asked for, "" where there is none, or none in this field."""
    if line["group"] in {"raw", "multi", "reload"}:
        return ""
    # Every other request has its model_spec in the same field, and this message has no other.
    data = base64.b64decode(line["request_b64"])
    return wire.GetModelStatusRequest.FromString(data).model_spec.name
