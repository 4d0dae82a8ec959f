"""What do a backend's TLS settings mean to gRPC, and to HTTP?

The files are read when the backend is first asked, and again only when its settings change.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from gateway.backend_config import BackendTlsConfig
from gateway.errors import BackendUnavailable

__all__ = ["grpc_credentials", "ssl_context"]


def grpc_credentials(tls: BackendTlsConfig) -> grpc.ChannelCredentials:
    """What a secure channel wants.

    Raises:
        BackendUnavailable: a file cannot be read; it may be there the next time.
    """
    return grpc.ssl_channel_credentials(
        root_certificates=_read("ca_file", tls.ca_file),
        private_key=_read("key_file", tls.key_file),
        certificate_chain=_read("cert_file", tls.cert_file),
    )


def ssl_context(tls: BackendTlsConfig) -> ssl.SSLContext:
    """What an HTTPS connection wants.

    Raises:
        BackendUnavailable: a file cannot be read, or is no certificate or key.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except OSError as exc:  # ssl.SSLError is one
        raise BackendUnavailable(f"tls: the certificates cannot be used: {exc}") from exc
    return context


def _read(setting: str, path: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise BackendUnavailable(f"tls.{setting}: {exc}") from exc
