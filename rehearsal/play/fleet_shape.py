"""What the shape of a fleet file must be, `fleets/fleet.schema.json`, and how a mistake is said to people."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import jsonschema

from drydock_files.marked_text import KeyPath, MarkedText
from rehearsal.engine.project import PACKAGE

FLEETS = PACKAGE / "fleets"

At = Callable[[KeyPath, str], str]
"""Says a mistake with the line of the place where it is."""

TYPES = {
    "object": "keys and values",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}


class FleetFileError(Exception):
    """Raised when a fleet file cannot be rehearsed; the message has one line per mistake, `file:line: what`."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((FLEETS / "fleet.schema.json").read_text(encoding="utf-8"))
    return schema


def line_of(mistake: str) -> tuple[int, str]:
    line = re.search(r":(\d+): ", mistake)
    return (int(line.group(1)) if line else 0, mistake)


def find_wrong_shape(source: MarkedText) -> Iterator[str]:
    checker = jsonschema.FormatChecker()
    checker.checks("date-time", raises=ValueError)(_is_moment)
    validator = jsonschema.Draft202012Validator(_schema(), format_checker=checker)
    for error in validator.iter_errors(source.value):
        yield from _explain(error, source)


def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def _explain(error: jsonschema.ValidationError, source: MarkedText) -> Iterator[str]:
    """Say in plain words what the schema found, one line per key or value."""
    path: KeyPath = tuple(error.absolute_path)
    place = dotted(path)
    given: Any = error.instance
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, Mapping) else {}
    if error.validator == "additionalProperties":
        known = sorted(schema.get("properties", {}))
        for key in sorted(set(given) - set(known)):
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
            yield source.at((*path, key), f"unknown key {dotted((*path, key))!r}; {hint}")
    elif error.validator == "required":
        missing = [key for key in schema["required"] if key not in given]
        if error.message.startswith(repr(missing[0])):
            yield source.at(path, f"{place or 'the file'} has no {', '.join(map(repr, missing))}")
    elif error.validator in ("minProperties", "maxProperties"):
        keys = ", ".join(sorted(schema.get("properties", {})))
        yield source.at(path, f"{place}: expected {_how_many(schema)} of: {keys}")
    else:
        yield source.at(path, f"{place or 'the file'}: expected {_expected(error, schema)}, got {shown(given)}")


def _how_many(schema: Mapping[str, Any]) -> str:
    return "exactly one" if schema.get("maxProperties") == 1 else "at least one"


def _expected(error: jsonschema.ValidationError, schema: Mapping[str, Any]) -> str:
    if "expected" in schema:
        return str(schema["expected"])
    if error.validator == "enum":
        return "one of " + ", ".join(map(str, schema["enum"]))
    if error.validator == "type":
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        hint = " (put it in quotes)" if types == ["string"] and not isinstance(error.instance, dict | list) else ""
        return " or ".join(TYPES[one] for one in types) + hint
    if error.validator == "minimum":
        return f"at least {schema['minimum']}"
    if error.validator == "maximum":
        return f"at most {schema['maximum']}"
    if error.validator in ("minItems", "minLength"):
        return "something here"
    return str(error.message)


def shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def dotted(path: KeyPath) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def not_among(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name!r}" + (f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}")


def unknown_machine(name: str, names: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(names), n=1)
    return f"there is no machine {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")


def seconds(text: str | int) -> int:
    """Return the seconds of a duration such as '90s', '1h30m' or 90."""
    if isinstance(text, int):
        return text
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if not parts or not text:
        raise ValueError(f"{text!r} is not a duration")
    hours, minutes, rest = (int(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + rest
