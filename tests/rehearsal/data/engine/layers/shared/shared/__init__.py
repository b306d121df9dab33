"""A layer's package: keeps its clients, as real layers do."""

from __future__ import annotations

from typing import Any

import boto3

_clients: dict[str, Any] = {}


class NotReadyError(Exception):
    """Raised when it is too early."""


def client(service: str) -> Any:
    """Return the client of a service, made once."""
    if service not in _clients:
        _clients[service] = boto3.client(service)  # type: ignore[call-overload,unused-ignore]
    return _clients[service]
