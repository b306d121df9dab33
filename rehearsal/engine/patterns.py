"""What AWS refuses in an event pattern.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html

The rules and their words are those of aws/event-ruler (JsonRuleCompiler, 2026-07-21), by which EventBridge matches;
that it refuses accordingly was recorded by LocalStack (snapshot of March 2026).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

MOST_WILDCARDS = 5
"""In one value. AWS counts otherwise and says nowhere how; six were too complex."""


class PatternError(ValueError):
    """Raised when a pattern is refused; says why."""


def check_pattern(pattern: Any) -> None:
    """Check a pattern that was read from JSON; raises PatternError."""
    if not isinstance(pattern, dict):
        raise PatternError("Filter is not an object")
    if not pattern:
        raise PatternError("Empty objects are not allowed")
    for name, value in pattern.items():
        if name == "$or":
            _check_alternatives(value)
        elif isinstance(value, dict):
            check_pattern(value)
        elif isinstance(value, list):
            _check_values(value)
        else:
            raise PatternError(f'"{name}" must be an object or an array')


def _check_alternatives(value: Any) -> None:
    if not isinstance(value, list) or len(value) < 2:
        raise PatternError("There must have at least 2 Objects in $or relationship.")
    for alternative in value:
        check_pattern(alternative)


def _check_values(values: list[Any]) -> None:
    if not values:
        raise PatternError("Empty arrays are not allowed")
    for value in values:
        if isinstance(value, list):
            raise PatternError("Match value must be String, number, true, false, or null")
        if isinstance(value, dict):
            _check_operator(value)


def _check_operator(match: dict[str, Any]) -> None:
    if len(match) != 1:
        raise PatternError("Only one key allowed in match expression")
    ((operator, value),) = match.items()
    check = _OPERATORS.get(operator)
    if check is None:
        raise PatternError(f"Unrecognized match type {operator}")
    check(value)


def _check_affix(value: Any) -> None:
    if isinstance(value, dict) and list(value) == ["equals-ignore-case"]:
        (value,) = value.values()
    _check_text(value)


def _check_text(value: Any) -> None:
    if not isinstance(value, str):
        raise PatternError("the match pattern must be a string")


def _check_wildcard(value: Any) -> None:
    _check_text(value)
    plain = value.replace("\\\\", "").replace("\\*", "")
    if "**" in plain:
        raise PatternError("Consecutive wildcard characters")
    if plain.count("*") > MOST_WILDCARDS:
        raise PatternError("Rule is too complex - try using fewer wildcard characters or fewer repeating sequences")


def _check_network(value: Any) -> None:
    _check_text(value)
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError as error:
        raise PatternError(f"Malformed CIDR: {error}") from error


def _check_exists(value: Any) -> None:
    if not isinstance(value, bool):
        raise PatternError("exists match pattern must be either true or false.")


def _check_numeric(value: Any) -> None:
    """One comparison, or a lower limit and an upper one."""
    if not isinstance(value, list):
        raise PatternError("Value of numeric must be an array.")
    operators, numbers = value[::2], value[1::2]
    if not operators or len(operators) != len(numbers) or not all(map(_is_number, numbers)):
        raise PatternError("Value of a comparison must be numeric")
    for operator in operators:
        if operator not in ("=", "<", "<=", ">", ">="):
            raise PatternError(f"Unrecognized numeric range operator: {operator}")
    if len(operators) > 2 or (len(operators) == 2 and [operator[0] for operator in operators] != [">", "<"]):
        raise PatternError("Too many elements in numeric expression")
    if len(numbers) == 2 and numbers[0] >= numbers[1]:
        raise PatternError("Bottom must be less than top")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_anything_but(value: Any) -> None:
    if isinstance(value, dict):
        if len(value) != 1:
            raise PatternError("Only one key allowed in match expression")
        ((operator, value),) = value.items()
        if operator not in ("equals-ignore-case", "prefix", "suffix", "wildcard"):
            raise PatternError(f"Unsupported anything-but pattern: {operator}")
        for text in value if isinstance(value, list) else [value]:
            _OPERATORS["wildcard" if operator == "wildcard" else "equals-ignore-case"](text)
            if not text and operator in ("prefix", "suffix"):
                raise PatternError("Null prefix/suffix not allowed")
        return
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in values) and not all(map(_is_number, values)):
        raise PatternError("Inside anything but list, either all values are number or string")


_OPERATORS: Mapping[str, Callable[[Any], None]] = {
    "anything-but": _check_anything_but,
    "cidr": _check_network,
    "equals-ignore-case": _check_text,
    "exists": _check_exists,
    "numeric": _check_numeric,
    "prefix": _check_affix,
    "suffix": _check_affix,
    "wildcard": _check_wildcard,
}
