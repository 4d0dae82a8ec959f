"""Is docker-compose.yml closed, bounded, and of one mind with the Dockerfiles and with k8s/?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

import gateway
from gateway.config import Config
from gateway.control.addresses import split_address
from tests.deploy.conftest import Manifest, Tool

FROM_LOCKS = (
    "gateway/Dockerfile",
    "serving/tf_serving/local.Dockerfile",
    "serving/torch_server/Dockerfile",
)
DOCKERFILES = (*FROM_LOCKS, "serving/tf_serving/Dockerfile")


def test_the_security_lint_finds_nothing_grave(tool: Tool) -> None:
    tool("compose-lint", "docker-compose.yml")


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_dockerfiles_pass_hadolint(dockerfile: str, tool: Tool) -> None:
    tool("hadolint", dockerfile)


@pytest.mark.parametrize("dockerfile", FROM_LOCKS)
def test_images_install_from_a_lock_and_end_as_a_numbered_user(dockerfile: str, root: Path) -> None:
    text = (root / dockerfile).read_text(encoding="utf-8")
    assert "--require-hashes" in text
    (user,) = re.findall(r"^USER (\d+)", text, re.MULTILINE)[-1:]
    assert int(user) >= 10000
    assert re.search(r"^HEALTHCHECK ", text, re.MULTILINE)


def test_images_of_ours_are_of_this_version(services: Mapping[str, Manifest]) -> None:
    ours = {s["image"] for s in services.values() if "build" in s}
    assert ours == {
        f"tandem/gateway:{gateway.__version__}",
        f"tandem/torch-server:{gateway.__version__}",
    }


def test_every_container_is_hardened_bounded_and_watched(services: Mapping[str, Manifest]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"]), name
        assert service["healthcheck"]["test"], name


def test_ports_are_published_to_this_machine_only(services: Mapping[str, Manifest]) -> None:
    published = {
        (name, port["host_ip"], port["published"])
        for name, service in services.items()
        for port in service.get("ports", [])
    }
    assert published == {
        ("gateway", "127.0.0.1", "8080"),
        ("gateway", "127.0.0.1", "8081"),
        ("gateway", "127.0.0.1", "8082"),
        ("prometheus", "127.0.0.1", "9090"),
    }


def test_bind_mounts_are_read_only_and_of_folders_that_exist(
    services: Mapping[str, Manifest],
) -> None:
    for service in services.values():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind":
                assert volume["read_only"] is True
                assert Path(volume["source"]).is_dir()


def test_the_gateway_dials_services_that_exist(
    services: Mapping[str, Manifest], tandem_toml: Config
) -> None:
    for backend in tandem_toml.backends.values():
        host, port = split_address(backend.address.removeprefix("dns:///"))
        command = " ".join(services[host]["command"])
        assert re.search(rf"[=:]{port}\b", command)


def test_containers_listen_where_their_ports_are_published(
    services: Mapping[str, Manifest], tandem_toml: Config
) -> None:
    listen = tandem_toml.listen
    listened = {split_address(address) for address in (listen.rest, listen.grpc, listen.admin)}
    assert listened == {("0.0.0.0", port["target"]) for port in services["gateway"]["ports"]}


def test_containers_are_given_longer_to_end_than_their_requests_may_take(
    services: Mapping[str, Manifest], tandem_toml: Config
) -> None:
    for name in ("gateway", "tf-serving", "torch-server"):
        given_s = _seconds(services[name]["stop_grace_period"])
        assert given_s >= tandem_toml.limits.drain_timeout_s + 5


def _seconds(duration: str) -> int:
    """Go's way to write a duration: 1m10s."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+)([hms])", duration))


def test_prometheus_scrapes_every_server(services: Mapping[str, Manifest], root: Path) -> None:
    text = (root / "k8s/prometheus/prometheus.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["scrape_configs"]
    targets = {target for job in jobs for c in job["static_configs"] for target in c["targets"]}
    assert targets == {"gateway:8082", "tf-serving:8501", "torch-server:8610"}
    assert {target.split(":")[0] for target in targets} <= set(services)
