"""What can be configured of a backend: which protocol it speaks, where it is, and what it cannot tell itself.

A part of `config`, which has the rest and gives `BackendConfig` again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le

from gateway.tensors import Datatype

__all__ = [
    "BackendConfig",
    "BackendTlsConfig",
    "DeclaredModelConfig",
    "DeclaredTensorConfig",
    "backend_problems",
]

_STRICT: Mapping[str, object] = {"extra": "forbid", "strict": False}
_ONLY: Mapping[str, str] = {"tfserving": "grpc", "torchserve": "rest"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendTlsConfig:
    """How a backend is reached over TLS; its being there turns TLS on. The files are PEM.

    Attributes:
        ca_file: Who signs the backend's certificate; "" for the authorities that this machine trusts.
        cert_file, key_file: The gateway's own certificate and key, both or neither.
        server_name: The name to expect in the certificate; "" for the address's host.
    """

    __pydantic_config__: ClassVar = _STRICT
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredTensorConfig:
    """One input or output of a model that its server cannot describe; -1 is a dynamic dimension."""

    __pydantic_config__: ClassVar = _STRICT
    name: str
    datatype: Datatype
    shape: tuple[Annotated[int, Ge(-1)], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredModelConfig:
    """The signature of a model that its server cannot describe: TorchServe has none."""

    __pydantic_config__: ClassVar = _STRICT
    model: str
    inputs: tuple[DeclaredTensorConfig, ...]
    outputs: tuple[DeclaredTensorConfig, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendConfig:
    """One serving system, at one address or at several.

    Attributes:
        kind: `tfserving`, `oip` (the Open Inference Protocol: Triton, KServe, MLServer) or `torchserve`.
        protocol: None for the kind's own: REST for `torchserve`, else gRPC.
        address: `host:port`, or `unix:/path`; over gRPC also gRPC's own schemes.
        replicas: More addresses of the same system; requests are spread over all of them.
        max_hedge_ratio: Hedges for each batch, on average: calls of a second replica while the first has not
            answered a batch for longer than it has answered most of that size. 0 for none.
        management: Where TorchServe's management API answers, "" if it shall not be asked.
        body: How the rows are put to a TorchServe model's code.
        declared: Signatures that the server cannot tell.
        forwards_reload: Whether a caller of the gateway may change what a TF Serving serves.
    """

    __pydantic_config__: ClassVar = _STRICT
    kind: Literal["tfserving", "oip", "torchserve"]
    address: str
    protocol: Literal["grpc", "rest"] | None = None
    replicas: tuple[str, ...] = ()
    max_hedge_ratio: Annotated[float, Ge(0), Le(1)] = 0.0
    max_message_bytes: Annotated[int, Ge(1)] = 256 * 1024 * 1024
    tls: BackendTlsConfig | None = None
    management: str = ""
    body: Literal["instances", "oip"] = "instances"
    declared: tuple[DeclaredModelConfig, ...] = ()
    forwards_reload: bool = False

    @property
    def is_rest(self) -> bool:
        """Whether it is asked over HTTP."""
        return (self.protocol or ("rest" if self.kind == "torchserve" else "grpc")) == "rest"

    @property
    def addresses(self) -> tuple[str, ...]:
        """All of them, without repeats."""
        return tuple(dict.fromkeys((self.address, *self.replicas)))


def backend_problems(where: str, backend: BackendConfig) -> list[tuple[str, str]]:
    """Everything wrong that no single value shows: (dotted place, message); `where` is the backend's."""
    problems: list[tuple[str, str]] = []
    if backend.kind != "oip" and backend.protocol not in (None, _ONLY[backend.kind]):
        wanted = f'{backend.kind} is asked over "{_ONLY[backend.kind]}" only'
        problems.append((f"{where}.protocol", f'got "{backend.protocol}", {wanted}'))
    if backend.kind != "torchserve":
        problems += [
            (f"{where}.{name}", 'is only for kind = "torchserve"')
            for name in ("declared", "management")
            if getattr(backend, name)
        ]
    if backend.kind != "tfserving" and backend.forwards_reload:
        problems.append((f"{where}.forwards_reload", 'is only for kind = "tfserving"'))
    if backend.max_hedge_ratio and len(backend.addresses) == 1:
        problems.append((f"{where}.max_hedge_ratio", "needs more than one address: see replicas"))
    tls = backend.tls
    if tls is not None and bool(tls.cert_file) is not bool(tls.key_file):
        problems.append((f"{where}.tls", "wants both cert_file and key_file, or neither"))
    return problems
