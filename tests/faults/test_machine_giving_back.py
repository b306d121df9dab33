from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.engine.calls import Call, Interception
from rehearsal.play.faults import FailCall, LoseEvents
from rehearsal.world.fleet import Machine
from tests.faults.kinds import KINDS, RUNNING, account_with_hooks, add, assert_went_as_ever, clean_run
from tests.scenarios.machine.scenario import Scenario, assert_given_back, scenario


def test_a_second_execution_for_a_machine_is_refused_and_the_first_is_undisturbed() -> None:
    with account_with_hooks() as scene:
        web = add(scene, RUNNING)
        first = scene.start(web)
        scene.run_until(first, "Install Patches", seconds=30)

        second = scene.start(web)
        scene.settle()

        refused = scene.account.execution(second)
        assert (refused.status, refused.error) == ("FAILED", "InstanceBusyError")
        assert refused.cause and first.rsplit(":", 1)[-1] in refused.cause
        outcomes = {result["execution"]: result["outcome"] for result in scene.results(web)}
        assert outcomes == {first: "succeeded", second: "refused"}
        assert sorted(message.attributes["outcome"] for message in scene.told(web)) == ["refused", "succeeded"]
        assert scene.account.execution(first).status == "SUCCEEDED"
        assert tuple(scene.commands(web)) == clean_run(RUNNING).commands
        assert web.missing == []
        assert len(scene.images(web)) == 2
        assert scene.tags(web)["DrydockState"] == "Completed"
        assert_given_back(scene, web, "running")


def test_of_executions_started_at_the_same_moment_one_gets_the_machine() -> None:
    with scenario() as scene:
        web = scene.machine()

        executions = [scene.start(web) for _ in range(4)]
        scene.settle()

        seen = [scene.account.execution(execution) for execution in executions]
        assert sorted(execution.status for execution in seen) == ["FAILED", "FAILED", "FAILED", "SUCCEEDED"]
        assert {execution.error for execution in seen} == {None, "InstanceBusyError"}
        assert len(scene.images(web)) == 2
        assert len(scene.told(web)) == 4
        assert_given_back(scene, web, "running")


def test_an_execution_that_finds_a_stale_lease_is_refused_and_has_the_machine_given_back() -> None:
    with scenario() as scene:
        scene.given(LoseEvents())
        web = scene.machine()
        first = scene.start(web)
        scene.run_until(first, "Back Up Before", seconds=5)
        scene.account.client("events").disable_rule(Name="drydock-Sweep")
        scene.account.stop_execution(first)
        scene.run_for(10)
        assert scene.lease(web)

        second = scene.start(web)
        scene.run_for(5)

        refused = scene.account.execution(second)
        assert (refused.status, refused.error) == ("FAILED", "InstanceBusyError")
        assert refused.cause and "being given back" in refused.cause
        assert scene.lease(web) is None

        third = scene.start(web)
        scene.account.client("events").enable_rule(Name="drydock-Sweep")
        scene.account.bus.start_schedules()
        scene.settle()

        assert scene.account.execution(third).status == "SUCCEEDED"
        outcomes = {result["execution"]: result["outcome"] for result in scene.results(web)}
        assert outcomes == {first: "failed", second: "refused", third: "succeeded"}
        assert len(scene.told(web)) == 3
        assert_given_back(scene, web, "running")


def test_giving_back_again_and_again_changes_nothing() -> None:
    with scenario() as scene:
        win = scene.machine(platform="Windows", power="stopped")
        execution = scene.start(win)
        scene.run_until(execution, "Install Patches", seconds=60)
        scene.account.stop_execution(execution)
        events: list[Mapping[str, Any]] = [{"subject": win.instance_id}, _end_of(scene, execution), {}]

        for _ in range(30):
            for event in events:
                _give_back(scene, event)
            scene.run_for(1)
        scene.settle()
        before = (scene.items(), list(win.power_log), scene.tags(win), len(scene.messages))
        for event in events * 3:
            _give_back(scene, event)
        scene.run_for(10)

        assert (scene.items(), list(win.power_log), scene.tags(win), len(scene.messages)) == before
        assert [state for _, state in win.power_log].count("stopping") == 1
        assert scene.account.calls.counts["give_back", "ec2", "StopInstances"] == 1
        assert len(scene.results(win)) == 1
        assert len(scene.told(win)) == 1
        assert_given_back(scene, win, "stopped")


def test_giving_back_does_not_disturb_machines_whose_executions_run() -> None:
    with account_with_hooks() as scene:
        machines = {kind: add(scene, kind) for kind in KINDS}
        executions = {kind: scene.start(machine, kind.policy) for kind, machine in machines.items()}

        for _ in range(20):
            for kind, machine in machines.items():
                _give_back(scene, {"subject": machine.instance_id})
                _give_back(scene, _end_of(scene, executions[kind]))
            scene.run_for(2)
        scene.settle()

        for kind, machine in machines.items():
            assert_went_as_ever(scene, kind, machine, executions[kind])


def test_the_end_of_an_earlier_execution_does_not_give_the_next_one_s_machine_back() -> None:
    with scenario() as scene:
        web = scene.machine(wrong=("image_fails",))
        first = scene.patch(web)
        second = scene.start(web)
        scene.run_until(second, "Back Up Before", seconds=30)

        _give_back(scene, _end_of(scene, first.arn))
        scene.run_for(1)

        lease = scene.lease(web)
        assert lease and (lease["owner"], lease["phase"]) == (second, "ACTIVE")


def test_people_hear_once_of_machines_that_ec2_does_not_stop_and_they_are_given_back_once_ec2_does() -> None:
    with scenario() as scene:
        codes = ("OperationNotPermitted", "UnauthorizedOperation")
        machines = {code: scene.machine(code, platform="Windows", power="stopped") for code in codes}
        for code, machine in machines.items():
            _refuse(scene, "StopInstances", machine, code, hours=7)
        for execution in [scene.start(machine) for machine in machines.values()]:
            scene.run_until(execution, "Wait Until Reachable", seconds=5)
            scene.account.stop_execution(execution)

        scene.run_for(6.5 * 60)

        for code, machine in machines.items():
            assert machine.power == "running"
            assert scene.lease(machine)
            assert [message.attributes["outcome"] for message in scene.told(machine)] == ["failed", "not_given_back"]
            assert code in scene.told(machine)[-1].said

        scene.settle()

        for machine in machines.values():
            assert_given_back(scene, machine, "stopped")
            assert len(scene.told(machine)) == 2


@pytest.mark.parametrize("operation", ["DescribeInstances", "StopInstances"])
def test_a_machine_that_cannot_be_given_back_does_not_keep_the_others_waiting(operation: str) -> None:
    with scenario() as scene:
        scene.given(LoseEvents())
        machines = [scene.machine(f"win-{number}", platform="Windows", power="stopped") for number in range(3)]
        stuck = machines[1]
        _refuse(scene, operation, stuck, "UnauthorizedOperation", hours=3)
        executions = [scene.start(machine) for machine in machines]
        for machine, execution in zip(machines, executions, strict=True):
            if scene.account.execution(execution).status == "RUNNING" and (
                machine is not stuck or operation == "StopInstances"
            ):
                scene.run_until(execution, "Probe Instance Before")
        for execution in executions:
            if scene.account.execution(execution).status == "RUNNING":
                scene.account.stop_execution(execution)

        scene.run_for(30)

        for machine in machines:
            if machine is not stuck:
                assert_given_back(scene, machine, "stopped")
                assert len(scene.told(machine)) == 1
        if operation == "StopInstances":
            assert scene.lease(stuck)

        scene.settle()

        assert_given_back(scene, stuck, "stopped")
        assert len(scene.told(stuck)) == 1


def test_a_tag_or_a_deprecation_date_that_cannot_be_written_is_reported_and_fails_nothing() -> None:
    with scenario() as scene:
        scene.given(
            FailCall("ec2:CreateTags", "UnauthorizedOperation", times=1000),
            FailCall("ec2:EnableImageDeprecation", "UnauthorizedOperation", times=1000),
        )
        web = scene.machine()

        execution = scene.patch(web)

        assert execution.status == "SUCCEEDED"
        problems = scene.result(web)["problems"]
        assert [problem.split()[0] for problem in problems] == ["image", "the"]
        after = scene.result(web)["images"]["after"]
        assert after["reason"] == ""
        assert any("got no deprecation date" in problem for problem in after["problems"])
        assert_given_back(scene, web, "running")
        (message,) = scene.told(web)
        assert message.body.count("Note: ") == 2


def _refuse(scene: Scenario, operation: str, machine: Machine, code: str, hours: float) -> None:
    """EC2 refuses a call for one machine for so many hours, once giving back has begun with it."""
    end = scene.account.clock.time() + hours * 3600

    def intercept(call: Call) -> Interception | None:
        if (call.caller.name, call.operation) != ("give_back", operation) or scene.account.clock.time() > end:
            return None
        if call.parameters.get("InstanceIds") != [machine.instance_id]:
            return None
        return Interception(before=ClientError({"Error": {"Code": code, "Message": "rehearsed refusal"}}, operation))

    scene.account.calls.interceptors.append(intercept)


def _give_back(scene: Scenario, event: Mapping[str, Any]) -> None:
    """Somebody, or a doubled event, invokes give_back."""
    scene.account.client("lambda").invoke(
        FunctionName="drydock-give_back", InvocationType="Event", Payload=json.dumps(event).encode()
    )


def _end_of(scene: Scenario, execution: str) -> dict[str, Any]:
    """The event by which EventBridge tells give_back that an execution was stopped; it may be late or wrong."""
    seen = scene.account.execution(execution)
    return {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"executionArn": execution, "status": "ABORTED", "input": json.dumps(seen.input)},
    }
