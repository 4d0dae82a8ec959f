"""How is a TorchServe asked over its REST APIs?

What the port's methods become:

    infer      POST /predictions/M[/V] of the inference API
    describe   GET /ping, then GET /models/M[/V] of the management API, if there is one.
               TorchServe has no typed signature: it is the one that was declared for the model, or else
               the one that the model's handler returns as its description
    versions   GET /models/M/all of the management API; without one, none is known
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from gateway.backends.errors import map_unreadable
from gateway.backends.http_errors import answered, found
from gateway.backends.http_link import HttpLink, HttpReply
from gateway.backends.patience import lookup_deadline
from gateway.codecs import torchserve
from gateway.codecs.torchserve import BodyForm
from gateway.codecs.torchserve_management import WorkedVersion, decode_models
from gateway.codecs.trace_context import carried
from gateway.errors import BackendInvalid, BackendUnavailable
from gateway.messages import (
    DEFAULT_SIGNATURE,
    Deadline,
    InferRequest,
    InferResponse,
    ModelDescription,
    VersionStatus,
)
from gateway.tensors import Signature

__all__ = ["TorchServeBackend"]

_PLATFORM = "torchserve"
_JSON = {"Content-Type": "application/json"}


class TorchServeBackend:
    """One TorchServe, at one address.

    Attributes:
        name: The backend's name in the configuration, for errors.
    """

    # Invariant: `_signatures` has the declared models from the start, the others once they are described.

    def __init__(
        self,
        link: HttpLink,
        *,
        management: HttpLink | None = None,
        declared: Mapping[str, Signature] | None = None,
        body: BodyForm = "instances",
    ) -> None:
        self.name = link.name
        self._declared = dict(declared or {})
        self._signatures = dict(self._declared)
        self._described: dict[str, str] = {}  # which version of a model described itself
        self._form: BodyForm = body
        self._link = link
        self._management = management

    def __repr__(self) -> str:
        return f"TorchServeBackend({self.name!r}, {self._link.address!r})"

    async def infer(self, batch: InferRequest, deadline: Deadline) -> InferResponse:
        """Send one batch and wait for its answer, at most until `deadline`.

        A cancelled caller closes the connection; the server still finishes the work.

        Raises:
            BackendUnavailable: it cannot be reached or went away.
            BackendTimeout: no answer before `deadline`.
            BackendBusy: it has no worker for the model, or its queue is full.
            BackendRefused: it answered with an error.
            BackendInvalid: its answer cannot be read, or nothing says what the model takes.
        """
        signature = self._signature_of(batch.model)
        body = torchserve.encode_request(batch, signature, self._form)
        path = f"/predictions/{_path(batch.model, batch.version)}"
        headers = _JSON if batch.trace is None else {**_JSON, **dict(carried(batch.trace) or ())}
        reply = await self._link.ask("POST", path, deadline, body=body, headers=headers)
        answered(reply, self.name, batch.model)
        with map_unreadable(self.name, batch.model, "prediction"):
            return torchserve.decode_response(
                reply.body, signature, model=batch.model, version=batch.version or ""
            )

    async def describe(self, model: str, version: str | None) -> ModelDescription:
        """The declared signature, else the handler's own; the default version when `version` is None.

        Without the management API the version that answers is not known: it is "".

        Raises:
            UnknownModel: it does not serve that model or version.
            BackendUnavailable: no worker of the model is ready.
            BackendInvalid: nothing says what the model takes and returns.
            BackendError: it could not say.
        """
        await self._ping()
        answers = version or ""
        if self._management is not None:
            answers = await self._ask_version(self._management, model, version)
        return ModelDescription(
            model=model,
            version=answers,
            platform=_PLATFORM,
            signatures={DEFAULT_SIGNATURE: self._signature_of(model)},
        )

    async def versions(self, model: str) -> tuple[VersionStatus, ...]:
        """Every version it knows of `model`, none without the management API.

        Raises:
            UnknownModel: it does not serve that model.
            BackendError: it could not say.
        """
        if self._management is None:
            await self._ping()
            return ()
        listed = await self._list(self._management, f"/models/{_path(model, 'all')}", model)
        return tuple(
            VersionStatus(version=found.version, state="AVAILABLE" if found.ready else "LOADING")
            for found in listed
        )

    async def aclose(self) -> None:
        """Close the connections; calls still in flight fail."""
        await self._link.aclose()
        if self._management is not None:
            await self._management.aclose()

    async def _ask_version(self, link: HttpLink, model: str, version: str | None) -> str:
        """The version that answers; learns on the way how the model's handler describes itself."""
        path = f"/models/{_path(model, version)}"
        listed = await self._list(link, path, model)
        if not listed or not listed[0].ready:
            raise BackendUnavailable(f"{model}: backend {self.name} has no worker ready for it")
        answers = listed[0].version
        if model not in self._declared and self._described.get(model) != answers:
            # A question to a worker: it waits behind the predictions, and for ever if there is no worker.
            (described, *_) = await self._list(link, f"{path}?customized=true", model) or listed
            if described.signature is not None:
                self._signatures[model] = described.signature
                self._described[model] = answers
        return answers

    async def _list(self, link: HttpLink, path: str, model: str) -> tuple[WorkedVersion, ...]:
        reply = found(await self._get(link, path), self.name, model)
        with map_unreadable(self.name, model, "model description"):
            return decode_models(reply.body)

    async def _ping(self) -> None:
        answered(await self._get(self._link, "/ping"), self.name, "")

    async def _get(self, link: HttpLink, path: str) -> HttpReply:
        return await link.ask("GET", path, lookup_deadline())

    def _signature_of(self, model: str) -> Signature:
        if model in self._signatures:
            return self._signatures[model]
        raise BackendInvalid(
            f"{model}: TorchServe has no typed signatures, and nothing says what this model takes."
            f" Declare it: [[backends.{self.name}.declared]] with model, inputs and outputs; or let its"
            f" handler describe itself, and set backends.{self.name}.management"
        )


def _path(model: str, version: str | None) -> str:
    path = quote(model, safe="")
    return f"{path}/{quote(version, safe='')}" if version else path
