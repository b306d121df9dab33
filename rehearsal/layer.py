"""The layer's own code, where the rehearsal must judge exactly as the functions do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LAYER = str(Path(__file__).resolve().parents[1] / "layers" / "drydock")


@contextmanager
def layer() -> Iterator[None]:
    """Within it, `drydock` can be imported."""
    sys.path.insert(0, _LAYER)
    try:
        yield
    finally:
        sys.path.remove(_LAYER)
