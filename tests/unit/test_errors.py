"""The errors are the contract with the state machines: each says when it is raised."""

from __future__ import annotations

import inspect

import pytest

from drydock import errors

CLASSES = [found for _, found in inspect.getmembers(errors, inspect.isclass) if found.__module__ == errors.__name__]


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_every_error_says_when_it_is_raised(error: type[Exception]) -> None:
    said = inspect.getdoc(error) or ""

    assert issubclass(error, errors.DrydockError)
    assert error.__name__.endswith("Error")
    assert said.startswith("Raised when") or error is errors.DrydockError
