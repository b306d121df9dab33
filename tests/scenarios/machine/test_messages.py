from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from drydock.aws.ec2 import MOST_NAME
from rehearsal.account import ExecutionView
from rehearsal.world.fleet import Machine
from tests.scenarios.machine.scenario import Scenario

RUN = {"runId": "run-2026-01"}
BY_HAND: dict[str, str] = {}


@pytest.fixture(autouse=True)
def the_run(scene: Scenario) -> None:
    """A run of which no more is known than that it is there."""
    facts = {"pk": f"RUN#{RUN['runId']}", "sk": "RUN", "runId": RUN["runId"], "phase": "CARRYING_OUT"}
    facts |= {"owner": "arn:aws:states:x:1:execution:drydock-MaintenanceRun:run", "startedAt": "2026-01-13T00:00:00Z"}
    item = {name: {"S": value} for name, value in facts.items()} | {"redriveCount": {"N": "0"}, "failed": {"N": "0"}}
    scene.account.client("dynamodb").put_item(TableName=scene.stack.resource("StateTable"), Item=item)


def patch(scene: Scenario, machine: Machine, policy: Mapping[str, Any], given: Mapping[str, str]) -> ExecutionView:
    """Somebody starts the execution, or the run does, which has let the machine in."""
    execution = scene.start(machine, policy, **given)
    if given:
        place = {"pk": f"RUN#{given['runId']}", "sk": f"MACHINE#{machine.instance_id}", "execution": execution}
        place |= {"instanceId": machine.instance_id, "name": machine.name, "outcome": "failed"}
        item = {name: {"S": value} for name, value in place.items()}
        scene.account.client("dynamodb").put_item(TableName=scene.stack.resource("StateTable"), Item=item)
    scene.settle()
    return scene.account.execution(execution)


@pytest.mark.parametrize(
    ("given", "policy", "count"),
    [
        pytest.param(BY_HAND, {}, 1, id="by-hand"),
        pytest.param(BY_HAND, {"notify": "summary"}, 1, id="by-hand-summary"),
        pytest.param(RUN, {}, 0, id="in-a-run"),
        pytest.param(RUN, {"notify": "each"}, 1, id="in-a-run-each"),
        pytest.param(RUN, {"notify": "summary"}, 0, id="in-a-run-summary"),
    ],
)
def test_a_success_is_told_when_it_was_started_by_hand_or_the_policy_wants_each(
    scene: Scenario, request: pytest.FixtureRequest, given: dict[str, str], policy: dict[str, Any], count: int
) -> None:
    machine = scene.machine(f"success-{request.node.callspec.id}")

    execution = patch(scene, machine, {"operation": "Scan", **policy}, given)

    assert execution.status == "SUCCEEDED"
    run = {"run": given["runId"]} if given else {}
    assert [message.attributes for message in scene.told(machine)] == [
        {"outcome": "succeeded", "kind": "machine", "urgency": "tomorrow", **run}
    ] * count


@pytest.mark.parametrize(
    ("given", "policy", "count"),
    [
        pytest.param(BY_HAND, {}, 1, id="by-hand"),
        pytest.param(BY_HAND, {"notify": "summary"}, 1, id="by-hand-summary"),
        pytest.param(RUN, {}, 1, id="in-a-run"),
        pytest.param(RUN, {"notify": "each"}, 1, id="in-a-run-each"),
        pytest.param(RUN, {"notify": "summary"}, 0, id="in-a-run-summary"),
    ],
)
def test_a_failure_is_told_unless_the_run_tells_it_in_its_summary(
    scene: Scenario, request: pytest.FixtureRequest, given: dict[str, str], policy: dict[str, Any], count: int
) -> None:
    machine = scene.machine(f"failure-{request.node.callspec.id}", wrong=("image_fails",))

    execution = patch(scene, machine, policy, given)

    assert execution.status == "FAILED"
    run = {"run": given["runId"]} if given else {}
    assert [message.attributes for message in scene.told(machine)] == [
        {"outcome": "failed", "kind": "machine", "urgency": "tomorrow", **run}
    ] * count
    assert "lookup" not in scene.result(machine)


@pytest.mark.parametrize(("given", "count"), [(BY_HAND, 1), (RUN, 0)], ids=["by-hand", "in-a-run"])
def test_a_refusal_is_told_unless_the_run_tells_it_in_its_summary(
    scene: Scenario, request: pytest.FixtureRequest, given: dict[str, str], count: int
) -> None:
    machine = scene.machine(f"refusal-{request.node.callspec.id}", tags={"DrydockExclude": "frozen"})

    execution = patch(scene, machine, {"notify": "summary"}, given)

    assert execution.error == "InstanceExcludedError"
    assert len(scene.told(machine)) == count
    assert "lookup" not in scene.result(machine)


def test_the_message_of_a_success_says_what_happened_to_which_machine_and_where_to_look(scene: Scenario) -> None:
    machine = scene.machine("web-1")

    execution = scene.patch(machine)

    (message,) = scene.told(machine)
    assert message.topic == scene.stack.outputs["ResultsTopicArn"]
    assert message.subject == f"Drydock: web-1 ({machine.instance_id}) was patched"
    lines = message.body.splitlines()
    assert lines[0] == f"Nothing to do: web-1 ({machine.instance_id}) was patched."
    assert "  Account 123456789012, Region ap-northeast-1; times in Asia/Tokyo" in lines
    assert "  Power: running before, running now" in lines
    assert "  Missing patches: 2 before, 0 now" in lines
    assert "  Rebooted: yes" in lines
    assert lines[-1].endswith(execution.arn)
    assert "{" not in message.said


@pytest.mark.parametrize(("wrong", "outcome"), [((), "succeeded"), (("image_fails",), "failed")])
def test_a_topic_in_parameter_store_gets_the_messages_instead(
    scene: Scenario, wrong: tuple[str, ...], outcome: str
) -> None:
    machine = scene.machine(f"elsewhere-{outcome}", wrong=wrong)
    other = scene.account.client("sns").create_topic(Name="drydock-Night-Shift")["TopicArn"]
    scene.topic(other)

    scene.patch(machine)

    scene.topic(None)
    assert [(message.topic, message.attributes["outcome"]) for message in scene.told(machine)] == [(other, outcome)]


def test_the_message_of_a_failure_says_the_state_of_the_machine_and_what_to_do_next(scene: Scenario) -> None:
    machine = scene.machine("db-1", platform="Windows", power="stopped", wrong=("success_but_missing",))

    execution = scene.patch(machine)

    (message,) = scene.told(machine)
    assert message.subject is not None
    assert message.subject.startswith(
        f"Drydock, look tomorrow: db-1 ({machine.instance_id}): patches are still missing"
    )
    lines = message.body.splitlines()
    assert "but 1 patch is missing: KB5035857" in message.said
    assert "  Error: PatchesStillMissingError" in lines
    assert "It was given back as it was found." in lines
    assert "  Patches: patches are still missing" in lines
    assert "  Missing patches: 2 before, 1 now" in lines
    assert "  Still missing: KB5035857" in lines
    assert "  Installed: KB5034439" in lines
    assert lines[lines.index("What to do next") + 1].strip()
    assert lines[-1].endswith(execution.arn)
    assert "{" not in message.said


@pytest.mark.parametrize(
    "name",
    ["x" * 200, "会計システム・本番データベース", "tab\tand  spaces"],
    ids=["long", "japanese", "tab"],
)
@pytest.mark.parametrize("wrong", [(), ("scan_fails",)], ids=["success", "failure"])
def test_any_name_of_a_machine_makes_a_subject_of_one_line_under_a_hundred_characters(
    scene: Scenario, name: str, wrong: tuple[str, ...]
) -> None:
    machine = scene.machine(name + ("!" if wrong else ""), wrong=wrong)

    scene.patch(machine, {"operation": "Scan"})

    (message,) = scene.told(machine)
    assert message.subject is not None
    assert len(message.subject) < 100
    assert message.subject.isprintable()
    kept = machine.name if len(machine.name.encode()) <= MOST_NAME else "x" * (MOST_NAME - len("…".encode())) + "…"
    assert " ".join(f"{kept} ({machine.instance_id})".split()) in message.said


def test_a_very_long_cause_is_told_all_the_same(scene: Scenario) -> None:
    machine = scene.machine("verbose")
    policy = {"windowsUpdate": {"excludeKbs": [f"not-a-kb-{number}" for number in range(600)]}}

    execution = scene.patch(machine, policy)

    assert execution.error == "InvalidPolicyError"
    (message,) = scene.told(machine)
    assert "excludeKbs[0]" in message.said
    assert len(message.body) < 262_144


@pytest.mark.parametrize(("policy", "is_told"), [({}, False), ({"messages": {"errorOutput": "lastLines"}}, True)])
def test_error_output_is_in_messages_only_where_the_policy_says_so(
    scene: Scenario, policy: dict[str, Any], is_told: bool
) -> None:
    machine = scene.machine(f"output-{is_told}", wrong=("install_error",))

    patch(scene, machine, policy, BY_HAND)

    (message,) = scene.told(machine)
    assert "the installation: Failed, exit code" in message.said
    assert ("The last lines of its error output" in message.said) is is_told
    assert ("failed to run commands: exit status 1" in message.said) is is_told
