"""Somebody at a terminal in this process, with the embedded account behind; every document is held to its schema."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import botocore.session
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from drydock_cli.main import carry_out
from drydock_cli.stack import Stack
from drydock_cli.terminal import Terminal
from drydock_cli.verbs import Setting
from tools.schemas import FOLDER

OPERATOR = "arn:aws:iam::123456789012:user/ann"


@dataclass(frozen=True)
class Shown:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str
    asked: Sequence[str]
    """The operations of AWS that were called, in order."""

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def words(self) -> str:
        return " ".join(self.out.split())

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass
class _Terminal(Terminal):
    """A terminal whose pictures are kept."""

    pictures: list[list[str]] = field(default_factory=list)

    def draw(self, lines: Sequence[str]) -> None:
        if self.has_picture:
            self.pictures.append(list(lines))


class Recorder:
    """A client of AWS that notes what is asked of it."""

    def __init__(self, client: Any, asked: list[str]) -> None:
        self._client = client
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        operation = self.meta_of(name)
        if operation:
            self._asked.append(operation)
        if name == "get_paginator":
            return lambda method: getattr(self._client, name)(self._note(method))
        return getattr(self._client, name)

    def _note(self, method: str) -> str:
        self._asked.append(str(self.meta_of(method)))
        return method

    def meta_of(self, method: str) -> str | None:
        """`dynamodb:Query`, for what is an operation of the service."""
        operation = self._client.meta.method_to_api_mapping.get(method)
        return f"{self._client.meta.service_model.service_name}:{operation}" if operation else None


class KnownStack(Stack):
    """The stack of the embedded account, to which the caller is the operator."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.asked: list[str] = []

    def caller(self) -> str:
        self.asked.append("sts:GetCallerIdentity")
        return OPERATOR

    def client(self, service: str) -> Any:
        return Recorder(super().client(service), self.asked)


def drydock(
    *arguments: str,
    answers: str | None = None,
    width: int = 80,
    sleep: Callable[[float], None] = lambda seconds: None,
    pictures: list[list[str]] | None = None,
) -> Shown:
    """Carry out a command; one with --json has to print a document of its schema, whatever happens.

    With `pictures` there is a terminal of 24 lines: what is drawn at its bottom goes there.
    """
    terminal = _Terminal(
        has_picture=pictures is not None,
        out=io.StringIO(),
        err=io.StringIO(),
        answers=io.StringIO(answers or ""),
        width=width,
        can_ask=answers is not None,
        zone=ZoneInfo("Asia/Tokyo"),
        sleep=sleep,
    )
    terminal.pictures = pictures if pictures is not None else []
    stack = KnownStack(botocore.session.Session(), "drydock")
    code = carry_out(arguments, Setting(terminal, lambda account: stack))
    shown = Shown(code, terminal.out.getvalue(), terminal.err.getvalue(), stack.asked)  # type: ignore[attr-defined]
    if "--json" in arguments:
        require_fitting(arguments[0], shown.document)
    return shown


def require_fitting(verb: str, document: Any) -> None:
    """What a verb printed with --json has to be as its committed schema says, or as that of errors."""
    path = FOLDER / f"{'error' if list(document) == ['error'] else verb}.schema.json"
    wrong = best_match(Draft202012Validator(json.loads(path.read_text())).iter_errors(document))
    assert wrong is None, f"{path.name}: {wrong.json_path}: {wrong.message[:500]}"
