"""What has a user of either protocol in common? Who it is, what it sends, and how it takes a failure."""

from __future__ import annotations

from typing import Any, ClassVar

from locust import User

from loadtests.dialects import Dialect
from loadtests.traffic import Traffic

__all__ = ["Failed", "GatewayUser"]

# What the gateway asks for in Retry-After. A user that did not wait would turn one fault into a storm.
_PAUSE_S = 1.0


class Failed(Exception):
    """The gateway answered with an error, or nothing did."""


class GatewayUser(User):
    """A caller that sends its next request when the last one is answered, at once if all was well.

    The class attributes other than `dialect` are set by the locustfile, from the command line.
    """

    abstract = True
    dialect: ClassVar[Dialect]
    traffic: ClassVar[Traffic]
    timeout_s: ClassVar[float]
    grpc_address: ClassVar[str]

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.visitor = self.traffic.visitor(self.dialect)
        self.pause_s = 0.0

    def wait_time(self) -> float:
        """Seconds until the next request."""
        return self.pause_s

    def note(self, failure: Exception | None) -> None:
        """Remember how the last request went."""
        self.pause_s = 0.0 if failure is None else _PAUSE_S
