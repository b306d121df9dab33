"""JSONata expressions of state machines: what one reads, found out without evaluating it.

https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jsonata import Jsonata
from jsonata.jexception import JException

FUNCTIONS = (frozenset(Jsonata.static_frame.bindings) - {"eval"}) | {"hash", "parse", "partition", "range", "uuid"}
"""The functions that Step Functions has: those of JSONata but `$eval`, and its own."""

_EXPRESSION = re.compile(r"\{%(.*)%\}", re.DOTALL)


class ExpressionError(ValueError):
    """Raised when an expression does not parse; says why, in the words of JSONata's reference implementation."""


@dataclass
class Reads:
    """What an expression reads."""

    variables: set[str] = field(default_factory=set)
    """Variables, and functions that it calls, that it does not bind itself."""
    names: list[str] = field(default_factory=list)
    """Fields of the context item, which Step Functions does not give, and `$$`, its root."""
    states: set[tuple[str, ...]] = field(default_factory=set)
    """Paths within `$states`, such as ("input", "name"); the empty one where it is read whole."""


def unwrap(text: str) -> str | None:
    """Return the expression in a string of a definition; None for a string that is no expression."""
    match = _EXPRESSION.fullmatch(text)
    return match[1] if match else None


@lru_cache(maxsize=4096)
def parse(expression: str) -> Jsonata:
    """Return the parsed expression; raises ExpressionError."""
    try:
        parsed = Jsonata(expression)
    except JException as error:
        raise ExpressionError(describe_error(error)) from error
    parsed.set_validate_input(False)
    parsed.set_output_convert_nulls(False)
    return parsed


def describe_error(error: JException) -> str:
    """Return the message of an error as the reference implementation writes it: what it quotes is JSON."""
    template = JException.error_codes.get(error.error)
    if template is None:
        return str(error)
    values = iter([error.current, error.expected, error.extra])

    def fill(match: re.Match[str]) -> str:
        value = next(values, None)
        return str(value) if match[0].startswith("{{{") else json.dumps(value, ensure_ascii=False, default=str)

    return re.sub(r"\{\{\{\w+\}\}\}|\{\{\w+\}\}", fill, template)


@lru_cache(maxsize=4096)
def read(expression: str) -> Reads:
    """Return what an expression reads; raises ExpressionError when it does not parse."""
    found, bound = Reads(), set[str]()
    _visit(parse(expression).ast, False, found, bound)
    found.variables -= bound
    return found


def _visit(node: Any, has_context: bool, found: Reads, bound: set[str]) -> None:
    kind = node.type
    if kind == "name" and not has_context:
        found.names.append(str(node.value))
    elif kind == "variable":
        _note_variable(str(node.value), found)
    elif kind == "path":
        _visit_path(node.steps, has_context, found, bound)
    elif kind == "bind":
        bound.add(str(node.lhs.value))
    elif kind == "lambda":
        bound.update(str(parameter.value) for parameter in node.arguments)
    bound.update(name for name in (getattr(node, "focus", None), getattr(node, "index", None)) if name)
    for part in _PARTS:
        for child in _flatten(getattr(node, part, None)):
            _visit(child, has_context or part in _OF_EACH_ITEM or kind == "transform", found, bound)


def _note_variable(name: str, found: Reads) -> None:
    if name == "$":
        found.names.append("$$")
    elif name == "states":
        found.states.add(())
    elif name:
        found.variables.add(name)


def _visit_path(steps: Sequence[Any], has_context: bool, found: Reads, bound: set[str]) -> None:
    first, *others = steps
    if first.type == "variable" and first.value == "states" and not first.predicate:
        members = itertools.takewhile(lambda step: step.type == "name", others)
        found.states.add(tuple(str(step.value) for step in members))
    else:
        _visit(first, has_context, found, bound)
    for step in others:
        _visit(step, True, found, bound)


def _flatten(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _flatten(item)
    elif hasattr(value, "type"):
        yield value


_OF_EACH_ITEM = ("predicate", "stages", "terms", "group")
"""The parts of a node that are evaluated for each item of what it selects."""

_PARTS = (
    *_OF_EACH_ITEM,
    *("lhs", "rhs", "lhs_object", "rhs_object", "expr", "expression", "expressions", "condition", "then", "_else"),
    *("procedure", "arguments", "body", "pattern", "update", "delete"),
)
