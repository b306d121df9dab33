"""Each call is checked under its caller's own role."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.engine.deployment import DeploymentError, Stack
from rehearsal.engine.permissions import _condition_holds, _matches_any

RunMachine = Callable[..., ExecutionView]


def test_a_call_that_the_role_does_not_allow_is_denied_as_aws_does(
    run_machine: RunMachine, engine: EmbeddedAccount
) -> None:
    view = run_machine(op="write")
    assert view.error == "ClientError"
    assert "AccessDeniedException" in str(view.cause)
    assert "is not authorized to perform: dynamodb:PutItem on resource" in str(view.cause)
    assert [str(request) for request in engine.permissions.denied] == [
        "echo may not dynamodb:PutItem on arn:aws:dynamodb:ap-northeast-1:123456789012:table/drydock-State"
    ]


def test_a_parameter_can_widen_a_policy(engine: EmbeddedAccount) -> None:
    engine.deploy({"Permissive": "true"})
    arn = engine.start_execution("Machine", {"op": "write"})
    engine.run_until_quiet()
    assert engine.execution(arn).status == "SUCCEEDED"


def test_machines_are_checked_too(engine: EmbeddedAccount, run_machine: RunMachine) -> None:
    iam = engine.client("iam")
    (role,) = [item["RoleName"] for item in iam.list_roles()["Roles"] if "Machine" in item["RoleName"]]
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    engine.permissions.forget()
    view = run_machine(op="echo")
    assert view.error == "Lambda.AccessDeniedException"
    assert "lambda:InvokeFunction" in str(view.cause)


@pytest.mark.parametrize(
    ("operator", "wanted", "found", "holds"),
    [
        ("StringEquals", ["a"], "a", True),
        ("StringEquals", ["a"], None, False),
        ("StringEqualsIfExists", ["a"], None, True),
        ("StringNotEquals", ["a"], None, True),
        ("StringLike", ["i-*"], "i-12", True),
        ("ForAllValues:StringEquals", ["a", "b"], ["a"], True),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
        ("ForAnyValue:StringLike", ["Drydock*"], ["Name", "DrydockState"], True),
        ("Null", ["true"], None, True),
    ],
)
def test_conditions(operator: str, wanted: list[str], found: Any, holds: bool) -> None:
    assert _condition_holds(operator, wanted, found) is holds


def test_actions_are_compared_without_case_and_resources_with_it() -> None:
    assert _matches_any("EC2:start*", "ec2:StartInstances", ignore_case=True)
    assert not _matches_any("arn:aws:s3:::Bucket", "arn:aws:s3:::bucket")


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [({"Greeting": "shout"}, "not one of"), ({"Gruss": "x"}, "no parameters named Gruss")],
)
def test_parameters_are_checked_as_cloudformation_does(
    engine: EmbeddedAccount, parameters: dict[str, str], complaint: str
) -> None:
    with pytest.raises(DeploymentError, match=complaint):
        engine.deploy(parameters)


def test_an_unknown_resource_type_fails_loudly(engine: EmbeddedAccount, tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text("Resources: {Car: {Type: 'AWS::Garage::Car'}}\nTransform: AWS::Serverless-2016-10-31\n")
    with pytest.raises(DeploymentError, match="AWS::Garage::Car"):
        engine.deploy(template=template)


def test_conditions_and_outputs_of_the_template_hold(engine_stack: Stack) -> None:
    assert engine_stack.outputs["Machine"].endswith(":stateMachine:drydock-Machine")
    assert engine_stack.outputs["Topic"] == engine_stack.resource("Topic")
