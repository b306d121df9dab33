"""DynamoDB's expressions: parsed once for each text, and held against an item.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html. What stands for a name (`#name`) or a
value (`:value`) is looked up when the expression is held against an item.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

from rehearsal.engine.dynamodb.values import EXACT, Attributes, Value, order_of, print_number, refuse

Names = Mapping[str, str]
Values = Mapping[str, Value]
Condition = Callable[[Attributes, Names, Values], bool]
_Operand = Callable[[Attributes, Names, Values], Value | None]

_NO_PATH = "The document path provided in the update expression is invalid for update"
_NO_ATTRIBUTE = "The provided expression refers to an attribute that does not exist in the item"
_WRONG_TYPE = "An operand in the update expression has an incorrect data type"


@dataclass(frozen=True)
class Path:
    """A document path: names or what stands for them (`#name`), and the numbers of elements of lists."""

    parts: tuple[str | int, ...]

    def resolve(self, names: Names) -> tuple[str | int, ...]:
        """Return the path with its names."""
        return tuple(names[part] if type(part) is str and part[0] == "#" else part for part in self.parts)

    def find(self, attributes: Attributes, names: Names) -> Value | None:
        """Return the value at the path, None when there is none."""
        found: Value | None = {"M": attributes}
        for part in self.parts:
            if found is None:
                return None
            if type(part) is int:
                elements = found.get("L", ())
                found = elements[part] if part < len(elements) else None
            else:
                found = found.get("M", {}).get(names[part] if part[0] == "#" else part)  # type: ignore[index]
        return found


@dataclass(frozen=True)
class Parsed:
    """An expression: `what` DynamoDB calls it, and what it wants to be given (`#name`, `:value`)."""

    what: str
    names: frozenset[str]
    values: frozenset[str]


@dataclass(frozen=True)
class ParsedCondition(Parsed):
    """A condition or a filter."""

    holds: Condition


@dataclass(frozen=True)
class KeyTerm:
    """What a query wants of one attribute: `comparator` is one of `= < <= > >= BETWEEN begins_with`."""

    path: Path
    comparator: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class ParsedKeyCondition(Parsed):
    """What a query wants of the attributes of a key."""

    terms: tuple[KeyTerm, ...]


@dataclass(frozen=True)
class ParsedProjection(Parsed):
    """The attributes that a reader wants."""

    paths: tuple[Path, ...]


@dataclass(frozen=True)
class ParsedUpdate(Parsed):
    """The actions of an update."""

    sets: tuple[tuple[Path, _Operand], ...]
    removals: tuple[Path, ...]
    additions: tuple[tuple[Path, str], ...]
    copies: bool
    """Whether something is set to what was in the item before."""

    def resolve(self, names: Names) -> list[tuple[str | int, ...]]:
        """Return the paths that are changed; raises AWSError when two of them overlap."""
        changed = [*(path for path, _ in self.sets), *self.removals, *(path for path, _ in self.additions)]
        paths = [path.resolve(names) for path in changed]
        if len({path[0] for path in paths}) < len(paths):
            for number, one in enumerate(paths):
                for other in paths[number + 1 :]:
                    shorter = min(len(one), len(other))
                    if one[:shorter] == other[:shorter]:
                        raise refuse(
                            "Invalid UpdateExpression: Two document paths overlap with each other; must remove or "
                            f"rewrite one of these paths; path one: {_print(one)}, path two: {_print(other)}"
                        )
        return paths

    def apply(self, before: Attributes, names: Names, values: Values) -> Attributes:
        """Return the attributes after the update, whose values are computed from what was before."""
        put = [(path.resolve(names), operand(before, names, values)) for path, operand in self.sets]
        for path, given in self.additions:
            found, more = path.find(before, names), values[given]
            if set(more) != {"N"} or (found is not None and set(found) != {"N"}):
                raise refuse(_WRONG_TYPE)
            put.append((path.resolve(names), _add(found or {"N": "0"}, more)))
        after: Attributes = dict(before)
        for place, value in put:
            if value is None:
                raise refuse(_NO_ATTRIBUTE)
            _put(after, place, value)
        # The numbers of a list's elements are those from before the update.
        for place in sorted((path.resolve(names) for path in self.removals), key=_last_number, reverse=True):
            _remove(after, place)
        return after


def _last_number(path: tuple[str | int, ...]) -> int:
    return path[-1] if type(path[-1]) is int else 0


def _print(path: Sequence[str | int]) -> str:
    return f"[{', '.join(f'[{part}]' if type(part) is int else str(part) for part in path)}]"


def _reach(attributes: Attributes, path: tuple[str | int, ...]) -> Any:
    """Return what holds the last part of a path, in containers that belong to the new version of the item alone."""
    container: Any = attributes
    for part in path[:-1]:
        if type(part) is int:
            found = container[part] if type(container) is list and part < len(container) else None
        else:
            found = container.get(part) if type(container) is dict else None
        kind = next((kind for kind in ("M", "L") if found is not None and kind in found), None)
        if found is None or kind is None:
            raise refuse(_NO_PATH)
        copied = dict(found[kind]) if kind == "M" else list(found[kind])
        container[part] = {kind: copied}
        container = copied
    if type(container) is not (list if type(path[-1]) is int else dict):
        raise refuse(_NO_PATH)
    return container


def _put(attributes: Attributes, path: tuple[str | int, ...], value: Value) -> None:
    container, last = _reach(attributes, path), path[-1]
    if type(last) is int and last >= len(container):
        container.append(value)
    else:
        container[last] = value


def _remove(attributes: Attributes, path: tuple[str | int, ...]) -> None:
    container, last = _reach(attributes, path), path[-1]
    if type(last) is str or (type(last) is int and last < len(container)):
        container.pop(last, *((None,) if type(container) is dict else ()))


def _add(left: Value, right: Value, sign: str = "+") -> Value:
    act = EXACT.add if sign == "+" else EXACT.subtract
    return {"N": print_number(act(Decimal(left["N"]), Decimal(right["N"])))}


_COMPARATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compare(left: Value | None, comparator: str, right: Value | None) -> bool:
    """Say whether a comparison holds; what is of different kinds, or not there, is neither smaller nor larger."""
    if comparator == "=":
        return left is not None and left == right
    if comparator == "<>":
        return left is None or left != right
    if left is None or right is None or left.keys() != right.keys() or not left.keys() & {"S", "N"}:
        return False
    return _COMPARATORS[comparator](order_of(left), order_of(right))


_TOKEN = re.compile(
    r"\s*(?:(?P<name>#\w+|[A-Za-z_]\w*)|(?P<value>:\w+)|(?P<number>\d+)|(?P<sign><>|<=|>=|[=<>()\[\],.+-]))"
)
_WORDS = {"AND", "OR", "NOT", "BETWEEN", "IN", "SET", "REMOVE", "ADD", "DELETE"}
_COMPARISONS = {"=", "<>", "<", "<=", ">", ">="}


class _Parser:
    """Reads an expression from left to right. `what` is how DynamoDB calls it."""

    def __init__(self, what: str, text: str) -> None:
        self.what = what
        self.names: set[str] = set()
        self.values: set[str] = set()
        self.reads_item = False
        """Whether a value is what stands at a path."""
        self._tokens: list[tuple[str, str]] = []
        self._next = 0
        end = len(text.rstrip())
        if not end:
            raise self.refuse("The expression can not be empty;")
        at = 0
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None:
                raise self.refuse(
                    f'Syntax error; token: "{text[at:].lstrip()[0]}", near: "{text[max(0, at - 5) : at + 6]}"'
                )
            kind = str(match.lastgroup)
            word = match[kind]
            self._tokens.append(("word", word.upper()) if word.upper() in _WORDS else (kind, word))
            at = match.end()

    def read(self) -> tuple[str, frozenset[str], frozenset[str]]:
        """Return what every parsed expression has."""
        return self.what, frozenset(self.names), frozenset(self.values)

    def refuse(self, message: str) -> Exception:
        """Return the error of an expression that cannot be read."""
        return refuse(f"Invalid {self.what}: {message}")

    @property
    def at(self) -> int:
        """How many words and signs have been read."""
        return self._next

    def closes(self, opened: int) -> int:
        """Return how many words and signs have been read when a bracket is closed."""
        depth = 0
        for number, token in enumerate(self._tokens[opened:], opened + 1):
            depth += {("sign", "("): 1, ("sign", ")"): -1}.get(token, 0)
            if depth == 0:
                return number
        return len(self._tokens)

    def at_end(self) -> bool:
        return self._next == len(self._tokens)

    def sees(self, *tokens: str) -> bool:
        """Say whether one of these words or signs comes next."""
        return not self.at_end() and self._tokens[self._next][0] in ("word", "sign") and self._peek() in tokens

    def skips(self, *tokens: str) -> str | None:
        """Skip one of these words or signs when it comes next, and return it."""
        if not self.sees(*tokens):
            return None
        self._next += 1
        return self._tokens[self._next - 1][1]

    def expect(self, token: str) -> None:
        if not self.skips(token):
            raise self.unexpected()

    def take(self, kind: str) -> str:
        if self.at_end() or self._tokens[self._next][0] != kind:
            raise self.unexpected()
        self._next += 1
        return self._tokens[self._next - 1][1]

    def sees_value(self) -> bool:
        """Say whether what stands for a value comes next."""
        return not self.at_end() and self._tokens[self._next][0] == "value"

    def value(self) -> str:
        found = self.take("value")
        self.values.add(found)
        return found

    def path(self) -> Path:
        parts: list[str | int] = [self._name()]
        while True:
            if self.skips("."):
                parts.append(self._name())
            elif self.skips("["):
                parts.append(int(self.take("number")))
                self.expect("]")
            else:
                return Path(tuple(parts))

    def function(self) -> str | None:
        """Skip the name of a function and its bracket, and return the name."""
        if self._next + 1 < len(self._tokens) and self._tokens[self._next + 1] == ("sign", "("):
            name = self.take("name")
            self.expect("(")
            return name
        return None

    def _name(self) -> str:
        name = self.take("name")
        if name[0] == "#":
            self.names.add(name)
        elif name.upper() in ReservedKeywords.get_reserved_keywords():
            raise self.refuse(f"Attribute name is a reserved keyword; reserved keyword: {name}")
        return name

    def _peek(self) -> str:
        return self._tokens[self._next][1]

    def unexpected(self) -> Exception:
        if self.at_end():
            return self.refuse('Syntax error; token: "<EOF>"')
        near = " ".join(word for _, word in self._tokens[max(0, self._next - 1) : self._next + 2])
        return self.refuse(f'Syntax error; token: "{self._peek()}", near: "{near}"')


@lru_cache(maxsize=1024)
def parse_condition(what: str, text: str) -> ParsedCondition:
    """Parse a condition, or a filter, as `what` says; raises AWSError."""
    parser = _Parser(what, text)
    holds = _parse_or(parser)
    if not parser.at_end():
        raise parser.unexpected()
    return ParsedCondition(*parser.read(), holds)


def _parse_or(parser: _Parser) -> Condition:
    parts = [_parse_and(parser)]
    while parser.skips("OR"):
        parts.append(_parse_and(parser))
    return parts[0] if len(parts) == 1 else lambda *given: any(part(*given) for part in parts)


def _parse_and(parser: _Parser) -> Condition:
    parts = [_parse_one(parser)]
    while parser.skips("AND"):
        parts.append(_parse_one(parser))
    return parts[0] if len(parts) == 1 else lambda *given: all(part(*given) for part in parts)


def _parse_one(parser: _Parser) -> Condition:
    if parser.skips("NOT"):
        refused = _parse_one(parser)
        return lambda *given: not refused(*given)
    if parser.skips("("):
        began, doubled = parser.at, parser.sees("(")
        inner = _parse_or(parser)
        parser.expect(")")
        if doubled and parser.closes(began) == parser.at - 1:
            raise parser.refuse("The expression has redundant parentheses;")
        return inner
    function = parser.function()
    if function in ("attribute_exists", "attribute_not_exists"):
        path = parser.path()
        parser.expect(")")
        there = function == "attribute_exists"
        return lambda attributes, names, values: (path.find(attributes, names) is not None) == there
    if function in ("begins_with", "contains"):
        whole = _parse_operand(parser)
        parser.expect(",")
        part = _parse_operand(parser)
        parser.expect(")")
        test = _begins if function == "begins_with" else _contains
        return lambda *given: test(whole(*given), part(*given))
    left = _parse_size(parser) if function == "size" else _parse_operand(parser, function)
    if parser.skips("BETWEEN"):
        low = _parse_operand(parser)
        parser.expect("AND")
        high = _parse_operand(parser)
        return lambda *given: compare(low(*given), "<=", left(*given)) and compare(left(*given), "<=", high(*given))
    if parser.skips("IN"):
        parser.expect("(")
        choices = [_parse_operand(parser)]
        while parser.skips(","):
            choices.append(_parse_operand(parser))
        parser.expect(")")
        return lambda *given: any(compare(left(*given), "=", choice(*given)) for choice in choices)
    comparator = parser.skips(*_COMPARISONS)
    if comparator is None:
        raise parser.unexpected()
    right = _parse_operand(parser)
    return lambda *given: compare(left(*given), comparator, right(*given))


def _parse_size(parser: _Parser) -> _Operand:
    path = parser.path()
    parser.expect(")")

    def measure(attributes: Attributes, names: Names, values: Values) -> Value | None:
        found = path.find(attributes, names)
        kinds = [] if found is None else [kind for kind in ("S", "M", "L", "SS", "NS") if kind in found]
        return {"N": str(len(found[kinds[0]]))} if found is not None and kinds else None

    return measure


def _parse_operand(parser: _Parser, function: str | None = None) -> _Operand:
    function = function or parser.function()
    if function == "size":
        return _parse_size(parser)
    if function is not None:
        raise parser.refuse(f"Invalid function name; function: {function}")
    if parser.sees_value():
        name = parser.value()
        return lambda attributes, names, values: values[name]
    path = parser.path()
    parser.reads_item = True
    return lambda attributes, names, values: path.find(attributes, names)


def _begins(whole: Value | None, part: Value | None) -> bool:
    return whole is not None and part is not None and "S" in whole and "S" in part and whole["S"].startswith(part["S"])


def _contains(whole: Value | None, part: Value | None) -> bool:
    if whole is None or part is None:
        return False
    ((kind, content),) = whole.items()
    if kind == "L":
        return part in content
    return kind in ("S", "SS", "NS") and kind[0] in part and part[kind[0]] in content


@lru_cache(maxsize=1024)
def parse_key_condition(text: str) -> ParsedKeyCondition:
    """Parse what a query wants of a key; raises AWSError."""
    parser = _Parser("KeyConditionExpression", text)
    terms = [_parse_term(parser)]
    while parser.skips("AND"):
        terms.append(_parse_term(parser))
    if not parser.at_end():
        raise parser.unexpected()
    return ParsedKeyCondition(*parser.read(), tuple(terms))


def _parse_term(parser: _Parser) -> KeyTerm:
    if parser.skips("("):
        inner = _parse_term(parser)
        parser.expect(")")
        return inner
    function = parser.function()
    if function is not None:
        if function != "begins_with":
            raise parser.refuse(f"Invalid function name; function: {function}")
        path = parser.path()
        parser.expect(",")
        value = parser.value()
        parser.expect(")")
        return KeyTerm(path, function, (value,))
    path = parser.path()
    if parser.skips("BETWEEN"):
        low = parser.value()
        parser.expect("AND")
        return KeyTerm(path, "BETWEEN", (low, parser.value()))
    comparator = parser.skips(*_COMPARISONS - {"<>"})
    if comparator is None:
        raise parser.unexpected()
    return KeyTerm(path, comparator, (parser.value(),))


@lru_cache(maxsize=1024)
def parse_projection(text: str) -> ParsedProjection:
    """Parse the list of attributes that a reader wants; raises AWSError."""
    parser = _Parser("ProjectionExpression", text)
    paths = [parser.path()]
    while parser.skips(","):
        paths.append(parser.path())
    if not parser.at_end():
        raise parser.unexpected()
    return ParsedProjection(*parser.read(), tuple(paths))


@lru_cache(maxsize=1024)
def parse_update(text: str) -> ParsedUpdate:
    """Parse the actions of an update; raises AWSError."""
    parser = _Parser("UpdateExpression", text)
    sets: list[tuple[Path, _Operand]] = []
    removals: list[Path] = []
    additions: list[tuple[Path, str]] = []
    seen: set[str] = set()
    while not parser.at_end():
        clause = parser.skips("SET", "REMOVE", "ADD")
        if clause is None:
            if parser.sees("DELETE"):
                raise NotImplementedError("updates that take elements out of sets are not rehearsed")
            raise parser.unexpected()
        if clause in seen:
            raise parser.refuse(f'The "{clause}" section can only be used once in an update expression;')
        seen.add(clause)
        while True:
            path = parser.path()
            if clause == "SET":
                parser.expect("=")
                sets.append((path, _parse_sum(parser)))
            elif clause == "ADD":
                additions.append((path, parser.value()))
            else:
                removals.append(path)
            if not parser.skips(","):
                break
    return ParsedUpdate(*parser.read(), tuple(sets), tuple(removals), tuple(additions), parser.reads_item)


def _parse_sum(parser: _Parser) -> _Operand:
    left = _parse_set_operand(parser)
    sign = parser.skips("+", "-")
    if sign is None:
        return left
    right = _parse_set_operand(parser)

    def compute(attributes: Attributes, names: Names, values: Values) -> Value | None:
        one, other = left(attributes, names, values), right(attributes, names, values)
        if one is None or other is None:
            raise refuse(_NO_ATTRIBUTE)
        if set(one) != {"N"} or set(other) != {"N"}:
            raise refuse(_WRONG_TYPE)
        return _add(one, other, sign)

    return compute


def _parse_set_operand(parser: _Parser) -> _Operand:
    function = parser.function()
    if function is None:
        return _parse_operand(parser)
    parser.reads_item = True
    if function == "if_not_exists":
        path = parser.path()
        parser.expect(",")
        otherwise = _parse_set_operand(parser)
        parser.expect(")")

        def choose(attributes: Attributes, names: Names, values: Values) -> Value | None:
            found = path.find(attributes, names)
            return otherwise(attributes, names, values) if found is None else found

        return choose
    if function == "list_append":
        first = _parse_set_operand(parser)
        parser.expect(",")
        second = _parse_set_operand(parser)
        parser.expect(")")

        def join(attributes: Attributes, names: Names, values: Values) -> Value | None:
            lists = [first(attributes, names, values), second(attributes, names, values)]
            if any(one is None for one in lists):
                raise refuse(_NO_ATTRIBUTE)
            if any("L" not in one for one in lists if one is not None):
                raise refuse(_WRONG_TYPE)
            return {"L": [element for one in lists if one is not None for element in one["L"]]}

        return join
    raise parser.refuse(f"Invalid function name; function: {function}")
