"""How large an item is, as DynamoDB counts.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Item = Mapping[str, Any]
"""As DynamoDB's API has it."""


def _size_of_value(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        return (len(content) + 1) // 2 + 1
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + _size_of_value(one) for name, one in content.items())
    if kind == "L":
        return 3 + sum(1 + _size_of_value(one) for one in content)
    return 1


def size_of(item: Item) -> int:
    """Bytes of an item, as DynamoDB counts them."""
    return sum(len(name.encode()) + _size_of_value(value) for name, value in item.items())
