"""Errors of AWS services, in the form that moto sends to clients."""

from __future__ import annotations

from functools import cache

from moto.core.exceptions import ServiceException


def service_error(service: str, code: str, message: str) -> ServiceException:
    """Return the exception that a service (as moto names its package) answers with."""
    return _error_class(service)(code, message)


@cache
def _error_class(service: str) -> type[ServiceException]:
    # moto finds the model of an error by the module of its class.
    return type("ServiceError", (ServiceException,), {"__module__": f"moto.{service}.exceptions"})
