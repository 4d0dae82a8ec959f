"""What has come of a change that several replicas were told to make?"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.errors import BackendRefused, GatewayError

__all__ = ["all_taken"]


def all_taken(answers: Mapping[str, bytes | GatewayError]) -> bytes:
    """The first answer, if every replica took the change; `answers` are by address. Pure.

    Raises:
        BackendError: none took it; the first one's error.
        BackendRefused: only some did, and they keep it; with the code of the first that did not, and its
            address.
    """
    taken = [answer for answer in answers.values() if isinstance(answer, bytes)]
    if len(taken) == len(answers):
        return taken[0]
    address, error = next((at, e) for at, e in answers.items() if isinstance(e, GatewayError))
    if not taken:
        raise error
    code, said = error.grpc_code, error.message
    if isinstance(error, BackendRefused) and error.code:
        code, said = error.code, error.details or error.message
    text = f"{len(taken)} of {len(answers)} replicas have taken it; {address} has not: {said}"
    raise BackendRefused(text, code=code, details=text) from error
