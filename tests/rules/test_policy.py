"""The keys of the policy: each has a default, a check, a reader, and an explanation in docs/running.md."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from drydock.request.policy import DEFAULTS
from tests.rules.project import LAYER, ROOT

PAGE = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
POLICY = LAYER / "drydock" / "request" / "policy.py"


def keys_of(section: Mapping[str, Any]) -> Iterator[str]:
    for key, value in section.items():
        yield key
        if isinstance(value, Mapping):
            yield from keys_of(value)


KEYS = sorted(set(keys_of(DEFAULTS)))


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_the_policy_is_explained(key: str) -> None:
    tables = PAGE[PAGE.index("## The policy") : PAGE.index("\n## ", PAGE.index("## The policy"))]
    rows = [line for line in tables.splitlines() if line.startswith("|")]
    assert any(re.search(rf"`{key}`", row) for row in rows)


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_the_policy_is_read_by_something(key: str) -> None:
    python = [path for path in (LAYER / "drydock").rglob("*.py") if path != POLICY]
    asl = [*(ROOT / "statemachines").glob("*.asl.yaml")]
    readers = [path.name for path in (*python, *asl) if re.search(rf"\b{key}\b", path.read_text(encoding="utf-8"))]
    assert readers
