"""What do we ask any server of the Open Inference Protocol, whether over gRPC or REST?

describe   what the server can do, from its metadata; then the model's metadata; then its configuration
           where there is one
versions   the repository index; where the server has none, or keeps it from us, the versions in the
           model's metadata, and of each whether it is ready
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from gateway.backends.oip_traits import Traits, traits_of, with_max_rows
from gateway.backends.oip_versions import statuses_of
from gateway.backends.patience import lookup_deadline
from gateway.codecs.oip_model import IndexedModel, ServerMetadata
from gateway.messages import Deadline, ModelDescription, VersionStatus

__all__ = ["OipServer"]


class _Link(Protocol):
    name: str
    address: str

    async def aclose(self) -> None: ...


class OipServer(ABC):
    """One server at one address; how its questions are put is its subclasses' business.

    Attributes:
        name: The backend's name in the configuration, for errors.
    """

    # The state is the link, and what the server last said it can do.

    def __init__(self, link: _Link) -> None:
        self.name = link.name
        self._traits = Traits()
        self._link = link

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self._link.address!r})"

    async def describe(self, model: str, version: str | None) -> ModelDescription:
        """The signature of one version, the newest that the server lists when `version` is None.

        Raises:
            UnknownModel: it does not serve that model or version.
            BackendError: it could not say.
        """
        deadline = lookup_deadline()
        metadata = await self._ask_server(model, deadline)
        self._traits = Traits() if metadata is None else traits_of(metadata)
        described = await self._ask_model(model, version, deadline)
        described = dataclasses.replace(
            described, model=model, version=version or described.version
        )
        if not self._traits.has_config:
            return described
        return with_max_rows(described, await self._ask_max_rows(model, version, deadline))

    async def versions(self, model: str) -> tuple[VersionStatus, ...]:
        """Every version it knows of `model`, newest first.

        Raises:
            UnknownModel: it does not serve that model.
            BackendError: it could not say.
        """
        deadline = lookup_deadline()
        index = await self._ask_index(model, deadline)
        if index is not None:
            return statuses_of(index, model, self.name)
        listed = await self._ask_listed(model, deadline)
        return tuple([await self._status(model, version, deadline) for version in listed])

    async def aclose(self) -> None:
        """Close the connections; calls still in flight fail."""
        await self._link.aclose()

    async def _status(self, model: str, version: str, deadline: Deadline) -> VersionStatus:
        is_ready = await self._ask_ready(model, version, deadline)
        # Listed but not ready: the protocol cannot say more, and it may become so.
        return VersionStatus(version=version, state="AVAILABLE" if is_ready else "LOADING")

    @abstractmethod
    async def _ask_server(self, model: str, deadline: Deadline) -> ServerMetadata | None:
        """What the server tells of itself, None where it tells nothing; `model` is for errors."""

    @abstractmethod
    async def _ask_model(
        self, model: str, version: str | None, deadline: Deadline
    ) -> ModelDescription:
        """The model's metadata."""

    @abstractmethod
    async def _ask_max_rows(self, model: str, version: str | None, deadline: Deadline) -> int:
        """The model's `max_batch_size`."""

    @abstractmethod
    async def _ask_index(self, model: str, deadline: Deadline) -> Sequence[IndexedModel] | None:
        """The repository index, None where there is none for us; `model` is for errors."""

    @abstractmethod
    async def _ask_listed(self, model: str, deadline: Deadline) -> Sequence[str]:
        """The versions in the model's metadata, newest first."""

    @abstractmethod
    async def _ask_ready(self, model: str, version: str, deadline: Deadline) -> bool:
        """Whether the version says that it is ready."""
