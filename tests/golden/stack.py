"""A gateway in front of a stand-in that serves the like of the recorded models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from serving.tf_serving.config import ModelConfig
from serving.tf_serving.versions import AllVersions
from tests.fronts import Front, listening

_PLAIN = ("counter", "est", "half_plus_three", "half_plus_two", "half_plus_two_tf2", "mlp")
_ONE_VERSION = {
    **{name: name for name in (*_PLAIN, "named", "types")},
    "half_plus_two_2v_latest": "half_plus_two_2_versions",
}

_LISTEN = """
[listen]
rest = "127.0.0.1:0"
grpc = "127.0.0.1:0"
admin = "127.0.0.1:0"
{cors}
[limits]
default_timeout_s = 60

[backends.tf]
kind = "tfserving"
address = "{address}"
forwards_reload = true
"""

_TWO_VERSIONS = """
[models.half_plus_two_2v.labels]
stable = 123
canary = 124
[models.half_plus_two_2v.arms.newest]
backend = "tf"
version = 124
[models.half_plus_two_2v.arms.before]
backend = "tf"
version = 123
weight = 0
"""


def served_models(made: Path) -> list[ModelConfig]:
    """What the stand-in serves, from the directory that `make_models` wrote."""
    return [
        *[
            ModelConfig(name=name, base_path=str(made / directory))
            for name, directory in _ONE_VERSION.items()
        ],
        ModelConfig(
            name="half_plus_two_2v",
            base_path=str(made / "half_plus_two_2_versions"),
            policy=AllVersions(),
            labels={"stable": 123, "canary": 124},
        ),
    ]


@asynccontextmanager
async def gateway_before(
    address: str, path: Path, *, cors: bool = False, front: Front = "own"
) -> AsyncIterator[Mapping[str, str]]:
    """A gateway whose every model is served by the stand-in at `address`, as its own addresses.

    Its configuration is at `path`.
    """
    models = _arms(_ONE_VERSION) + _TWO_VERSIONS
    path.write_text(_listen(address, cors=cors) + models)  # noqa: ASYNC240 - nothing else runs yet
    async with listening(path, front) as addresses:
        yield addresses


@asynccontextmanager
async def gateway_of(
    address: str, path: Path, model: str, *, front: Front = "own"
) -> AsyncIterator[Mapping[str, str]]:
    """As `gateway_before`, of one model, whose versions may come and go."""
    path.write_text(_listen(address, cors=False) + _arms([model]))  # noqa: ASYNC240 - as above
    async with listening(path, front) as addresses:
        yield addresses


def _arms(models: Iterable[str]) -> str:
    return "".join(f'[models.{name}.arms.tf]\nbackend = "tf"\n' for name in models)


def _listen(address: str, *, cors: bool) -> str:
    return _LISTEN.format(address=address, cors="[rest]\ncors = true" if cors else "")
