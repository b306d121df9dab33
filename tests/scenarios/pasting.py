"""Whoever pastes the commands that Drydock prints: what they are, and what becomes of each on the embedded account.

The AWS CLI is not among what the tests need. Its commands are botocore's operations with names in lower case and
dashes, and its options are the members of their input (https://docs.aws.amazon.com/cli/latest/userguide/cli-usage-
parameters.html), so the service models that botocore brings say what a line may have, and what it must.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.model import OperationModel, Shape, StructureShape
from typer.main import get_command

from drydock_cli.main import app, carry_out
from drydock_cli.stack import Stack
from drydock_cli.terminal import Terminal
from drydock_cli.verbs import Setting
from rehearsal.play.parameters import write_parameter
from tests.scenarios.run.scenario import RunScenario

_PRINTED = re.compile(r"(?:^|[\s`>:])((?:aws|drydock) [a-z][-\w]*(?: [^`<\n]*)?)", re.MULTILINE)

_IN_TWO = re.compile(r"\\\n\s*")
"""A shell takes a line that ends with a backslash with the next one."""


def commands_in(text: str) -> list[str]:
    """The commands in a mail, a card, a page or what `drydock` prints, each once and in their order."""
    found = [unescape(one).rstrip(" .),") for one in _PRINTED.findall(_IN_TWO.sub("", text))]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Line:
    """A command of the AWS CLI as botocore understands it."""

    service: str
    operation: str
    region: str
    given: Mapping[str, Any]


def read_line(command: str) -> Line:
    """Raises SystemExit for what the AWS CLI would refuse: no such operation or option, or one that is missing."""
    _, service, name, *rest = shlex.split(command)
    model = botocore.session.Session().get_service_model(service)
    operation = {xform_name(one, "-"): model.operation_model(one) for one in model.operation_names}[name]
    parser = argparse.ArgumentParser(prog=f"aws {service} {name}", allow_abbrev=False)
    parser.add_argument("--region", required=True)
    members = _members(operation)
    for member, shape in members.items():
        option, is_required = f"--{xform_name(member, '-')}", member in _required(operation)
        if shape.type_name == "boolean":
            parser.add_argument(option, dest=member, action="store_true", default=None)
        else:
            many = {"nargs": "+"} if shape.type_name == "list" else {}
            parser.add_argument(option, dest=member, required=is_required, **many)
    options = vars(parser.parse_args(rest))
    region = options.pop("region")
    given = {member: _value(members[member], value) for member, value in options.items() if value is not None}
    return Line(service, xform_name(operation.name), region, given)


def _members(operation: OperationModel) -> Mapping[str, Shape]:
    return operation.input_shape.members if isinstance(operation.input_shape, StructureShape) else {}


def _required(operation: OperationModel) -> Sequence[str]:
    return operation.input_shape.required_members if isinstance(operation.input_shape, StructureShape) else []


def _value(shape: Shape, text: Any) -> Any:
    if shape.type_name in ("structure", "map"):
        return json.loads(text)
    return int(text) if shape.type_name in ("integer", "long") else text


def require_acceptable(command: str) -> None:
    """Raises SystemExit, KeyError, AssertionError or typer's exceptions for what a command line would refuse."""
    if command.startswith("aws "):
        read_line(command)
        return
    _, verb, *arguments = shlex.split(command)
    get_command(app).commands[verb].make_context(verb, [*arguments])  # type: ignore[attr-defined]
    assert {"--region", "--stack"} <= set(arguments), command


class _Opened(Stack):
    """The deployed stack on the embedded account, as an approver's credentials see it."""

    def __init__(self, scene: RunScenario, name: str, by: str) -> None:
        super().__init__(botocore.session.Session(), name, "ap-northeast-1")
        self._scene, self._by = scene, by

    def caller(self) -> str:
        return self._by

    def decide(self, decision: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        response = self._scene.account.urls.request(
            self.output("DecideUrl"),
            "POST",
            path="/decide",
            headers={"content-type": "application/json"},
            body=json.dumps(decision),
            signed_as=self._by,
        )
        return response.status, json.loads(response.body)


@dataclass
class Person:
    """Somebody who pastes what is printed. Where a command asks, they say yes."""

    scene: RunScenario
    arn: str = "arn:aws:iam::123456789012:user/anna"

    def paste(self, command: str) -> str:
        """Carry a command out as it stands; what it prints. Fails the test that is refused."""
        if command.startswith("aws "):
            line = read_line(command)
            assert line.region == "ap-northeast-1"
            if line.operation == "put_parameter":
                # Its history says who wrote it.
                return repr(write_parameter(self.scene.account, line.given["Name"], line.given["Value"], self.arn))
            return repr(getattr(self.scene.account.client(line.service), line.operation)(**line.given))
        out, err = io.StringIO(), io.StringIO()
        clock = self.scene.account.clock
        terminal = Terminal(
            out,
            err,
            io.StringIO("y\n" * 9),
            can_ask=True,
            sleep=lambda seconds: self.scene.run_for(seconds / 60),
            now=clock.now,
        )
        arguments = shlex.split(command)[1:]
        require_acceptable(command)
        code = carry_out(
            arguments, Setting(terminal, lambda account: _Opened(self.scene, str(account.stack), self.arn))
        )
        assert code in (0, 4), f"{command}: {code}\n{out.getvalue()}{err.getvalue()}"
        return out.getvalue()
