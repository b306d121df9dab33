from __future__ import annotations

import json
from typing import Any

from rehearsal.engine.permissions import read_table
from tests.rules.project import plain, resources, statements, template

LAUNCHES = {"ec2:CreateFleet", "ec2:RunInstances"}
"""These make an instance, which has no tag before."""

ANY_INSTANCE = "arn:aws:ec2:ap-northeast-1:123456789012:instance/*"


def _policy() -> dict[str, Any]:
    policy = resources("AWS::IAM::ManagedPolicy")["GuardPolicy"]
    assert policy["Condition"] == "HasGuardTag"
    properties: dict[str, Any] = policy["Properties"]
    return properties


def _refusal() -> dict[str, Any]:
    text = _policy()["PolicyDocument"]["Fn::Sub"].replace("${GuardTagKey}", "Guard")
    (statement,) = json.loads(plain({"Fn::Sub": text}))["Statement"]
    found: dict[str, Any] = statement
    return found


def _changing() -> dict[str, set[str]]:
    """The actions that change instances, by the functions that are granted them."""
    on_instances = {need["action"] for needs in read_table()["calls"].values() for need in needs if "instance" in need}
    changing: dict[str, set[str]] = {}
    for statement in statements():
        for action in on_instances & set(statement.actions) - LAUNCHES:
            if ":Describe" not in action and ANY_INSTANCE in statement.resources:
                changing.setdefault(statement.owner, set()).add(action)
    assert changing
    return changing


def test_changes_to_instances_without_the_tag_are_refused() -> None:
    refusal = _refusal()
    assert refusal["Effect"] == "Deny"
    assert refusal["Resource"] == ANY_INSTANCE
    assert refusal["Condition"] == {"StringNotEquals": {"aws:ResourceTag/Guard": "true"}}


def test_every_action_that_changes_an_instance_is_refused_and_no_other() -> None:
    assert _refusal()["Action"] == sorted(set().union(*_changing().values()))


def test_every_function_that_may_change_instances_is_bound_and_no_other() -> None:
    bound = [role["Ref"] for role in _policy()["Roles"]]
    assert sorted(bound) == sorted(f"{function}Role" for function in _changing())


def test_drydock_cannot_set_the_tag_itself() -> None:
    """The tags that it may write begin with Drydock, and the parameter admits no such key."""
    assert "(?!Drydock|aws:)" in template()["Parameters"]["GuardTagKey"]["AllowedPattern"]
