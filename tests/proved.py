"""Cases of a test that only `make prove` runs, because others show the same every time."""

from __future__ import annotations

from typing import Any

import pytest


def proved(*values: Any, id: str | None = None) -> Any:
    """A case of a parametrised test that only `make prove` runs."""
    return pytest.param(*values, id=id, marks=pytest.mark.prove)
