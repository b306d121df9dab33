"""The policy of a run, from a file or from the command line, with the line of every mistake."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from drydock_cli.judging import policy_mistakes
from drydock_cli.problems import CommandError

KeyPath = tuple[str | int, ...]

_OPTION = "--policy"
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
_STEP = re.compile(r"\.([^.\[\]:]+)|\[(\d+)\]")


def read_policy(given: str) -> dict[str, Any]:
    """A policy from JSON text, or from the file of this name. Raises CommandError that names every mistake."""
    name, text = (_OPTION, given) if given.lstrip().startswith("{") else (given, _read_file(given))
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise CommandError(f"{name}:{error.lineno}: not JSON: {error.msg} (column {error.colno})") from error
    except RecursionError as error:
        raise CommandError(f"{name}: nested too deeply") from error
    if not isinstance(value, Mapping):
        raise CommandError(f"{name}:1: a policy is a JSON object")
    mistakes = policy_mistakes(value)
    if mistakes:
        lines = find_lines(text)
        raise CommandError("; ".join(f"{name}:{_line(lines, mistake)}: {mistake}" for mistake in mistakes))
    return dict(value)


def _read_file(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror or error}") from error
    except ValueError as error:
        raise CommandError(f"{name}: not a text in UTF-8") from error


def find_lines(text: str) -> dict[KeyPath, int]:
    """The line on which the value of each path of a JSON text begins, which must be valid."""
    lines: dict[KeyPath, int] = {}
    _find_lines(_tokens(text), (), lines)
    return lines


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    line, end = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", end, match.start())
        end = match.start()
        yield match[0], line


def _find_lines(tokens: Iterator[tuple[str, int]], path: KeyPath, lines: dict[KeyPath, int]) -> bool:
    """Follow one value; whether there was one, and not the end of an empty list."""
    token, line = next(tokens)
    if token == "]":
        return False
    lines[path] = line
    if token == "{":
        token, line = next(tokens)
        while token != "}":
            if token == ",":
                token, line = next(tokens)
            next(tokens)
            _find_lines(tokens, (*path, json.loads(token)), lines)
            token, line = next(tokens)
    elif token == "[":
        index = 0
        while _find_lines(tokens, (*path, index), lines) and next(tokens)[0] == ",":
            index += 1
    return True


def _line(lines: Mapping[KeyPath, int], mistake: str) -> int:
    """The line that a mistake is about: that of its path, or of the nearest one above it."""
    path: KeyPath = ()
    for key, index in _STEP.findall(mistake.partition(": ")[0]):
        longer = (*path, int(index) if index else key)
        if longer not in lines:
            break
        path = longer
    return lines[path]
