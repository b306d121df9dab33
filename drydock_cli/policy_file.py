"""The policy of a run, from a file or from the command line, with the line of every mistake."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drydock.catalogue.saying import one_line
from drydock_cli.exit_codes import TO_DO
from drydock_cli.judging import policy_mistakes
from drydock_cli.problems import CommandError
from drydock_files.marked_text import MarkedText, UnreadableTextError, json_as_yaml, path_of

_OPTION = "--policy"


def read_policy(given: str) -> dict[str, Any]:
    """A policy from JSON text, or from the file of this name. Raises CommandError that names every mistake."""
    name, text = (_OPTION, given) if given.lstrip().startswith("{") else (given, _read_file(given))
    try:
        value = json.loads(text)
        if not isinstance(value, Mapping):
            raise CommandError(f"{name}:1: a policy is a JSON object", TO_DO)
        if mistakes := policy_mistakes(value):
            raise CommandError("\n".join(_with_lines(name, text, mistakes)), TO_DO)
    except json.JSONDecodeError as error:
        raise CommandError(f"{name}:{error.lineno}: not JSON: {error.msg} (column {error.colno})", TO_DO) from error
    except RecursionError as error:
        raise CommandError(f"{name}: nested too deeply", TO_DO) from error
    return dict(value)


def _read_file(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror or error}", TO_DO) from error
    except ValueError as error:
        raise CommandError(f"{name}: not a text in UTF-8", TO_DO) from error


def _with_lines(name: str, text: str, mistakes: Sequence[str]) -> list[str]:
    """The mistakes as people read them: file, line, what is wrong."""
    try:
        source = MarkedText(json_as_yaml(text), name)
    except UnreadableTextError:
        # JSON that is no YAML: a key of more than a thousand characters, or a colon in another line than its key.
        return [f"{name}: {mistake}" for mistake in mistakes]
    # A mistake names a key as it may stand in a line.
    source.lines = {
        tuple(one_line(part) if isinstance(part, str) else part for part in path): line
        for path, line in source.lines.items()
    }
    return [source.at(path_of(mistake)[1:], mistake) for mistake in mistakes]
