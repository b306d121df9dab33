"""Checks the state machines of template.yaml, as they are after DefinitionSubstitutions.

What AWS refuses in a definition, the rehearsal refuses (rehearsal/engine/definitions.py); cfn-lint holds the
definition against the schema of the Amazon States Language. What AWS takes but no machine of ours may have is checked
here: an error that two entries of Retry or Catch name, and a variable or function that an expression reads and that
there is not.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from cfnlint.api import lint_all
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parent.parent
# The rehearsal stands beside this folder, and is not where Python looks when this file is run.
sys.path.insert(0, str(ROOT))

from rehearsal.engine.definitions import (  # noqa: E402
    find_refusals,
    list_assigned,
    list_containers,
    list_expressions,
    without_inner,
)
from rehearsal.engine.expressions import FUNCTIONS, read  # noqa: E402

PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
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
    values = _substitutions(properties, parameters, STANDINS)
    text = path.read_text()
    wanted = set(PLACEHOLDER.findall(text))
    problems = [f"${{{key}}} is not among the DefinitionSubstitutions" for key in sorted(wanted - set(values))]
    problems += [f"the substitution {key} is not used" for key in sorted(set(values) - wanted)]
    try:
        definition = _substitute(text, values)
    except yaml.YAMLError as error:
        return [f"{path.name}: {error}"]
    problems += _check_schema(name, definition)
    refusals = find_refusals(json.dumps(definition, default=str))
    problems += map(str, refusals)
    if not refusals:
        problems += _check_states(definition, "", FUNCTIONS)
    return [f"{path.name}: {problem}" for problem in problems]


def read_definitions(standins: Mapping[str, str]) -> dict[str, str]:
    """Return the definition of each state machine of the template as JSON, with these pseudo parameters."""
    template = yaml_parse((ROOT / "template.yaml").read_text())
    found = {}
    for name, properties in _machines(template).items():
        values = _substitutions(properties, template.get("Parameters", {}), {**STANDINS, **standins})
        text = (ROOT / properties["DefinitionUri"]).read_text()
        found[name] = json.dumps(_substitute(text, values), default=str)
    return found


def _machines(template: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::StateMachine"
    }


def _substitute(text: str, values: Mapping[str, str]) -> Any:
    # On the text, as SAM and CloudFormation do it, so that a number stays a number.
    return yaml.load(PLACEHOLDER.sub(lambda m: values.get(m[1], m[0]), text), UniqueKeyLoader)


def _substitutions(
    properties: Mapping[str, Any], parameters: Mapping[str, Any], standins: Mapping[str, str]
) -> dict[str, str]:
    given = properties.get("DefinitionSubstitutions", {})
    return {key: _resolve(value, parameters, standins) for key, value in given.items()}


def _resolve(value: Any, parameters: Mapping[str, Any], standins: Mapping[str, str]) -> str:
    if not isinstance(value, dict):
        return str(value)
    if reference := value.get("Ref"):
        return str(standins.get(reference) or parameters.get(reference, {}).get("Default") or "stand-in")
    if "Fn::Sub" in value:
        return re.sub(r"\$\{([^}]+)\}", lambda m: _resolve({"Ref": m[1]}, parameters, standins), str(value["Fn::Sub"]))
    place = ":".join(standins[f"AWS::{part}"] for part in ("Region", "AccountId"))
    return f"arn:{standins['AWS::Partition']}:lambda:{place}:function:stand-in"


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


def _check_states(body: Mapping[str, Any], within: str, known: frozenset[str]) -> Iterator[str]:
    """Check states that run together; `known` is what their expressions may read, beside what they assign."""
    states: dict[str, dict[str, Any]] = body["States"]
    known |= {name for state in states.values() for name in list_assigned(state)}
    for name, state in states.items():
        for key in ("Retry", "Catch"):
            yield from _check_handlers(f"{within}{name}", key, state.get(key, []))
        for where, expression in list_expressions(without_inner(state), f"{within}{name}"):
            for variable in sorted(read(expression).variables - known):
                yield f"{where}: there is no ${variable}: {expression.strip()}"
        for _, inner in list_containers(state):
            yield from _check_states(inner, f"{within}{name} / ", known)


def _check_handlers(where: str, key: str, handlers: list[dict[str, Any]]) -> Iterator[str]:
    seen: set[str] = set()
    for handler in handlers:
        for name in set(handler["ErrorEquals"]) & seen:
            yield f"{where}: {name} stands in two entries of {key}, and only the first one counts"
        seen |= set(handler["ErrorEquals"])


def main() -> int:
    """Check every state machine of the template, print what is wrong, and return the exit code."""
    template = yaml_parse((ROOT / "template.yaml").read_text())
    machines = _machines(template)
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
