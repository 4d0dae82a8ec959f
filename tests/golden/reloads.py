"""How is a recorded reload put to a server whose models lie elsewhere, and what comes before it?

The recorded server was started anew before each reload: here it is told the configuration that it began
with. Its base paths began with `/models`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from serving.tf_serving.config import ModelConfig, render
from tests.golden.exchanges import GrpcExchange

RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
GIVES_UP_S = 1.0
"""How long a caller waits for what never came; how long the recorded ones did was not recorded."""

# The recorded base path of a model, and the directory of its like.
_MADE: Final[Mapping[str, str]] = {
    "/models/saved_model_half_plus_two_cpu": "half_plus_two",
    "/models/saved_model_half_plus_two_2_versions": "half_plus_two_2_versions",
    "/models/saved_model_half_plus_three": "half_plus_three",
}
# What there is of TF Serving's messages here: those parts that a configuration of ours is made of.
_FILE: Final = """
name: "reload_config.proto" package: "tests.golden" syntax: "proto3"
message_type { name: "All" }
message_type { name: "Latest" field { name: "num_versions" number: 1 type: TYPE_UINT32 } }
message_type { name: "Policy"
  field { name: "latest" number: 100 type: TYPE_MESSAGE type_name: ".tests.golden.Latest" }
  field { name: "all" number: 101 type: TYPE_MESSAGE type_name: ".tests.golden.All" } }
message_type { name: "Label"
  field { name: "key" number: 1 type: TYPE_STRING }
  field { name: "value" number: 2 type: TYPE_INT64 } }
message_type { name: "Model"
  field { name: "name" number: 1 type: TYPE_STRING }
  field { name: "base_path" number: 2 type: TYPE_STRING }
  field { name: "model_platform" number: 4 type: TYPE_STRING }
  field { name: "model_version_policy" number: 7 type: TYPE_MESSAGE type_name: ".tests.golden.Policy" }
  field { name: "version_labels" number: 8 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: ".tests.golden.Label" } }
message_type { name: "Models"
  field { name: "config" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: ".tests.golden.Model" } }
message_type { name: "Config"
  field { name: "model_config_list" number: 1 type: TYPE_MESSAGE type_name: ".tests.golden.Models" } }
message_type { name: "Request"
  field { name: "config" number: 1 type: TYPE_MESSAGE type_name: ".tests.golden.Config" } }
"""


def _request_type() -> Any:
    file = text_format.Parse(_FILE, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tests.golden.Request"))


_Request: Final = _request_type()


def reload_to(models: Iterable[ModelConfig]) -> bytes:
    """The request that tells a server to serve these, and nothing else."""
    data: bytes = text_format.Parse(
        f"config {{ {render(models)} }}", _Request()
    ).SerializeToString()
    return data


def request_of(exchange: GrpcExchange, made: Path) -> bytes:
    """What is sent in an exchange's place, where the like of the recorded models is in `made`."""
    if exchange.method != RELOAD:
        return exchange.request
    request = _Request.FromString(exchange.request)
    for model in request.config.model_config_list.config:
        if model.base_path in _MADE:
            model.base_path = str(made / _MADE[model.base_path])
    data: bytes = request.SerializeToString()
    return data


def patience_s(exchange: GrpcExchange, otherwise: float) -> float:
    """How long the answer is waited for."""
    return GIVES_UP_S if exchange.code == "DEADLINE_EXCEEDED" else otherwise
