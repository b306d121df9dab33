"""The keys of the policy: each has a default, a check, a reader, and an explanation in the README."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from drydock.request.policy import DEFAULTS
from tests.rules.project import LAYER, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
POLICY = LAYER / "drydock" / "request" / "policy.py"


def keys_of(section: Mapping[str, Any]) -> Iterator[str]:
    for key, value in section.items():
        yield key
        if isinstance(value, Mapping):
            yield from keys_of(value)


KEYS = sorted(set(keys_of(DEFAULTS)))


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_the_policy_is_explained_in_the_readme(key: str) -> None:
    tables = README[README.index("### The policy") : README.index("## ", README.index("### The policy") + 4)]
    rows = [line for line in tables.splitlines() if line.startswith("|")]
    assert any(re.search(rf"`{key}`", row) for row in rows)


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_the_policy_is_read_by_something(key: str) -> None:
    python = [path for path in (LAYER / "drydock").rglob("*.py") if path != POLICY]
    asl = [*(ROOT / "statemachines").glob("*.asl.yaml")]
    readers = [path.name for path in (*python, *asl) if re.search(rf"\b{key}\b", path.read_text(encoding="utf-8"))]
    assert readers
