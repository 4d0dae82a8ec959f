"""A taken port is said before anything is started, with its setting and its holder."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from gateway.cli.ports import holder_of, is_local, require_free
from gateway.cli.terminal import CommandError


def test_a_taken_port_names_setting_and_holder() -> None:
    """Here the holder is this very process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CommandError) as caught:
            require_free({"listen.rest": f"127.0.0.1:{port}", "listen.grpc": "127.0.0.1:0"})
        assert holder_of(port) == str(caught.value).split("taken by ")[1].split("; stop")[0]
    assert f"listen.rest: 127.0.0.1:{port} is taken by pid {os.getpid()} (" in str(caught.value)
    assert "listen.grpc" not in str(caught.value)


def test_a_port_that_was_just_given_back_is_free() -> None:
    """And nobody holds it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    require_free({"listen.rest": f"127.0.0.1:{port}"})
    assert holder_of(port) is None


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    """The system's words are passed on."""
    with pytest.raises(CommandError, match=r"x: 192\.0\.2\.1:80: Cannot assign requested address"):
        require_free({"x": "192.0.2.1:80"})


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1:1", True), ("127.8.8.8:1", True), ("192.0.2.1:1", False), ("dns:///x:1", False)],
)
def test_only_loopback_is_ours_to_start_on(address: str, *, local: bool) -> None:
    """Other addresses belong to somebody else's server."""
    assert is_local(address) is local


def test_a_unix_socket_in_use_is_told_and_one_left_behind_is_free(tmp_path: Path) -> None:
    """As with ports."""
    path = tmp_path / "server.sock"
    require_free({"backends.torch.address": f"unix:{path}"})
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        require_free({"backends.torch.address": f"unix:{path}"})
        server.listen()
        with pytest.raises(CommandError, match=r"torch\.address: unix:.* is taken by another"):
            require_free({"backends.torch.address": f"unix:{path}"})
    with pytest.raises(CommandError, match="there is no folder /nowhere"):
        require_free({"x": "unix:/nowhere/server.sock"})
