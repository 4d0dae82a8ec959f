"""How is a server of the Open Inference Protocol asked over REST?

A prediction is `POST /v2/models/M[/versions/V]/infer`, tensors as raw bytes after the JSON part where the
server advertises `binary_tensor_data`, else as JSON. Which questions are asked about models is in
`oip_server`, and here, at which addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from gateway.backends.errors import map_unreadable
from gateway.backends.http_errors import answered, found
from gateway.backends.http_link import HttpLink, HttpReply
from gateway.backends.oip_server import OipServer
from gateway.codecs import oip_json
from gateway.codecs.oip_config import read_max_batch_size_json
from gateway.codecs.oip_json_metadata import (
    decode_model_versions,
    decode_repository_index,
    decode_server_metadata,
)
from gateway.codecs.oip_model import IndexedModel, ServerMetadata
from gateway.codecs.trace_context import carried
from gateway.errors import BackendInvalid
from gateway.messages import Deadline, InferRequest, InferResponse, ModelDescription

__all__ = ["OipRestBackend"]

_HEADER_LENGTH: Final = "inference-header-content-length"
_JSON = {"Content-Type": "application/json"}
_NO_SUCH_ROUTE = (400, 401, 403, 404, 405, 501)  # or one that is kept from us, as Triton's can be
_OK = 200


class OipRestBackend(OipServer):
    """One server of the Open Inference Protocol, at one address, over HTTP.

    Attributes:
        name: The backend's name in the configuration, for errors.
    """

    _link: HttpLink

    def __init__(self, link: HttpLink) -> None:
        super().__init__(link)

    async def infer(self, batch: InferRequest, deadline: Deadline) -> InferResponse:
        """Send one batch and wait for its answer, at most until `deadline`.

        A cancelled caller closes the connection; the server may still finish the work.

        Raises:
            BackendUnavailable: it cannot be reached or went away.
            BackendTimeout: no answer before `deadline`.
            BackendRefused: it answered with an error.
            BackendInvalid: its answer cannot be read.
        """
        body, header_length = oip_json.encode_request_apart(batch, binary=self._traits.binary_data)
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
            return oip_json.decode_response(reply.content, self._json_bytes(reply))

    def _json_bytes(self, reply: HttpReply) -> int | None:
        """The length of the JSON part, None where it is all there is."""
        text = reply.headers.get(_HEADER_LENGTH)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 20):  # noqa: PLR2004 - of 64 bits
            raise BackendInvalid(f"backend {self.name} sent {_HEADER_LENGTH}: {text[:60]!r}")
        return int(text)

    async def _ask_server(self, model: str, deadline: Deadline) -> ServerMetadata | None:
        reply = await self._get("/v2", deadline)
        if reply.status in _NO_SUCH_ROUTE:
            return None
        answered(reply, self.name, model)
        with map_unreadable(self.name, model, "server metadata"):
            return decode_server_metadata(reply.body)

    async def _ask_model(
        self, model: str, version: str | None, deadline: Deadline
    ) -> ModelDescription:
        reply = found(await self._get(_path(model, version), deadline), self.name, model)
        with map_unreadable(self.name, model, "model metadata"):
            return oip_json.decode_model_metadata(reply.body)

    async def _ask_max_rows(self, model: str, version: str | None, deadline: Deadline) -> int:
        reply = await self._get(f"{_path(model, version)}/config", deadline)
        answered(reply, self.name, model)
        with map_unreadable(self.name, model, "model configuration"):
            return read_max_batch_size_json(reply.body)

    async def _ask_index(self, model: str, deadline: Deadline) -> Sequence[IndexedModel] | None:
        reply = await self._link.ask(
            "POST", "/v2/repository/index", deadline, body=b"{}", headers=_JSON
        )
        if reply.status in _NO_SUCH_ROUTE:
            return None
        answered(reply, self.name, model)
        with map_unreadable(self.name, model, "repository index"):
            return decode_repository_index(reply.body)

    async def _ask_listed(self, model: str, deadline: Deadline) -> Sequence[str]:
        reply = found(await self._get(_path(model, None), deadline), self.name, model)
        with map_unreadable(self.name, model, "model metadata"):
            return decode_model_versions(reply.body)

    async def _ask_ready(self, model: str, version: str, deadline: Deadline) -> bool:
        reply = await self._get(f"{_path(model, version)}/ready", deadline)
        return reply.status == _OK

    async def _get(self, path: str, deadline: Deadline) -> HttpReply:
        return await self._link.ask("GET", path, deadline)


def _path(model: str, version: str | None) -> str:
    path = f"/v2/models/{quote(model, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path
