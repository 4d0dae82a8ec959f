"""Do the mounted files say what the manifests and the model store say?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.config import Config
from serving.tf_serving.config import ModelConfig, render
from tests.deploy.conftest import Manifest

MODELS = ("iris", "digits", "minilm")


def test_the_gateway_serves_the_shipped_models_from_both_backends(tandem_toml: Config) -> None:
    assert tuple(tandem_toml.models) == MODELS
    for model in tandem_toml.models.values():
        assert {arm.backend for arm in model.arms.values()} == {"tf-serving", "torch-server"}


def test_tf_serving_is_told_of_the_same_models(root: Path) -> None:
    written = (root / "k8s/base/config/tf-serving/models.config").read_text(encoding="utf-8")
    wanted = render(ModelConfig(name=name, base_path=f"/models/{name}") for name in MODELS)
    assert written == wanted


def flag_of(words: list[str], name: str) -> str:
    """The value of a flag that is given once."""
    (value,) = [found[1] for word in words if (found := re.fullmatch(rf"--{name}=(.*)", word))]
    return value


def deployed(
    services: Mapping[str, Manifest], workloads: Mapping[str, Manifest]
) -> Iterator[tuple[list[str], list[str], int]]:
    """Of each deployment: TF Serving's arguments, the torch server's, and the CPUs of the latter."""
    torch = services["torch-server"]
    cpus = int(float(torch["deploy"]["resources"]["limits"]["cpus"]))
    yield services["tf-serving"]["command"], torch["command"], cpus
    (tf,), (container,) = (
        workloads[name]["spec"]["template"]["spec"]["containers"]
        for name in ("tf-serving", "torch-server")
    )
    yield tf["args"], container["args"], int(container["resources"]["limits"]["cpu"])


def test_the_torch_server_s_threads_never_wait_for_a_core_that_another_has(
    services: Mapping[str, Manifest], workloads: Mapping[str, Manifest]
) -> None:
    """Each model has a worker with threads of its own, and they run at the same time."""
    for _, torch, cpus in deployed(services, workloads):
        assert int(flag_of(torch, "threads")) == max(1, cpus // len(MODELS))


def test_both_runtimes_compute_with_as_many_threads(
    services: Mapping[str, Manifest], workloads: Mapping[str, Manifest]
) -> None:
    """Or a comparison would be of thread counts."""
    for tf, torch, _ in deployed(services, workloads):
        assert flag_of(tf, "tensorflow_intra_op_parallelism") == flag_of(torch, "threads")
