"""A text in YAML as plain values, with the line of every value and of every key. JSON is YAML."""

from __future__ import annotations

import re
from typing import Any

import yaml

KeyPath = tuple[str | int, ...]
"""Where a value stands: keys of objects and indexes of lists, outermost first."""

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_NOT_IN_YAML = re.compile(r"[^\n\r -~]")


class UnreadableTextError(Exception):
    """Raised when a text is not YAML; the message begins with its name and the line."""


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: only true and false are booleans (`WinUpdate: ON` is text), times stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


class MarkedText:
    """A text in YAML: its value, the line of each path in it, and as mistakes the keys that are given twice.

    `name` is how mistakes call it. Raises UnreadableTextError.
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.lines: dict[KeyPath, int] = {}
        self.mistakes: list[str] = []
        try:
            loader = _Loader(text)
            root = loader.get_single_node()
            self.value = self._read(loader, root, ()) if root is not None else {}
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise UnreadableTextError(f"{name}:{line}: not YAML: {error.problem}") from error
        except yaml.YAMLError as error:
            raise UnreadableTextError(f"{name}:{_line_of(text, error)}: not YAML: {_in_one_line(error)}") from error
        except RecursionError as error:
            raise UnreadableTextError(f"{name}:1: nested too deeply to be read") from error
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            line = max(self.lines.values(), default=1)
            raise UnreadableTextError(f"{name}:{line}: cannot be read: {_in_one_line(error)}") from error

    def _read(self, loader: _Loader, node: yaml.Node, path: KeyPath) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.SequenceNode):
            return [self._read(loader, item, (*path, index)) for index, item in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            return loader.construct_object(node)
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                self.mistakes.append(f"{self.name}:{key.start_mark.line + 1}: {key.value!r} is given twice")
            seen.add(key.value)
        loader.flatten_mapping(node)  # `<<: *defaults`
        values = {}
        for key, value in node.value:
            self.lines[(*path, key.value)] = key.start_mark.line + 1
            values[key.value] = self._read(loader, value, (*path, key.value))
        return values

    def at(self, path: KeyPath, problem: str) -> str:
        """A mistake as people read it: file, line, what is wrong. The line is that of the path, or of what it is in."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.name}:{self.lines.get(path, 1)}: {problem}"


def _line_of(text: str, error: yaml.YAMLError) -> int:
    """The line of a character that YAML does not take; the first where the error names none."""
    return text.count("\n", 0, error.position) + 1 if isinstance(error, yaml.reader.ReaderError) else 1


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).encode(errors="backslashreplace").decode().split())


def json_as_yaml(text: str) -> str:
    """A JSON text as the YAML loader takes it, line by line the same.

    Outside strings, JSON is ASCII, and has tabs where YAML wants blanks. Inside, any character may be an escape.
    """
    return _NOT_IN_YAML.sub(lambda found: " " if found[0] == "\t" else f"\\U{ord(found[0]):08x}", text)


def path_of(mistake: str) -> KeyPath:
    """The path that a mistake begins with: `policy.gates.alarms[1]: …` is about ("policy", "gates", "alarms", 1)."""
    place = mistake.partition(": ")[0]
    return tuple(int(index) if index else key for key, index in _STEP.findall(place))
