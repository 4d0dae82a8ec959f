"""Where do we listen, where are the backends, and is that an address at all?"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.config import BackendConfig, Config
from gateway.control.complaints import ConfigError, Problem, display
from gateway.control.toml_lines import Place

__all__ = ["ListenOverrides", "address_complaints", "split_address"]

_LISTENERS = ("rest", "grpc", "admin")
_MAX_PORT = 65535
_PORT = re.compile(r"[0-9]{1,5}")
# gRPC name schemes that a backend's address may start with; what follows is gRPC's business.
_GRPC_SCHEME = re.compile(r"(?:dns|ipv4|ipv6|unix|unix-abstract|vsock|xds):")
_REST_SCHEME = re.compile(r"unix:")  # what HTTP can be spoken over besides host:port


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenOverrides:
    """Addresses given as flags, which win over the file's `[listen]`; None leaves the file's."""

    rest: str | None = None
    grpc: str | None = None
    admin: str | None = None

    def apply(self, config: Config) -> Config:
        """The same configuration, listening where the flags say.

        Raises:
            ConfigError: a flag is no `host:port`.
        """
        given = {
            name: value for name, value in dataclasses.asdict(self).items() if value is not None
        }
        config = dataclasses.replace(config, listen=dataclasses.replace(config.listen, **given))
        problems = [
            Problem(origin=f"--{name}", line=None, place="", message=message)
            for name, value in given.items()
            if (message := _address_complaint(value)) is not None
        ]
        if problems:
            raise ConfigError(tuple(problems))
        return config


def split_address(address: str) -> tuple[str, int]:
    """`host:port` as (host, port); `[::1]:8080` gives the host without its brackets.

    Raises:
        ValueError: it is no `host:port`; the message says why.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host:
        raise ValueError(f"got {display(address)}, wants host:port, for example 127.0.0.1:8080")
    if not _PORT.fullmatch(port) or int(port) > _MAX_PORT:
        raise ValueError(f"got port {display(port)}, wants a number from 0 to {_MAX_PORT}")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], int(port)
    if ":" in host:
        raise ValueError(f"got {display(address)}, an IPv6 host goes in brackets: [{host}]:{port}")
    return host, int(port)


def address_complaints(config: Config) -> Iterator[tuple[Place, str]]:
    """What is wrong with the addresses of a configuration: (place, message), in its order."""
    seen: dict[tuple[str, int], str] = {}
    for name in _LISTENERS:
        address = getattr(config.listen, name)
        message = _address_complaint(address)
        if message is not None:
            yield ("listen", name), message
            continue
        where = split_address(address)
        other = seen.setdefault(where, name)
        if other != name and where[1] != 0:
            yield ("listen", name), f"got {display(address)}, which listen.{other} has already"
    for name, backend in config.backends.items():
        yield from _backend_complaints(("backends", name), backend)


def _backend_complaints(place: Place, backend: BackendConfig) -> Iterator[tuple[Place, str]]:
    scheme = _REST_SCHEME if backend.is_rest else _GRPC_SCHEME
    addresses: list[tuple[Place, str]] = [((*place, "address"), backend.address)]
    addresses += [
        ((*place, "replicas", index), address) for index, address in enumerate(backend.replicas)
    ]
    if backend.management:
        addresses.append(((*place, "management"), backend.management))
    for where, address in addresses:
        message = _address_complaint(address)
        if message is not None and not scheme.match(address):
            yield where, message


def _address_complaint(address: str) -> str | None:
    try:
        split_address(address)
    except ValueError as exc:
        return str(exc)
    return None
