from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from rehearsal.engine.permissions import read_table
from tests.rules.project import (
    LAYER,
    TEMPLATE,
    Statement,
    choices,
    policies,
    resources,
    statements,
    states,
)


@cache
def _needed() -> dict[str, set[str]]:
    """The actions that the table's calls need, and the types of resources that each is needed on."""
    needed: dict[str, set[str]] = {}
    for needs in read_table()["calls"].values():
        for need in needs:
            needed.setdefault(need["action"], set()).update(set(need) & set(read_table()["resource_types"]))
    return needed


def _exceptions() -> dict[str, dict[str, Any]]:
    return read_table()["exceptions"]


def _resources(action: str) -> set[str]:
    """The types of resources that an action can be limited to; none when IAM only knows "*" for it."""
    return _needed().get(action) or set(_exceptions().get(action, {}).get("resources", []))


def _allowing() -> list[Statement]:
    found = [statement for statement in statements() if statement.effect == "Allow"]
    assert found
    return found


def _granted() -> set[str]:
    return {action for statement in _allowing() for action in statement.actions}


def _called_by_states() -> set[str]:
    """The operations that state machines call: those of their tasks, of Maps, and of what Maps read."""
    called = set()
    for state in states():
        integrations = [state.calls, str(state.body.get("ItemReader", {}).get("Resource", "")).split(":::")[-1]]
        called |= {name.split(":")[1][:1].upper() + name.split(":")[1][1:] for name in integrations if name}
        if str(state.body.get("Resource", "")).endswith((".sync", ".sync:2")):
            called |= {"DescribeExecution", "StopExecution"}
        if state.body.get("ItemProcessor", {}).get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED":
            called |= {"StartExecution", "DescribeExecution", "StopExecution"}
    return called


def _is_called(operation: str) -> bool:
    if operation in _called_by_states():
        return True
    code = "\n".join(path.read_text() for path in sorted((LAYER / "drydock").rglob("*.py")))
    method = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
    return re.search(rf"\.{method}\b|[\"']{method}[\"']", code) is not None


def test_every_action_is_named_in_full_and_is_one_that_a_call_needs_or_an_exception() -> None:
    assert [action for action in _granted() if "*" in action] == []
    assert sorted(_granted() - set(_needed()) - set(_exceptions())) == []


def test_anything_is_granted_only_where_resources_cannot_be_named() -> None:
    wrong = [
        f"{statement.owner}: {action}"
        for statement in _allowing()
        if "*" in statement.resources
        for action in statement.actions
        if _resources(action) and "anywhere" not in _exceptions().get(action, {})
    ]
    assert wrong == []


def test_resources_are_named_only_where_every_action_knows_them() -> None:
    patterns = {kind: re.sub(r"{.+?}", "*", arn) for kind, arn in read_table()["resource_types"].items()}
    for statement in _allowing():
        for resource in statement.resources:
            for action in statement.actions if resource != "*" else ():
                known = [patterns[kind] for kind in _resources(action)]
                assert any(fnmatchcase(resource, pattern) for pattern in known), f"{statement.owner}: {action}"


def test_every_exception_is_used_and_has_its_reason() -> None:
    for action, entry in _exceptions().items():
        assert action in _granted(), action
        anywhere = any("*" in one.resources for one in _allowing() if action in one.actions)
        assert ("anywhere" in entry) == (anywhere and bool(_resources(action))), action
        assert ("without" in entry) == (action not in _needed()), action


def test_what_the_embedded_account_never_reaches_is_granted_and_has_its_reason() -> None:
    for pattern, entry in read_table()["unreached"].items():
        assert entry["reason"].endswith(".")
        for action in entry["actions"]:
            granted = [resource for one in _allowing() if action in one.actions for resource in one.resources]
            assert any(fnmatchcase(resource, pattern) for resource in granted), action


def test_the_table_agrees_with_the_service_authorization_reference() -> None:
    reference = json.loads((files("cfnlint.data.AdditionalSpecs") / "Policies.json").read_text())
    for action in {*_needed(), *_exceptions()}:
        service, name = action.split(":")
        known = {key.lower(): value for key, value in reference[service]["Actions"].items()}[name.lower()]
        named = set(known.get("Resources", []))
        assert _resources(action) <= named, action
        assert bool(_resources(action)) == bool(named), action


def test_what_a_call_needs_is_granted_exactly_where_some_code_makes_the_call() -> None:
    granted, called = _granted(), set[str]()
    for call, needs in read_table()["calls"].items():
        operation = call.split()[1]
        wanted = {need["action"] for need in needs} & granted
        assert _is_called(operation) == bool(wanted), call
        called |= {need["action"] for need in needs} if _is_called(operation) else set()
    for action in _exceptions():
        assert (action in called) == (action in _needed()), action


def test_every_statement_says_in_a_comment_what_it_allows() -> None:
    lines = TEMPLATE.read_text().splitlines()
    found, wrong = 0, []
    for number, line in enumerate(lines):
        if not re.match(r"\s*- Effect: ", line):
            continue
        found += 1
        above = number - 1
        while re.match(r"\s*- (!If|Has\w+|Makes\w+)$", lines[above]):
            above -= 1
        if not re.match(r"\s*# (Allows|Refuses) ", lines[above]):
            wrong.append(number + 1)
    assert found > len(_written())
    assert wrong == []


def _written() -> dict[str, set[str]]:
    """Every statement that stands in the policies of a role itself, as JSON, and the roles that it stands in."""
    found: dict[str, set[str]] = {}
    for owner, owned in policies().items():
        for policy in owned:
            for statement in [] if "Ref" in policy else choices(policy["Statement"]):
                found.setdefault(json.dumps(statement, sort_keys=True), set()).add(owner)
    return found


def test_a_statement_that_stands_in_three_roles_or_more_is_a_managed_policy() -> None:
    assert {statement: sorted(owners) for statement, owners in _written().items() if len(owners) > 2} == {}


def test_a_managed_policy_is_of_three_roles_or_more_or_of_people() -> None:
    attached = [policy["Ref"] for owned in policies().values() for policy in owned if "Ref" in policy]
    for name, body in resources("AWS::IAM::ManagedPolicy").items():
        of_roles = attached.count(name) + len(body["Properties"].get("Roles", []))
        assert name == "ApproverPolicy" or of_roles > 2, name


# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html, read 2026-11-30. The number of managed
# policies of a role is 20 there; it was 10 for long, and may still be so in accounts and partitions.
MOST_MANAGED, MOST_CHARACTERS_MANAGED, MOST_CHARACTERS_INLINE = 10, 6_144, 10_240

LONGEST = {
    "AWS::Partition": "aws-us-gov",
    "AWS::Region": "ap-northeast-1",
    "AWS::AccountId": "123456789012",
    "AWS::StackName": "s" * 35,
}


def _count_characters(document: Any) -> int:
    """The size of a policy as IAM counts it, without white space, with the longest names that it may hold."""
    text = re.sub(r"\$\{([^}]+)\}", lambda match: LONGEST.get(match[1], "b" * 63), json.dumps(document))
    return len(re.sub(r"\s", "", text))


def test_policies_are_within_the_quotas_of_iam() -> None:
    guarded = {role["Ref"] for role in resources("AWS::IAM::ManagedPolicy")["GuardPolicy"]["Properties"]["Roles"]}
    for owner, owned in policies().items():
        # SAM adds AWSLambdaBasicExecutionRole to the role of a function.
        managed = [policy for policy in owned if "Ref" in policy] + [owner] * (f"{owner}Role" in guarded)
        assert len(managed) + owner.endswith("Function") <= MOST_MANAGED, owner
        inline = sum(_count_characters(policy) for policy in owned if "Ref" not in policy)
        assert inline <= MOST_CHARACTERS_INLINE, f"{owner}: {inline}"
    for name, body in resources("AWS::IAM::ManagedPolicy").items():
        assert _count_characters(body["Properties"]["PolicyDocument"]) <= MOST_CHARACTERS_MANAGED, name
