"""Whatever is looked for in an answer of several pages is found also behind pages that are empty."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from drydock.aws.autoscaling import AutoScaling
from drydock.aws.cloudwatch import CloudWatch
from drydock.aws.ec2 import Ec2
from drydock.aws.executions import Executions
from drydock.aws.resource_groups import ResourceGroups
from drydock.aws.ssm import Ssm
from drydock.aws.windows import Windows
from tests.unit.fakes import START
from tests.unit.world import EXECUTION, INSTANCE

Found = Mapping[str, Any]

AGENT = {"InstanceId": INSTANCE, "PingStatus": "Online", "LastPingDateTime": START}
COMMAND = {"CommandId": "c-1", "Comment": "mine", "ExpiresAfter": START}
PATCH_STATE = {"Operation": "Scan", "OperationEndTime": START, "BaselineId": "pb-1", "PatchGroup": ""}
GROUP = {"AutoScalingGroupName": "web", "MinSize": 1, "MaxSize": 1, "DesiredCapacity": 1}
RESOURCE = {"ResourceArn": f"arn:aws:ec2:x:1:instance/{INSTANCE}", "ResourceType": "AWS::EC2::Instance"}

FINDERS: Mapping[str, tuple[str, type, str, Found, Callable[[Any], Any]]] = {
    "find_agent": (
        "describe_instance_information",
        Ssm,
        "InstanceInformationList",
        AGENT,
        lambda ssm: ssm.find_agent(INSTANCE),
    ),
    "find_agents": (
        "describe_instance_information",
        Ssm,
        "InstanceInformationList",
        AGENT,
        lambda ssm: ssm.find_agents([INSTANCE]),
    ),
    "find_invocation": (
        "list_command_invocations",
        Ssm,
        "CommandInvocations",
        {"Status": "Success"},
        lambda ssm: ssm.find_invocation(INSTANCE, "c-1", "Linux"),
    ),
    "find_patch_state": (
        "describe_instance_patch_states",
        Ssm,
        "InstancePatchStates",
        PATCH_STATE,
        lambda ssm: ssm.find_patch_state(INSTANCE),
    ),
    "find_command": ("list_commands", Ssm, "Commands", COMMAND, lambda ssm: ssm.find_command(INSTANCE, "mine", START)),
    "list_patches": (
        "describe_instance_patches",
        Ssm,
        "Patches",
        {"KBId": "KB1"},
        lambda ssm: ssm.list_patches(INSTANCE, "Missing"),
    ),
    "parameter_history": (
        "get_parameter_history",
        Ssm,
        "Parameters",
        {"Value": "x", "Version": 1, "LastModifiedDate": START},
        lambda ssm: ssm.parameter_history("/drydock/policy"),
    ),
    "describe_instances": (
        "describe_instances",
        Ec2,
        "Reservations",
        {"Instances": [{"InstanceId": INSTANCE}]},
        lambda ec2: ec2.describe_instances({}),
    ),
    "find_own_image": ("describe_images", Ec2, "Images", {"ImageId": "ami-1"}, lambda ec2: ec2.find_own_image("x")),
    "find_image": ("describe_images", Ec2, "Images", {"ImageId": "ami-1"}, lambda ec2: ec2.find_image("ami-1")),
    "group": (
        "describe_auto_scaling_groups",
        AutoScaling,
        "AutoScalingGroups",
        GROUP,
        lambda scaling: scaling.group("web"),
    ),
    "groups": (
        "describe_auto_scaling_groups",
        AutoScaling,
        "AutoScalingGroups",
        GROUP,
        lambda scaling: scaling.groups(["web"]),
    ),
    "lifecycles": (
        "describe_auto_scaling_instances",
        AutoScaling,
        "AutoScalingInstances",
        {"InstanceId": INSTANCE, "LifecycleState": "InService"},
        lambda scaling: scaling.lifecycles([INSTANCE]),
    ),
    "launch_sources": (
        "describe_auto_scaling_groups",
        AutoScaling,
        "AutoScalingGroups",
        GROUP,
        lambda scaling: scaling.launch_sources(),
    ),
    "refresh_at_work": (
        "describe_instance_refreshes",
        AutoScaling,
        "InstanceRefreshes",
        {"InstanceRefreshId": "r-1", "Status": "InProgress"},
        lambda scaling: scaling.refresh_at_work("web"),
    ),
    "alarm_states": (
        "describe_alarms",
        CloudWatch,
        "MetricAlarms",
        {"AlarmName": "errors", "StateValue": "OK"},
        lambda watch: watch.alarm_states(["errors"]),
    ),
    "running_beside": (
        "list_executions",
        Executions,
        "executions",
        {"executionArn": EXECUTION},
        lambda executions: executions.running_beside(EXECUTION),
    ),
    "list_instances": (
        "list_group_resources",
        ResourceGroups,
        "Resources",
        {"Identifier": RESOURCE},
        lambda groups: groups.list_instances("web"),
    ),
    "targets": ("describe_maintenance_window_targets", Windows, "Targets", {"a": 1}, lambda w: w.targets("mw-1")),
    "tasks": ("describe_maintenance_window_tasks", Windows, "Tasks", {"a": 1}, lambda w: w.tasks("mw-1")),
    "execution_tasks": (
        "describe_maintenance_window_execution_tasks",
        Windows,
        "WindowExecutionTaskIdentities",
        {"a": 1},
        lambda windows: windows.execution_tasks("e-1"),
    ),
}


def answering_in_pages(listed: str, found: list[Found], asked: list[str]) -> Callable[..., Found]:
    """A call that answers with two empty pages, then with what was found on the last one."""

    def answer(**request: Any) -> Found:
        token = "nextToken" if listed == "executions" else "NextToken"
        given = str(request.get(token, ""))
        asked.append(given)
        return {listed: found} if given == "3" else {listed: [], token: str(int(given or 1) + 1)}

    return answer


@pytest.mark.parametrize("name", FINDERS)
def test_what_stands_on_the_last_page_is_found(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    operation, kind, listed, one, find = FINDERS[name]
    asked: list[str] = []
    clients = SimpleNamespace(**{operation: answering_in_pages(listed, [one], asked)})
    monkeypatch.setattr(f"{kind.__module__}.client", lambda service, attempts=4: clients)

    assert find(kind())
    assert asked == ["", "2", "3"]


@pytest.mark.parametrize(
    "name", ["find_agent", "find_invocation", "find_patch_state", "find_command", "find_own_image"]
)
def test_what_stands_on_no_page_is_not_there(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    operation, kind, listed, _, find = FINDERS[name]
    asked: list[str] = []
    clients = SimpleNamespace(**{operation: answering_in_pages(listed, [], asked)})
    monkeypatch.setattr(f"{kind.__module__}.client", lambda service, attempts=4: clients)

    assert find(kind()) is None
    assert len(asked) == 3
