"""Checks the state machines of template.yaml, as they are after DefinitionSubstitutions.

cfn-lint holds each definition against the schema of the Amazon States Language. What the schema cannot see is
checked here: that every transition leads to a state, every state is reached, `States.ALL` stands alone and
last, every JSONata expression parses, and every variable that one reads is assigned somewhere.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from cfnlint.api import lint_all
from jsonata import Jsonata
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parent.parent
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
EXPRESSION = re.compile(r"\{%(.*)%\}", re.DOTALL)
JSONATA_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
VARIABLE = re.compile(r"\$([A-Za-z_]\w*)\b(?!\s*\()")
LOCAL = re.compile(r"\$([A-Za-z_]\w*)\s*:=|function\s*\(([^)]*)\)")
STANDINS = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "ap-northeast-1",
    "AWS::StackName": "drydock",
    "AWS::URLSuffix": "amazonaws.com",
}


class UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a mapping with the same key twice, where YAML would keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping. Raises ConstructorError at the place of the second key."""
        keys: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in keys:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} stands twice", key_node.start_mark)
            keys.add(key)
        return super().construct_mapping(node, deep)


def check_machine(name: str, properties: dict[str, Any], parameters: dict[str, Any]) -> list[str]:
    """Return what is wrong with one AWS::Serverless::StateMachine, a sentence each."""
    path = ROOT / properties["DefinitionUri"]
    values = {key: _resolve(value, parameters) for key, value in properties.get("DefinitionSubstitutions", {}).items()}
    text = path.read_text()
    wanted = set(PLACEHOLDER.findall(text))
    problems = [f"${{{key}}} is not among the DefinitionSubstitutions" for key in sorted(wanted - set(values))]
    problems += [f"the substitution {key} is not used" for key in sorted(set(values) - wanted)]
    try:
        # On the text, as SAM and CloudFormation do it, so that a number stays a number.
        definition = yaml.load(PLACEHOLDER.sub(lambda m: values.get(m[1], m[0]), text), UniqueKeyLoader)
    except yaml.YAMLError as error:
        return [f"{path.name}: {error}"]
    problems += _check_schema(name, definition)
    problems += _check_flow(definition, "")
    problems += _check_expressions(definition)
    return [f"{path.name}: {problem}" for problem in problems]


def _resolve(value: Any, parameters: dict[str, Any]) -> str:
    if not isinstance(value, dict):
        return str(value)
    if reference := value.get("Ref"):
        return str(STANDINS.get(reference) or parameters.get(reference, {}).get("Default") or "stand-in")
    if "Fn::Sub" in value:
        return re.sub(r"\$\{([^}]+)\}", lambda m: _resolve({"Ref": m[1]}, parameters), str(value["Fn::Sub"]))
    return "arn:aws:lambda:ap-northeast-1:123456789012:function:stand-in"


def _check_schema(name: str, definition: dict[str, Any]) -> list[str]:
    role = "arn:aws:iam::123456789012:role/stand-in"
    resource = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {"RoleArn": role, "Definition": definition},
    }
    template = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": {name: resource}}
    # The schema does not know yet that a Map in JSONata may compute its concurrency.
    text = re.sub(r'"MaxConcurrency": "\{% .*? %\}"', '"MaxConcurrency": 1', json.dumps(template, default=str))
    matches = lint_all(text)
    return [f"{match.rule.id}: {match.message}" for match in matches if match.rule.id[0] in "EW"]


def _check_flow(machine: dict[str, Any], within: str) -> Iterator[str]:
    states: dict[str, dict[str, Any]] = machine.get("States", {})
    reached, waiting = set[str](), [machine.get("StartAt", "")]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        if name not in states:
            yield f"{within}a transition leads to {name!r}, which is no state"
            continue
        waiting += _list_targets(states[name])
    for name in states.keys() - reached:
        yield f"{within}{name} is never reached"
    for name, state in states.items():
        for field in ("Retry", "Catch"):
            yield from _check_handlers(f"{within}{name}", field, state.get(field, []))
        for inner in [*state.get("Branches", []), *filter(None, [state.get("ItemProcessor")])]:
            yield from _check_flow(inner, f"{within}{name} / ")
    if not any(state.get("End") or state.get("Type") in ("Succeed", "Fail") for state in states.values()):
        yield f"{within}no state ends the machine"


def _list_targets(state: dict[str, Any]) -> list[str]:
    targets = [state.get("Next"), state.get("Default")]
    targets += [branch.get("Next") for field in ("Choices", "Catch") for branch in state.get(field, [])]
    return [target for target in targets if target]


def _check_handlers(where: str, field: str, handlers: list[dict[str, Any]]) -> Iterator[str]:
    seen: set[str] = set()
    for number, handler in enumerate(handlers, 1):
        names = handler["ErrorEquals"]
        if "States.ALL" in names and (len(names) > 1 or number < len(handlers)):
            yield f"{where}: States.ALL in {field} must stand alone and last"
        for name in set(names) & seen:
            yield f"{where}: {name} stands in two entries of {field}, and only the first one counts"
        seen |= set(names)


def _check_expressions(definition: dict[str, Any]) -> Iterator[str]:
    assigned = {"states"} | set(_list_assigned(definition))
    for where, text in _list_expressions(definition, ""):
        try:
            Jsonata(text)
        except Exception as error:
            yield f"{where}: {error}: {text.strip()}"
            continue
        code = JSONATA_STRING.sub("''", text)
        local = {name for match in LOCAL.finditer(code) for name in re.findall(r"\w+", match[1] or match[2] or "")}
        for name in set(VARIABLE.findall(code)) - assigned - local:
            yield f"{where}: ${name} is assigned nowhere: {text.strip()}"


def _list_assigned(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        assign = node.get("Assign")
        if isinstance(assign, dict):
            yield from assign
        for value in node.values():
            yield from _list_assigned(value)
    elif isinstance(node, list):
        for value in node:
            yield from _list_assigned(value)


def _list_expressions(node: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _list_expressions(value, f"{where} > {key}" if where else str(key))
    elif isinstance(node, list):
        for value in node:
            yield from _list_expressions(value, where)
    elif isinstance(node, str) and (match := EXPRESSION.fullmatch(node.strip())):
        yield where, match[1]


def main() -> int:
    """Check every state machine of the template, print what is wrong, and return the exit code."""
    template = yaml_parse((ROOT / "template.yaml").read_text())
    machines = {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::StateMachine"
    }
    used = {(ROOT / properties["DefinitionUri"]).resolve() for properties in machines.values()}
    problems = [
        f"{path.name}: no state machine of the template uses this file"
        for path in sorted((ROOT / "statemachines").glob("*.asl.yaml"))
        if path.resolve() not in used
    ]
    for name, properties in machines.items():
        problems += check_machine(name, properties, template.get("Parameters", {}))
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"ASL: {len(machines)} state machine{'s' * (len(machines) != 1)} checked.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
