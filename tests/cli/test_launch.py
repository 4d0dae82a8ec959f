"""With which command lines servers are started: decided on plain values."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Literal

import pytest

from gateway.backend_config import BackendTlsConfig
from gateway.cli.launch import (
    Tools,
    asked_of,
    backend_launch,
    describe_backend,
    find_tools,
    gateway_launch,
    is_ours,
    listeners,
    model_config_argv,
    stack_of,
)
from gateway.cli.terminal import CommandError
from gateway.config import BackendConfig, Config
from gateway.control.source import parse
from tests.cli.conftest import CONFIG


@pytest.fixture
def config() -> Config:
    """A sound configuration."""
    return parse(CONFIG, "t.toml")


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    """A checkout with both environments, without tensorflow_model_server."""
    for name in ("torch", "tf"):
        python = tmp_path / name
        python.touch()
    return Tools(
        root=tmp_path,
        stack="8080",
        model_server=None,
        torch_python=tmp_path / "torch",
        tf_python=tmp_path / "tf",
        threads=3,
    )


def test_each_backend_is_asked_for_what_its_arms_need(config: Config) -> None:
    """By the names that the backend knows the models by."""
    assert asked_of(config, "tf") == [("iris", None)]
    assert asked_of(config, "torch") == [("flowers", "2")]


def test_the_stand_in_serves_where_the_binary_is_missing(config: Config, tools: Tools) -> None:
    """And is called that."""
    launch = backend_launch("tf", config.backends["tf"], tools)
    assert launch.argv == (
        str(tools.tf_python),
        *("-m", "serving.tf_serving.local", "--model-config-file", str(tools.model_config)),
        *("--host", "127.0.0.1", "--port", "8500"),
        *("--tensorflow-intra-op-parallelism", "3"),
    )
    assert describe_backend(config.backends["tf"], tools).startswith("stand-in")


def test_the_real_server_is_preferred(config: Config, tools: Tools) -> None:
    """When it is on PATH."""
    found = dataclasses.replace(tools, model_server=Path("/usr/bin/tensorflow_model_server"))
    argv = backend_launch("tf", config.backends["tf"], found).argv
    assert argv[:2] == ("/usr/bin/tensorflow_model_server", "--port=8500")
    assert "stand-in" not in describe_backend(config.backends["tf"], found)


@pytest.mark.parametrize(
    ("protocol", "address", "rest", "grpc"),
    [
        (None, "127.0.0.1:8611", "127.0.0.1:8610", "127.0.0.1:8611"),
        ("grpc", "[::1]:9001", "[::1]:9000", "[::1]:9001"),
        ("rest", "127.0.0.1:8610", "127.0.0.1:8610", "127.0.0.1:8611"),
        ("rest", "[::1]:9000", "[::1]:9000", "[::1]:9001"),
    ],
)
def test_the_torch_server_s_ports_are_neighbours(
    protocol: Literal["grpc", "rest"] | None, address: str, rest: str, grpc: str, *, tools: Tools
) -> None:
    """REST below, whichever the gateway asks."""
    backend = BackendConfig(kind="oip", address=address, protocol=protocol)
    argv = backend_launch("torch", backend, tools).argv
    assert argv[-6:] == ("--rest", rest, "--grpc", grpc, "--threads", "3")


def test_the_torch_server_listens_on_a_unix_socket(tools: Tools) -> None:
    """And on ports that are free, for who wants to ask it directly."""
    backend = BackendConfig(kind="oip", address="unix:/run/torch.sock", protocol="rest")
    argv = backend_launch("torch", backend, tools).argv
    ports = ("--rest", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    assert argv[-8:] == (*ports, "--unix", "/run/torch.sock", "--threads", "3")
    taken = listeners(parse(CONFIG, "t.toml"), {"torch": backend})
    assert describe_backend(backend, tools).endswith("3 threads, REST by a Unix socket")
    assert taken["backends.torch.address"] == "unix:/run/torch.sock"
    assert len(taken) == 4


def test_a_missing_environment_names_the_command(config: Config, tools: Tools) -> None:
    """`make setup`."""
    tools.torch_python.unlink()
    with pytest.raises(CommandError, match=r"the PyTorch environment is missing .* `make setup`"):
        backend_launch("torch", config.backends["torch"], tools)


@pytest.mark.parametrize(
    ("backend", "ours"),
    [
        (BackendConfig(kind="oip", address="127.0.0.1:1"), True),
        (BackendConfig(kind="tfserving", address="[::1]:1"), True),
        (BackendConfig(kind="oip", address="192.0.2.1:1"), False),
        (BackendConfig(kind="oip", address="unix:/run/server"), False),
        (BackendConfig(kind="oip", address="127.0.0.1:1", protocol="rest"), True),
        (BackendConfig(kind="oip", address="unix:/run/server", protocol="rest"), True),
        (BackendConfig(kind="torchserve", address="127.0.0.1:1"), False),
        (BackendConfig(kind="oip", address="127.0.0.1:1", tls=BackendTlsConfig()), False),
        (BackendConfig(kind="oip", address="127.0.0.1:1", replicas=("127.0.0.1:2",)), False),
    ],
)
def test_only_what_our_servers_can_be_is_started(backend: BackendConfig, *, ours: bool) -> None:
    """Everything else is somebody's server, and is waited for."""
    assert is_ours(backend) is ours


def test_the_gateway_gets_the_addresses_that_were_decided(config: Config, tools: Tools) -> None:
    """Flags included, and more time than its own drain takes."""
    launch = gateway_launch(Path("t.toml"), config, tools)
    assert launch.argv[:4] == (sys.executable, "-m", "gateway", "serve")
    assert launch.argv[4] == str(Path("t.toml").resolve())
    assert launch.argv[-2:] == ("--admin", "127.0.0.1:8082")
    assert launch.grace_s > config.limits.drain_timeout_s


def test_every_listener_is_named_by_its_setting(config: Config) -> None:
    """The torch server's REST port too; a free port (0) cannot be taken."""
    named = listeners(config, {"torch": config.backends["torch"]})
    assert named["backends.torch.address less one (its REST port)"] == "127.0.0.1:8610"
    assert len(named) == 5
    zero = parse('[listen]\nrest = "127.0.0.1:0"\n' + CONFIG, "t.toml")
    assert len(listeners(zero, {})) == 2


def test_models_are_named_for_tensorflow_serving(tools: Tools) -> None:
    """One by one, from the store."""
    argv = model_config_argv(["digits", "iris"], tools)
    assert argv[1:3] == ("-m", "serving.tf_serving.config")
    assert argv[-4:] == ("--model", "digits", "--model", "iris")


def test_tools_are_found_in_a_checkout(root: Path, config: Config) -> None:
    """This one."""
    found = find_tools(config)
    assert found.root == root
    assert found.store == root / "model_store"


def test_stacks_from_one_checkout_share_no_file(config: Config) -> None:
    """Neither logs nor TensorFlow Serving's configuration: two stacks never have REST on one port."""
    listen = dataclasses.replace(config.listen, rest="127.0.0.1:9090")
    one, other = (find_tools(c) for c in (config, dataclasses.replace(config, listen=listen)))
    assert one.logs != other.logs
    assert one.model_config != other.model_config
    assert one.logs == one.root / ".tandem" / "logs" / "8080"


def test_a_port_that_the_system_will_choose_names_no_stack(config: Config) -> None:
    """Every stack that asks for port 0 gets another one, and this process starts only one."""
    listen = dataclasses.replace(config.listen, rest="127.0.0.1:0")
    assert stack_of(dataclasses.replace(config, listen=listen)) == f"pid-{os.getpid()}"
