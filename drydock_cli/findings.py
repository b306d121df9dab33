"""What a check has found so far, and looks of which one that is not allowed ends nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

from botocore.exceptions import ClientError

from drydock.errors import AwsCallFailedError
from drydock_cli.documents import Finding
from drydock_cli.problems import explain

Level = Literal["problem", "unknown", "note"]
_Seen = TypeVar("_Seen")


class Findings:
    """The findings of a check, in order."""

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self._closed: set[str] = set()

    def add(self, level: Level, what: str, way: str, subject: str = "", name: str = "") -> None:
        self.found.append({"level": level, "subject": subject, "name": name, "what": what, "way": way})

    def problem(self, what: str, way: str, subject: str = "", name: str = "") -> None:
        self.add("problem", what, way, subject, name)

    def look(self, what: str, look: Callable[[], _Seen]) -> _Seen | None:
        """What a look finds; None where AWS refuses it, which is a finding of its own, once for each kind of look."""
        if what in self._closed:
            return None
        try:
            return look()
        except (ClientError, AwsCallFailedError) as error:
            self._closed.add(what)
            self.add("unknown", f"{what} cannot be looked at: {explain(error)}", "")
            return None
