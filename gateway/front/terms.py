"""What must the process that starts Envoy and the gateway inside it agree on?"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from gateway.control.addresses import ListenOverrides

__all__ = ["CALL_KEY", "Terms"]

CALL_KEY: Final = "x-tandem-call"
"""The header in which Envoy gives each request a key of its own; what a client sends there is replaced."""

_VARIABLE: Final = "TANDEM_INSIDE_ENVOY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Where everything is.

    Attributes:
        file: The gateway's configuration.
        rest, grpc, admin: Addresses that are listened on, none with port 0 but the last.
        private: A directory that only this user may enter.
        executable: The Python interpreter; one inside Envoy does not know its own.
    """

    file: str
    rest: str
    grpc: str
    admin: str
    private: str
    executable: str

    @property
    def departures(self) -> Path:
        """The pipe in which Envoy names the requests whose clients have left, one a line."""
        return Path(self.private) / "departures"

    @property
    def envoy_admin(self) -> Path:
        """The socket on which Envoy takes orders."""
        return Path(self.private) / "envoy.sock"

    @property
    def listen(self) -> ListenOverrides:
        """The addresses, as they replace the file's."""
        return ListenOverrides(rest=self.rest, grpc=self.grpc, admin=self.admin)

    def as_environment(self) -> dict[str, str]:
        """What Envoy's environment has to say."""
        return {_VARIABLE: json.dumps(dataclasses.asdict(self))}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """The terms that this process was started with; KeyError if it was not."""
        return cls(**json.loads(environment[_VARIABLE]))
