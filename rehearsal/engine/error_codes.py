"""What AWS's error codes mean, and with which HTTP status they come: `rehearsal/error_codes.yaml`, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

from rehearsal.engine.project import PACKAGE, read_yaml

TABLE = PACKAGE / "error_codes.yaml"

Meaning = Literal["throttled", "passes", "final"]


@dataclass(frozen=True)
class ErrorCode:
    """One code of one service."""

    code: str
    meaning: Meaning
    status: int

    @property
    def passes(self) -> bool:
        """Say whether the same call may succeed a little later."""
        return self.meaning != "final"


@cache
def table() -> Mapping[str, Any]:
    """Return the table as it is written."""
    parsed: Mapping[str, Any] = read_yaml(TABLE.read_text())
    return parsed


def read_codes(part: Mapping[str, str]) -> dict[str, ErrorCode]:
    """Return the codes of one part of the table, by code."""
    codes = {}
    for code, text in part.items():
        meaning, _, status = text.partition(" ")
        codes[code] = ErrorCode(code, cast(Meaning, meaning), int(status or 400))
    return codes


@cache
def codes_of(service: str) -> Mapping[str, ErrorCode]:
    """Return the codes of a service, by code: its own, and those that every service may answer."""
    parts = table()["ec2"].values() if service == "ec2" else [table()["modeled"].get(service, {})]
    found = read_codes(table()["common"])
    for part in parts:
        found |= read_codes(part)
    return found


def status_of(service: str, code: str) -> int:
    """Return the HTTP status that a service answers with a code; 400 for one that is not in the table."""
    known = codes_of(service).get(code)
    return known.status if known else 400
