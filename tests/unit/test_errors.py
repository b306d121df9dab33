"""Errors are found by the names that states, items and messages have for them."""

from __future__ import annotations

import pytest

from drydock.errors import ImageFailedError, error_named, outcome_of_failure


def test_an_error_is_found_by_its_name() -> None:
    assert error_named("ImageFailedError") is ImageFailedError


@pytest.mark.parametrize("name", ["", "ABORTED", "States.Runtime", "ValueError", "Literal", "error_named"])
def test_a_name_of_somebody_elses_error_is_none_of_drydocks(name: str) -> None:
    assert error_named(name) is None
    assert outcome_of_failure(name) == "failed"
