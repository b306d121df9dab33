"""Attribute values as DynamoDB's API writes them, `{"S": "text"}`: their copies, their order and their sizes."""

from __future__ import annotations

import marshal
import re
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any, cast

from rehearsal.engine.answers import AWSError

Value = dict[str, Any]
"""One attribute value. Those in a table are shared by the versions of their item: nothing changes them."""
Attributes = dict[str, Value]

EXACT = Context(prec=300)
"""What DynamoDB computes in: more digits than it keeps."""

_DEEPEST = 32
_MOST_DIGITS = 38
_LARGEST = 125
"""The power of ten beyond which there is no number."""
_PLAIN_NUMBER = re.compile("0|-?[1-9][0-9]{0,37}")


def refuse(message: str) -> AWSError:
    """Return the error of a call that DynamoDB finds wrong."""
    return AWSError("ValidationException", message)


def refuse_values(message: str) -> AWSError:
    """Return the error of a call whose values DynamoDB finds wrong."""
    return refuse(f"One or more parameter values were invalid: {message}")


def take(value: Mapping[str, Any], depth: int = 0) -> Value:
    """Return a copy of a value as a table keeps it: numbers without needless zeros, sets in order.

    Raises TypeError for what is no attribute value, AWSError for what DynamoDB refuses.
    """
    ((kind, content),) = value.items()
    if kind == "S":
        if type(content) is not str:
            raise TypeError(f"no text: {content!r}")
        return {"S": content}
    if kind == "N":
        return {"N": _take_number(content)}
    if kind == "M":
        if depth == _DEEPEST:
            raise refuse("Nesting Levels have exceeded supported limits")
        return {"M": take_all(content, depth + 1)}
    if kind == "L":
        if depth == _DEEPEST:
            raise refuse("Nesting Levels have exceeded supported limits")
        return {"L": [take(one, depth + 1) for one in content]}
    if kind == "BOOL" or kind == "NULL":
        if type(content) is not bool:
            raise TypeError(f"neither true nor false: {content!r}")
        return {kind: content}
    if kind == "SS" or kind == "NS":
        return {kind: _take_set(kind, content)}
    if kind in ("B", "BS"):
        raise NotImplementedError("binary attributes are not rehearsed")
    raise TypeError(f"no attribute value: {value!r}")


def take_all(values: Mapping[str, Mapping[str, Any]], depth: int = 0) -> Attributes:
    """Return copies of named values as a table keeps them; raises as `take` does."""
    return {name: take(value, depth) for name, value in values.items()}


def _take_number(content: str) -> str:
    if _PLAIN_NUMBER.fullmatch(content):
        return content
    try:
        number = Decimal(content)
    except ArithmeticError:
        number = Decimal("NaN")
    if not number.is_finite():
        raise refuse(f"The parameter cannot be converted to a numeric value: {content}")
    return print_number(number)


def print_number(number: Decimal) -> str:
    """Return a number as DynamoDB writes it; raises AWSError when it has too many digits."""
    if number.adjusted() > _LARGEST and number:
        raise refuse("Number overflow. Attempting to store a number with magnitude larger than supported range")
    shortest = number.normalize(EXACT)
    if len(shortest.as_tuple().digits) > _MOST_DIGITS:
        raise refuse("Attempting to store more than 38 significant digits in a Number")
    return f"{shortest:f}" if shortest else "0"


def _take_set(kind: str, content: Any) -> list[str]:
    if not content:
        raise refuse_values(f"An {'string' if kind == 'SS' else 'number'} set  may not be empty")
    taken = [take({kind[0]: one})[kind[0]] for one in content]
    if len(set(taken)) < len(taken):
        raise refuse_values(f"Input collection [{', '.join(content)}] contains duplicates.")
    return sorted(taken) if kind == "SS" else sorted(taken, key=Decimal)


def give(attributes: Attributes) -> Attributes:
    """Return a copy that shares nothing with the table."""
    return unpack(pack(attributes))


def pack(attributes: Attributes) -> bytes:
    """Return what `unpack` makes copies of: several times as fast as a walk through them, and all of it is plain."""
    return marshal.dumps(attributes)


def unpack(packed: bytes) -> Attributes:
    """Return a copy of what was packed."""
    return cast(Attributes, marshal.loads(packed))


def order_of(value: Value) -> Any:
    """Return what values of one kind, texts or numbers, are compared by."""
    if "N" in value:
        return Decimal(value["N"])
    return value["S"]


def size_of_value(value: Mapping[str, Any]) -> int:
    """Return the bytes of a value:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        return (len(content) + 1) // 2 + 1
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + size_of_value(one) for name, one in content.items())
    if kind == "L":
        return 3 + sum(1 + size_of_value(one) for one in content)
    if kind in ("SS", "NS"):
        return sum(size_of_value({kind[0]: one}) for one in content)
    return 1


def size_of(item: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the bytes of an item, as DynamoDB counts them."""
    return sum(len(name.encode()) + size_of_value(value) for name, value in item.items())
