"""The deployment as its own tools read it: rendered by kustomize, resolved by docker-compose."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from gateway.config import Config
from gateway.control.source import load

Manifest: TypeAlias = Mapping[str, Any]
Tool: TypeAlias = Callable[..., str]


@pytest.fixture(scope="session")
def tool(root: Path) -> Tool:
    """Runs a tool of the gateway's environment in the root of the repository, and returns its output."""

    def run(name: str, *arguments: str, reads: str | None = None) -> str:
        ran = subprocess.run(
            [Path(sys.executable).parent / name, *arguments],
            cwd=root,
            input=reads,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    return run


@pytest.fixture(scope="session")
def rendered(tool: Tool) -> str:
    """The base as YAML, as `kubectl apply -k` would send it."""
    return tool("kubectl", "kustomize", "k8s/base")


@pytest.fixture(scope="session")
def manifests(rendered: str) -> Sequence[Manifest]:
    """The base, object by object."""
    return list(yaml.safe_load_all(rendered))


@pytest.fixture(scope="session")
def workloads(manifests: Sequence[Manifest]) -> Mapping[str, Manifest]:
    """Name to Deployment."""
    return {m["metadata"]["name"]: m for m in manifests if m["kind"] == "Deployment"}


@pytest.fixture(scope="session")
def services(tool: Tool) -> Mapping[str, Manifest]:
    """Name to service of docker-compose.yml, with anchors, variables and short forms resolved."""
    composed = json.loads(tool("docker-compose", "config", "--format", "json"))
    return dict(composed["services"])


@pytest.fixture(scope="session")
def tandem_toml(root: Path) -> Config:
    """The configuration that both deployments mount, read as the gateway will read it."""
    return load(root / "k8s/base/config/gateway/tandem.toml")
