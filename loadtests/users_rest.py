"""How do users call over HTTP? One connection each, header and body in one write."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from locust import FastHttpUser, task

from loadtests.dialects import HEADER_LENGTH
from loadtests.traffic import Call
from loadtests.users import Failed, GatewayUser

__all__ = ["OipRest", "OipRestBinary", "TfsRest", "TfsRestColumns"]

_TEXT = 200  # characters of an error's text


class RestUser(GatewayUser, FastHttpUser):
    """A caller of either REST dialect."""

    abstract = True
    host = "http://127.0.0.1:8080"

    def __init__(self, environment: Any) -> None:
        self.connection_timeout = self.network_timeout = self.timeout_s
        super().__init__(environment)
        self._headers = {
            "Accept-Encoding": "identity",
            "x-tandem-unit": self.visitor.unit,
            "x-tandem-timeout-ms": str(round(self.timeout_s * 1e3)),
        }

    @task
    def call(self) -> None:
        """One request; its time ends with the last byte of the answer, before that is looked at."""
        call = self.visitor.next_call()
        encoded = call.encoded
        with self.client.post(
            encoded.path,
            data=encoded.body,  # type: ignore[arg-type]  # declared without the bytes that it documents
            headers={**self._headers, **encoded.headers},
            name=call.name,
            catch_response=True,
        ) as response:
            failure = self._failure(call, response)
            if failure is not None:
                response.failure(failure)
        self.note(failure)

    def _failure(self, call: Call, response: Any) -> Exception | None:
        if response.status_code == 0:  # no answer at all
            return Failed(f"{self.host}: {response.error}")
        body = response.content or b""
        if response.status_code != HTTPStatus.OK:
            return Failed(f"{response.status_code}: {body[:_TEXT].decode(errors='replace')}")
        return call.fault(body, response.headers.get(HEADER_LENGTH))


class TfsRest(RestUser):
    """TF Serving's REST API, `instances`: row by row."""

    dialect = "tfs-rest"


class TfsRestColumns(RestUser):
    """TF Serving's REST API, `inputs`: column by column."""

    dialect = "tfs-rest-columns"


class OipRest(RestUser):
    """The Open Inference Protocol over HTTP, tensors as JSON."""

    dialect = "oip-rest"


class OipRestBinary(RestUser):
    """The Open Inference Protocol over HTTP, tensors as raw bytes after the JSON, both ways."""

    dialect = "oip-rest-binary"
