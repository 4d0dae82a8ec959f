"""How is a server of the Open Inference Protocol asked over REST?

What the port's methods become:

    infer      POST /v2/models/M[/versions/V]/infer, tensors as raw bytes after the JSON part where the
               server advertises `binary_tensor_data`, else as JSON; several, where a batch is larger
               than the model takes at once
    describe   GET /v2/models/M[/versions/V]; before it /v2, for what the server can do, and after it
               …/config where there is one
    versions   POST /v2/repository/index; where the server has none, or keeps it from us, the versions
               in the metadata, and GET …/ready of each
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Final
from urllib.parse import quote

from gateway.backend_config import BackendTlsConfig
from gateway.backends.errors import map_unreadable
from gateway.backends.http_errors import answered, found
from gateway.backends.http_link import HttpLink, HttpReply
from gateway.backends.oip_traits import Traits, joined, pieces, traits_of, with_max_rows
from gateway.backends.oip_versions import statuses_of
from gateway.codecs import oip_json
from gateway.codecs.oip_config import read_max_batch_size_json
from gateway.codecs.oip_json_metadata import (
    decode_model_versions,
    decode_repository_index,
    decode_server_metadata,
)
from gateway.codecs.trace_context import carried
from gateway.errors import BackendInvalid
from gateway.messages import (
    Deadline,
    InferRequest,
    InferResponse,
    ModelDescription,
    VersionStatus,
)

__all__ = ["OipRestBackend"]

_LOOKUP_TIMEOUT_S = 10.0
_HEADER_LENGTH: Final = "inference-header-content-length"
_JSON = {"Content-Type": "application/json"}
_NO_SUCH_ROUTE = (400, 401, 403, 404, 405, 501)  # or one that is kept from us, as Triton's can be
_OK = 200


class OipRestBackend:
    """One server of the Open Inference Protocol, at one address, over HTTP.

    Attributes:
        name: The backend's name in the configuration, for errors.
    """

    # The state is the link, and what the server last said it can do, also of each model: `_max_rows`.

    def __init__(
        self,
        name: str,
        address: str,
        *,
        max_message_bytes: int,
        tls: BackendTlsConfig | None = None,
    ) -> None:
        self.name = name
        self._traits = Traits()
        self._max_rows: dict[str, int] = {}
        self._link = HttpLink(name, address, max_message_bytes=max_message_bytes, tls=tls)

    def __repr__(self) -> str:
        return f"OipRestBackend({self.name!r}, {self._link.address!r})"

    async def infer(self, batch: InferRequest, deadline: Deadline) -> InferResponse:
        """Send one batch and wait for its answer, at most until `deadline`.

        A cancelled caller closes the connection; the server may still finish the work.

        Raises:
            BackendUnavailable: it cannot be reached or went away.
            BackendTimeout: no answer before `deadline`.
            BackendRefused: it answered with an error.
            BackendInvalid: its answer cannot be read.
        """
        max_rows = self._max_rows.get(batch.model, 0)
        return joined([await self._infer(part, deadline) for part in pieces(batch, max_rows)])

    async def describe(self, model: str, version: str | None) -> ModelDescription:
        """The signature of one version, the newest that the server lists when `version` is None.

        Raises:
            UnknownModel: it does not serve that model or version.
            BackendError: it could not say.
        """
        deadline = self._lookup_deadline()
        self._traits = await self._ask_traits(deadline)
        reply = found(await self._get(_path(model, version), deadline), self.name, model)
        with map_unreadable(self.name, model, "model metadata"):
            described = oip_json.decode_model_metadata(reply.body)
        described = dataclasses.replace(
            described, model=model, version=version or described.version
        )
        if not self._traits.has_config:
            return described
        max_rows = await self._ask_max_rows(model, version, deadline)
        self._max_rows[model] = max_rows
        return with_max_rows(described, max_rows)

    async def versions(self, model: str) -> tuple[VersionStatus, ...]:
        """Every version it knows of `model`, newest first.

        Raises:
            UnknownModel: it does not serve that model.
            BackendError: it could not say.
        """
        deadline = self._lookup_deadline()
        reply = await self._link.ask(
            "POST", "/v2/repository/index", deadline, body=b"{}", headers=_JSON
        )
        if reply.status in _NO_SUCH_ROUTE:
            return await self._versions_from_metadata(model, deadline)
        answered(reply, self.name, model)
        with map_unreadable(self.name, model, "repository index"):
            index = decode_repository_index(reply.body)
        return statuses_of(index, model, self.name)

    async def aclose(self) -> None:
        """Close the connections; calls still in flight fail."""
        await self._link.aclose()

    async def _infer(self, batch: InferRequest, deadline: Deadline) -> InferResponse:
        body, header_length = oip_json.encode_request(batch, binary=self._traits.binary_data)
        headers = _JSON
        if header_length is not None:
            headers = {
                "Content-Type": "application/octet-stream",
                _HEADER_LENGTH: str(header_length),
            }
        if batch.trace is not None:
            headers = {**headers, **dict(carried(batch.trace) or ())}
        path = f"{_path(batch.model, batch.version)}/infer"
        reply = await self._link.ask("POST", path, deadline, body=body, headers=headers)
        answered(reply, self.name, batch.model)
        with map_unreadable(self.name, batch.model, "inference response"):
            return oip_json.decode_response(reply.body, self._json_bytes(reply))

    def _json_bytes(self, reply: HttpReply) -> int | None:
        """The length of the JSON part, None where it is all there is."""
        text = reply.headers.get(_HEADER_LENGTH)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 20):  # noqa: PLR2004 - of 64 bits
            raise BackendInvalid(f"backend {self.name} sent {_HEADER_LENGTH}: {text[:60]!r}")
        return int(text)

    async def _ask_traits(self, deadline: Deadline) -> Traits:
        reply = await self._get("/v2", deadline)
        if reply.status in _NO_SUCH_ROUTE:
            return Traits()
        answered(reply, self.name, "")
        with map_unreadable(self.name, "", "server metadata"):
            return traits_of(decode_server_metadata(reply.body))

    async def _ask_max_rows(self, model: str, version: str | None, deadline: Deadline) -> int:
        reply = await self._get(f"{_path(model, version)}/config", deadline)
        answered(reply, self.name, model)
        with map_unreadable(self.name, model, "model configuration"):
            return read_max_batch_size_json(reply.body)

    async def _versions_from_metadata(
        self, model: str, deadline: Deadline
    ) -> tuple[VersionStatus, ...]:
        reply = found(await self._get(_path(model, None), deadline), self.name, model)
        with map_unreadable(self.name, model, "model metadata"):
            listed = decode_model_versions(reply.body)
        return tuple([await self._ask_ready(model, version, deadline) for version in listed])

    async def _ask_ready(self, model: str, version: str, deadline: Deadline) -> VersionStatus:
        reply = await self._get(f"{_path(model, version)}/ready", deadline)
        # Listed but not ready: the protocol cannot say more, and it may become so.
        return VersionStatus(
            version=version, state="AVAILABLE" if reply.status == _OK else "LOADING"
        )

    async def _get(self, path: str, deadline: Deadline) -> HttpReply:
        return await self._link.ask("GET", path, deadline)

    def _lookup_deadline(self) -> Deadline:
        return Deadline.after(asyncio.get_running_loop().time(), _LOOKUP_TIMEOUT_S)


def _path(model: str, version: str | None) -> str:
    path = f"/v2/models/{quote(model, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path
