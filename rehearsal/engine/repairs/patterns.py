"""Event patterns are refused and matched as EventBridge does it."""

from __future__ import annotations

from typing import Any

from moto.events.exceptions import InvalidEventPatternException
from moto.events.models import EventPattern, EventPatternParser

from rehearsal.engine.patterns import PatternError, check_pattern
from rehearsal.engine.repairs.patches import Patches


def repair_event_patterns(patches: Patches) -> None:
    """moto takes most malformed patterns, which AWS refuses, finds an empty array to exist, which AWS does not, and
    does not look into the objects of an array, which AWS does (LocalStack's snapshot of March 2026).
    """

    def validate(self: Any, pattern: Any) -> None:
        try:
            # No pattern at all is none of PutRule's business here: a rule may have a schedule alone.
            if pattern or self.pattern:
                check_pattern(pattern)
        except PatternError as error:
            raise InvalidEventPatternException(reason=str(error)) from error

    def flatten(event: Any) -> dict[str, Any]:
        found: dict[str, list[Any]] = {}

        def visit(node: Any, path: str) -> None:
            if isinstance(node, dict) and node:
                for name, value in node.items():
                    visit(value, f"{path}.{name}" if path else name)
            elif isinstance(node, list):
                for item in node:
                    visit(item, path)
            else:
                found.setdefault(path, []).append(node)

        visit(event, "")
        return found

    patches.replace(EventPatternParser, "_validate_event_pattern", validate)
    patches.replace(EventPattern, "_flatten_dict", staticmethod(flatten))
