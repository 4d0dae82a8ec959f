"""What happens when somebody sends another configuration while the server runs?

HandleReloadConfigRequest: the whole new list, checked as the real server checks it, in its order and its
words. Models that the list does not name are unloaded; the answer is given when each new one can answer, and
until then the caller waits, for as long as it likes and at most five minutes. A list that is refused changes
nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.config import model_server_config_pb2

from gateway.errors import InvalidRequest
from serving.tf_serving.config import ConfigError, ModelConfig
from serving.tf_serving.events import Report
from serving.tf_serving.loader import Loader
from serving.tf_serving.served import ReloadFailed, ServedModels
from serving.tf_serving.textproto import PLATFORM, read_model

__all__ = ["Reloader"]

_MAX_WAIT_S = 300.0  # as long as the real server tries to load a model, by default

_Message: TypeAlias = Any  # a message of tensorflow_serving, which has no types


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request says: the models, and the metrics whose increase the answer tells."""

    models: tuple[ModelConfig, ...]
    metric_names: tuple[str, ...]


class Reloader:
    """Takes new configurations, one after the other: only one thread calls it."""

    def __init__(
        self, served: ServedModels, loader: Loader, stop: threading.Event, report: Report
    ) -> None:
        self._served = served
        self._loader = loader
        self._stop = stop
        self._report = report

    def answer(self, data: bytes, is_awaited: Callable[[], bool]) -> bytes:
        """The serialised answer to a ReloadConfigRequest.

        Args:
            data: The request.
            is_awaited: Whether the caller still waits; `wake` after it has changed.

        Raises:
            InvalidRequest: the configuration cannot be served.
            ReloadFailed: a label may not move, or a new model did not come up.
        """
        asked = self._read(data)
        new = [model.name for model in asked.models if not self._loader.follows(model.name)]
        self._loader.reload(asked.models, self._stop)
        self._report("config_reloaded", models=[model.name for model in asked.models])
        self._wait(new, is_awaited)
        # There are no metrics here, so none has grown.
        response = model_management_pb2.ReloadConfigResponse(
            status={},
            metric=[{"name": name, "int64_value_increase": 0} for name in asked.metric_names],
        )
        answer: bytes = response.SerializeToString()
        return answer

    def wake(self) -> None:
        """Look again whether the caller still waits."""
        self._loader.wake()

    def _read(self, data: bytes) -> _Asked:
        try:
            message = model_management_pb2.ReloadConfigRequest.FromString(data)
        except DecodeError as exc:
            raise InvalidRequest(f"got {len(data)} bytes that are no ReloadConfigRequest") from exc
        if message.config.WhichOneof("config") != "model_config_list":
            raise InvalidRequest(
                "ServerModelConfig type not supported by HandleReloadConfigRequest."
                " Only ModelConfigList is currently supported"
            )
        configs = message.config.model_config_list.config
        _check_names(configs)
        for config in configs:
            _check_path(config)
        for config in configs:
            if self._loader.follows(config.name):
                _check_same_platform(config)
        models = tuple(_read(config) for config in configs)
        for model in models:
            self._served.check_labels(model)
        for config in configs:
            _check_platform(config)
        return _Asked(models, tuple(message.metric_names))

    def _wait(self, names: Sequence[str], is_awaited: Callable[[], bool]) -> None:
        def missing() -> list[str]:
            return [name for name in names if not self._served.available(name)]

        def is_over() -> bool:
            return not missing() or self._stop.is_set() or not is_awaited()

        self._loader.wait_for(is_over, _MAX_WAIT_S)
        if left := missing():
            raise ReloadFailed(
                "UNKNOWN",
                f"{len(left)} model(s) did not become available: {{{', '.join(left)}}}",
            )


def _read(config: _Message) -> ModelConfig:
    try:
        return read_model(config)
    except ConfigError as exc:
        raise InvalidRequest(str(exc)) from exc


def _check_names(configs: Sequence[_Message]) -> None:
    names: set[str] = set()
    for config in configs:
        if config.name in names:
            raise InvalidRequest(
                f"Illegal to list model {config.name} multiple times in config list"
            )
        names.add(config.name)


def _check_path(config: _Message) -> None:
    path = config.base_path
    if not (path.startswith("/") or "://" in path):
        raise InvalidRequest(
            f"Expected model {config.name} to have an absolute path or URI; got base_path()={path}"
        )


def _check_same_platform(config: _Message) -> None:
    platform = _platform_of(config)
    if platform != PLATFORM:
        raise InvalidRequest(
            f"Illegal to change a model's platform. For model {config.name} platform was"
            f" {PLATFORM} and new platform requested is {platform}"
        )


def _check_platform(config: _Message) -> None:
    platform = _platform_of(config)
    if platform != PLATFORM:
        raise InvalidRequest(f"Model {config.name} requests unsupported platform {platform}")


def _platform_of(config: _Message) -> str:
    """The platform, from either of the two fields that may name it."""
    old, new = "ModelServerConfig::model_type (deprecated)", "ModelServerConfig::model_platform"
    of_model = f", model name is {config.name}"
    platform: str = config.model_platform
    if not config.model_type:
        if not platform:
            raise InvalidRequest(f"Illegal setting neither {old} nor {new}{of_model}")
        return platform
    if platform:
        raise InvalidRequest(f"Illegal setting both {old} and {new}{of_model}")
    if config.model_type != model_server_config_pb2.TENSORFLOW:
        raise InvalidRequest(
            f"ModelServerConfig::model_type choice {config.model_type} not supported."
        )
    return PLATFORM
