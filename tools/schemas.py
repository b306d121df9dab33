"""Writes the JSON schemas of what `drydock --json` prints, and the page that explains them, out of the types."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

from drydock.plan.plans import Plan
from drydock.run.reports import Report
from drydock_cli.documents import DOCUMENTS
from rehearsal.play.reports.documents import RehearsalDocument

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "drydock_cli" / "schemas"
PAGE = ROOT / "docs" / "shapes.md"

_ALL: Mapping[str, tuple[type, ...]] = {**DOCUMENTS, "rehearse": (RehearsalDocument,)}
_PLAIN: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_HEADING = """# Shapes

What `drydock COMMAND --json` prints, and what a plan and a report are. This page and the schemas in
[drydock_cli/schemas](../drydock_cli/schemas) (JSON Schema 2020-12; they are in the wheel, too) are written by
`make schemas` out of the types of the code, and a test holds every command's output to them. A newer Drydock may add
keys; none is renamed or taken away without a line in [CHANGELOG.md](../CHANGELOG.md).

A command that could not do what it was asked for prints an `ErrorDocument` instead, and the same lines on standard
error; the exit code is in both.
"""


def schema_of(name: str, shapes: Sequence[type]) -> dict[str, Any]:
    """The schema of a document that has one of these shapes."""
    named: dict[str, dict[str, Any]] = {}
    each = [_schema(shape, named) for shape in shapes]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"drydock {name} --json" if name != "error" else "drydock --json, when something is wrong",
        **(each[0] if len(each) == 1 else {"anyOf": each}),
        "$defs": dict(sorted(named.items())),
    }


def _schema(shape: Any, named: dict[str, dict[str, Any]]) -> dict[str, Any]:
    origin, arguments = get_origin(shape), get_args(shape)
    if shape is Any or shape is object:
        return {}
    if shape in _PLAIN:
        return {"type": _PLAIN[shape]}
    if is_typeddict(shape):
        return _reference(shape, named)
    if origin in (NotRequired, Required):
        return _schema(arguments[0], named)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(one, named) for one in arguments]}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], named)}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return {"type": "array", "items": _schema(arguments[0], named)}
    raise TypeError(f"{shape} has no schema")


def _reference(shape: type, named: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if shape.__name__ not in named:
        named[shape.__name__] = {}
        named[shape.__name__] |= {
            "description": _words(shape),
            "type": "object",
            "properties": {key: _schema(one, named) for key, one in get_type_hints(shape).items()},
            "required": sorted(get_type_hints(shape).keys() - _optional(shape)),
        }
    return {"$ref": f"#/$defs/{shape.__name__}"}


def _optional(shape: Any) -> set[str]:
    """The keys that may be missing. Where annotations are text, Python itself takes them for required."""
    hints = get_type_hints(shape, include_extras=True)
    return {key for key, one in hints.items() if get_origin(one) is NotRequired or key in shape.__optional_keys__}


def _words(shape: type) -> str:
    return " ".join((inspect.getdoc(shape) or "").split())


def page() -> str:
    """The page that explains the shapes, in Markdown."""
    told: set[str] = set()
    parts = [_HEADING, "## The documents\n\n| command | prints |\n|---|---|"]
    parts += [
        f"| `{name}` | {' or '.join(f'[{shape.__name__}](#{shape.__name__.lower()})' for shape in shapes)} |"
        for name, shapes in _ALL.items()
    ]
    text = "\n".join(parts) + "\n"
    for shape in (Plan, Report, *(shape for shapes in _ALL.values() for shape in shapes)):
        for each in _with_parts(shape, told):
            text += f"\n## {each.__name__}\n\n{_words(each)}\n\n| key | |\n|---|---|\n"
            optional = _optional(each)
            for key, one in get_type_hints(each).items():
                text += f"| `{key}` | {_said(one)}{', may be missing' if key in optional else ''} |\n"
    return text


def _with_parts(shape: Any, told: set[str]) -> Iterator[type]:
    """A shape, and those in it that were not told yet."""
    if is_typeddict(shape):
        if shape.__name__ in told:
            return
        told.add(shape.__name__)
        yield shape
        for one in get_type_hints(shape).values():
            yield from _with_parts(one, told)
        return
    for one in get_args(shape):
        yield from _with_parts(one, told)


def _said(shape: Any) -> str:
    """A type in words: `list of [Target](#target)`."""
    origin, arguments = get_origin(shape), get_args(shape)
    if shape is Any or shape is object:
        return "anything"
    if shape in _PLAIN:
        return _PLAIN[shape]
    if is_typeddict(shape):
        return f"[{shape.__name__}](#{shape.__name__.lower()})"
    if origin in (NotRequired, Required):
        return _said(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_said(one) for one in arguments)
    return f"{'object of' if issubclass(origin, Mapping) else 'list of'} {_said(arguments[-1])}"


def files() -> dict[Path, str]:
    """What is written, by path."""
    schemas = {
        FOLDER / f"{name}.schema.json": json.dumps(schema_of(name, shapes), indent=2, ensure_ascii=False) + "\n"
        for name, shapes in _ALL.items()
    }
    return {**schemas, PAGE: page()}


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
