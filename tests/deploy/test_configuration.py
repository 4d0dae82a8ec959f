"""Do the mounted files say what the manifests and the model store say?"""

from __future__ import annotations

from pathlib import Path

from gateway.config import Config
from serving.tf_serving.config import ModelConfig, render

MODELS = ("iris", "digits", "minilm")


def test_the_gateway_serves_the_shipped_models_from_both_backends(tandem_toml: Config) -> None:
    assert tuple(tandem_toml.models) == MODELS
    for model in tandem_toml.models.values():
        assert {arm.backend for arm in model.arms.values()} == {"tf-serving", "torch-server"}


def test_tf_serving_is_told_of_the_same_models(root: Path) -> None:
    written = (root / "k8s/base/config/tf-serving/models.config").read_text(encoding="utf-8")
    wanted = render(ModelConfig(name=name, base_path=f"/models/{name}") for name in MODELS)
    assert written == wanted
