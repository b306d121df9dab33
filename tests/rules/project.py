"""The project as the rules see it: the template and the state machines, read once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parent.parent.parent
TEMPLATE = ROOT / "template.yaml"
LAYER = ROOT / "layers" / "drydock"

_PARTS = {
    "AWS::Partition": "aws",
    "AWS::Region": "ap-northeast-1",
    "AWS::AccountId": "123456789012",
    "AWS::StackName": "drydock",
}
_REFERENCES = {
    "AWS::Serverless::Function": "arn:aws:lambda:ap-northeast-1:123456789012:function:{}",
    "AWS::Serverless::StateMachine": "arn:aws:states:ap-northeast-1:123456789012:stateMachine:{}",
    "AWS::SNS::Topic": "arn:aws:sns:ap-northeast-1:123456789012:{}",
    "AWS::SQS::Queue": "arn:aws:sqs:ap-northeast-1:123456789012:{}",
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:ap-northeast-1:123456789012:table/{}",
    "AWS::KMS::Key": "arn:aws:kms:ap-northeast-1:123456789012:key/{}",
    "KmsKeyArns": "arn:aws:kms:ap-northeast-1:123456789012:key/{}",
    "ResultsTopicArn": "arn:aws:sns:ap-northeast-1:123456789012:{}",
}


@dataclass(frozen=True)
class Function:
    """A function of the template, with what Globals adds."""

    logical_id: str
    properties: Mapping[str, Any]

    @property
    def folder(self) -> str:
        return Path(self.properties["CodeUri"]).name


@dataclass(frozen=True)
class State:
    flow: str
    """The machine that it stands in; for a state of a Map's items also the Map, after a slash."""
    name: str
    body: Mapping[str, Any]

    @property
    def type(self) -> str:
        return str(self.body["Type"])

    @property
    def calls(self) -> str:
        """What a Task calls, as in its Resource: `lambda:invoke`, `states:startExecution`; empty for other states."""
        integration = str(self.body.get("Resource", "")).partition(":states:::")[2]
        return integration.split(".")[0]

    @property
    def invokes(self) -> bool:
        """Whether it is a Task that invokes a function."""
        return self.calls == "lambda:invoke"

    @property
    def waits_for_token(self) -> bool:
        return str(self.body.get("Resource", "")).endswith(".waitForTaskToken")

    @property
    def function(self) -> Function:
        """The function that a Task invokes."""
        placeholder = self.body["Arguments"]["FunctionName"]
        return next(one for one in functions() if placeholder == f"${{{one.logical_id}}}")

    @property
    def retriers(self) -> list[Mapping[str, Any]]:
        return list(self.body.get("Retry", []))

    @property
    def catchers(self) -> list[Mapping[str, Any]]:
        return list(self.body.get("Catch", []))


@dataclass(frozen=True)
class Flow:
    """States that run in one execution and share its variables: those of a machine, or of the items of a Map."""

    name: str
    definition: Mapping[str, Any]

    @property
    def states(self) -> dict[str, State]:
        return {name: State(self.name, name, body) for name, body in self.definition["States"].items()}

    @property
    def first(self) -> State:
        return self.states[self.definition["StartAt"]]

    @property
    def failure(self) -> str:
        """The variable that remembers its failure. A name that a machine assigns, its Maps' items may not."""
        (name,) = (name for name in self.first.body["Assign"] if name.lower().endswith("failure"))
        return str(name)

    @property
    def is_of_items(self) -> bool:
        """Whether it is what a Map does with each of its items."""
        return "/" in self.name

    @property
    def inner(self) -> list[Flow]:
        """The flows of the items of its Maps, and of the Maps in those."""
        own = [
            Flow(f"{self.name}/{state.name}", state.body["ItemProcessor"])
            for state in self.states.values()
            if state.type == "Map"
        ]
        return [flow for one in own for flow in (one, *one.inner)]


@dataclass(frozen=True)
class Machine:
    """A state machine: what the template says of it, and its definition."""

    logical_id: str
    properties: Mapping[str, Any]
    definition: Mapping[str, Any]

    @property
    def flow(self) -> Flow:
        """Its own states, without those of Maps' items."""
        return Flow(self.logical_id, self.definition)

    @property
    def flows(self) -> list[Flow]:
        return [self.flow, *self.flow.inner]

    @property
    def states(self) -> list[State]:
        """All states, those of Maps' items included."""
        return [state for flow in self.flows for state in flow.states.values()]


@dataclass(frozen=True)
class Statement:
    """A statement of the policies of a function, machine or role. Where a condition chooses, it has both choices."""

    owner: str
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.owner}: {self.effect} {', '.join(self.actions)} on {', '.join(self.resources)}"


@cache
def template() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml_parse(TEMPLATE.read_text())
    return parsed


def retries_seconds(retrier: Mapping[str, Any]) -> float:
    """How long the intervals of a retrier last, all together, without jitter."""
    interval, total = float(retrier["IntervalSeconds"]), 0.0
    for _ in range(retrier["MaxAttempts"]):
        total += min(interval, retrier.get("MaxDelaySeconds", interval))
        interval *= retrier["BackoffRate"]
    return total


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """The resources of one type, by logical id."""
    return {name: body for name, body in template()["Resources"].items() if body["Type"] == kind}


@cache
def functions() -> tuple[Function, ...]:
    shared = template()["Globals"]["Function"]
    found = []
    for name, body in resources("AWS::Serverless::Function").items():
        own = body["Properties"]
        variables = {**shared["Environment"]["Variables"], **own.get("Environment", {}).get("Variables", {})}
        found.append(Function(name, {**shared, **own, "Environment": {"Variables": variables}}))
    return tuple(found)


@cache
def machines() -> tuple[Machine, ...]:
    return tuple(
        Machine(name, body["Properties"], yaml.safe_load((ROOT / body["Properties"]["DefinitionUri"]).read_text()))
        for name, body in resources("AWS::Serverless::StateMachine").items()
    )


def machine(logical_id: str) -> Machine:
    return next(one for one in machines() if one.logical_id == logical_id)


def flows() -> list[Flow]:
    """The flows of all machines, those of Maps' items included."""
    return [flow for one in machines() for flow in one.flows]


def flow(name: str) -> Flow:
    return next(one for one in flows() if one.name == name)


def states(kind: str | None = None) -> list[State]:
    """The states of all machines, or those of one type."""
    return [state for one in machines() for state in one.states if kind in (None, state.type)]


def plain(value: Any) -> str:
    """The text that CloudFormation makes of a Sub, Ref or GetAtt, with stand-ins for what is not known yet."""
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    if function == "Fn::Sub":
        text = argument if isinstance(argument, str) else argument[0]
        return re.sub(r"\$\{([^}]+)\}", lambda match: _PARTS.get(match[1], "x"), text)
    name = argument if isinstance(argument, str) else argument[0]
    kind = template()["Resources"].get(name, {}).get("Type", name)
    return _REFERENCES.get(kind, "{}").format(name)


def choices(value: Any) -> list[Any]:
    """A list or single value without its conditions: every choice of every If, and no NoValue."""
    if isinstance(value, list):
        return [choice for item in value for choice in choices(item)]
    if isinstance(value, dict) and "Fn::If" in value:
        return choices(value["Fn::If"][1:])
    return [] if value == {"Ref": "AWS::NoValue"} else [value]


def policies() -> dict[str, list[Any]]:
    """The policies of every function, machine and role, by its logical id: documents, and Refs of managed policies."""
    owners = {one.logical_id: one.properties.get("Policies", []) for one in functions()}
    owners |= {one.logical_id: one.properties["Policies"] for one in machines()}
    for name, body in resources("AWS::IAM::Role").items():
        inline = [policy["PolicyDocument"] for policy in body["Properties"]["Policies"]]
        owners[name] = [*body["Properties"].get("ManagedPolicyArns", []), *inline]
    return owners


def document(policy: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document of a policy: itself, or that of the managed policy that it refers to."""
    if "Ref" not in policy:
        return policy
    found: Mapping[str, Any] = resources("AWS::IAM::ManagedPolicy")[policy["Ref"]]["Properties"]["PolicyDocument"]
    return found


@cache
def statements() -> tuple[Statement, ...]:
    """Every statement of every function, machine and role, those of its managed policies included."""
    return tuple(
        Statement(
            owner,
            statement["Effect"],
            tuple(choices(statement["Action"])),
            tuple(plain(resource) for resource in choices(statement["Resource"])),
        )
        for owner, owned in policies().items()
        for policy in owned
        for statement in choices(document(policy)["Statement"])
    )


def source_files(*folders: str) -> Iterator[Path]:
    """The Python files below folders of the project."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))
