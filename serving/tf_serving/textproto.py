"""What does the file that TensorFlow Serving reads say about the models to serve?

It is read with TensorFlow Serving's own messages, so that one file fits the real server and the stand-in.
Only paths may be laxer here: a relative one starts at the working directory, where the real server wants
absolute ones. What the stand-in cannot do is refused, never ignored.
"""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.tf_serving.config import ConfigError, ModelConfig
from serving.tf_serving.versions import AllVersions, Latest, Policy, Specific

__all__ = ["PLATFORM", "parse", "read_model"]

PLATFORM = "tensorflow"


def parse(text: str) -> tuple[ModelConfig, ...]:
    """Read a `ModelServerConfig` in protobuf's text format.

    Raises:
        ConfigError: not that format, or it asks for what cannot be served; in TensorFlow Serving's words
            where it has any.
    """
    message = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as exc:
        raise ConfigError(f"not a ModelServerConfig in text format: {exc}") from exc
    if message.WhichOneof("config") != "model_config_list":
        raise ConfigError("got no model_config_list, the only kind of configuration served here")
    configs = message.model_config_list.config
    for config in configs:
        _check_model(config)
    models = tuple(read_model(config) for config in configs)
    _refuse_repeated_names([model.name for model in models])
    return models


def read_model(config: model_server_config_pb2.ModelConfig) -> ModelConfig:
    """What one message says of its model; its name, path and platform are the caller's to check.

    Raises:
        ConfigError: it asks for no version at all.
    """
    return ModelConfig(
        name=config.name,
        base_path=str(Path(config.base_path).absolute()),
        policy=_read_policy(config),
        labels=dict(config.version_labels),
    )


def _check_model(config: model_server_config_pb2.ModelConfig) -> None:
    name = config.name
    if not name:
        raise ConfigError("a model has no name")
    if not config.base_path:
        raise ConfigError(f"model {name} has no base_path")
    if config.model_platform != PLATFORM:
        raise ConfigError(_platform_problem(name, config.model_platform))


def _platform_problem(name: str, platform: str) -> str:
    if not platform:
        return (
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor"
            f" ModelServerConfig::model_platform, model name is {name}"
        )
    return f"model {name}: got model_platform {platform!r}, only {PLATFORM!r} is served"


def _read_policy(config: model_server_config_pb2.ModelConfig) -> Policy:
    policy = config.model_version_policy
    match policy.WhichOneof("policy_choice"):
        case "all":
            return AllVersions()
        case "specific":
            if not policy.specific.versions:
                raise ConfigError(
                    f"model {config.name}: model_version_policy.specific names no version"
                )
            return Specific(frozenset(policy.specific.versions))
        case _:  # none chosen, or `latest`, whose num_versions is 0 when left out
            return Latest(max(1, policy.latest.num_versions))


def _refuse_repeated_names(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"Illegal to list model {name} multiple times in config list")
