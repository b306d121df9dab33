"""Maintenance windows of the embedded account: from the template and by calls, on schedule, as AWS runs them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.calls import Caller, current_caller
from rehearsal.engine.deployment import DeploymentError, Stack
from rehearsal.world.fleet import Fleet, MachineSpec

STATE_MACHINE_INPUT = '{"op": "echo", "run": "{{WINDOW_EXECUTION_ID}}"}'
WINDOW = """\
  Window:
    Type: AWS::SSM::MaintenanceWindow
    Properties:
      Name: drydock-tuesdays
      Schedule: cron(0 2 ? * TUE *)
      ScheduleTimezone: Asia/Tokyo
      Duration: !Ref Hours
      Cutoff: 1
      AllowUnassociatedTargets: false
  WindowTarget:
    Type: AWS::SSM::MaintenanceWindowTarget
    Properties:
      WindowId: !Ref Window
      ResourceType: INSTANCE
      OwnerInformation: web team
      Targets:
        - {Key: "tag:Role", Values: [web]}
  WindowTask:
    Type: AWS::SSM::MaintenanceWindowTask
    Properties:
      WindowId: !Ref Window
      TaskType: STEP_FUNCTIONS
      TaskArn: !Ref Machine
      Priority: 1
      ServiceRoleArn: !GetAtt WindowRole.Arn
      TaskInvocationParameters:
        MaintenanceWindowStepFunctionsParameters:
          Name: "{{INVOCATION_ID}}"
          Input: '{"op": "echo", "window": "{{WINDOW_ID}}", "task": "{{WINDOW_TASK_ID}}"}'
  WindowRole:
    Type: AWS::IAM::Role
    Properties:
      RoleName: drydock-window
      AssumeRolePolicyDocument:
        Statement:
          - {Effect: Allow, Principal: {Service: ssm.amazonaws.com}, Action: "sts:AssumeRole"}
      Policies:
        - PolicyName: Start
          PolicyDocument:
            Statement:
              - {Effect: Allow, Action: "states:StartExecution", Resource: !Ref Machine}
              - {Effect: Allow, Action: "states:DescribeExecution", Resource: "*"}
"""
ROLE = "arn:aws:iam::123456789012:role/drydock-window"
MACHINE = "arn:aws:states:ap-northeast-1:123456789012:stateMachine:drydock-Machine"
FIRST_START = datetime(2026, 1, 12, 17, tzinfo=UTC)
"""Tuesday, two o'clock in Tokyo; the accounts of these tests begin an hour before."""


class Scene:
    """An account with the small application, and a window in its stack."""

    def __init__(self, account: EmbeddedAccount, template: Path) -> None:
        self.account = account
        self.ssm = account.client("ssm")
        source = (account.project / "template.yaml").read_text()
        source = source.replace("Conditions:\n", "  Hours: {Type: Number, Default: 3}\nConditions:\n", 1)
        template.write_text(source.replace("Outputs:\n", WINDOW + "Outputs:\n", 1))
        self.template = template

    def deploy(self) -> Stack:
        """Create the stack."""
        stack = self.account.deploy(template=self.template)
        self.window = stack.resource("Window")
        return stack

    def change(self, old: str, new: str) -> None:
        """Change the template."""
        source = self.template.read_text()
        assert old in source
        self.template.write_text(source.replace(old, new, 1))

    def run(self, window: str | None = None) -> dict[str, Any]:
        """Jump to the window's next start, let everything happen, and return what became of the execution."""
        execution = self.account.windows.run_next(window or self.window)
        self.account.run_until_quiet()
        return self.execution(execution)

    def execution(self, execution: str) -> dict[str, Any]:
        """One execution of a window, as the call gives it."""
        answer: dict[str, Any] = self.ssm.get_maintenance_window_execution(WindowExecutionId=execution)
        return answer

    def tasks(self, execution: str) -> list[dict[str, Any]]:
        """The tasks of one execution, as the call gives them."""
        answer = self.ssm.describe_maintenance_window_execution_tasks(WindowExecutionId=execution)
        tasks: list[dict[str, Any]] = answer["WindowExecutionTaskIdentities"]
        return tasks

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What EventBridge was told about windows, executions, tasks or invocations."""
        return [event["detail"] for event in self.account.bus.events if event["detail-type"] == f"{kind} Notification"]

    def add_window(self, schedule: str = "cron(0 3 ? * TUE *)", **settings: Any) -> str:
        """A window that somebody creates by hand."""
        given = {"Duration": 3, "Cutoff": 1, "AllowUnassociatedTargets": True, "ScheduleTimezone": "Asia/Tokyo"}
        answer = self.ssm.create_maintenance_window(Name="by-hand", Schedule=schedule, **{**given, **settings})
        return str(answer["WindowId"])

    def add_task(self, window: str | None = None, **settings: Any) -> str:
        """A task that starts the state machine and that somebody registers by hand."""
        given: dict[str, Any] = {
            "WindowId": window or self.window,
            "TaskType": "STEP_FUNCTIONS",
            "TaskArn": MACHINE,
            "ServiceRoleArn": ROLE,
            "TaskInvocationParameters": {"StepFunctions": {"Input": STATE_MACHINE_INPUT}},
        }
        return str(self.ssm.register_task_with_maintenance_window(**{**given, **settings})["WindowTaskId"])


@pytest.fixture
def undeployed(engine: EmbeddedAccount, tmp_path: Path) -> Scene:
    return Scene(engine, tmp_path / "template.yaml")


@pytest.fixture
def scene(undeployed: Scene) -> Scene:
    undeployed.deploy()
    return undeployed


def allow_only(scene: Scene, action: str) -> None:
    """Takes all permissions but one from the window's role."""
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    scene.account.client("iam").put_role_policy(
        RoleName="drydock-window",
        PolicyName="Start",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    scene.account.permissions.forget()


def refused(act: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as raised:
        act()
    error = raised.value.response["Error"]
    return error["Code"], error["Message"]


# The schedule starts the state machine.


def test_a_window_of_the_stack_starts_its_state_machine_at_its_time(scene: Scene) -> None:
    execution = scene.account.windows.run_next(scene.window)
    assert scene.account.clock.now() == FIRST_START
    scene.account.run_until_quiet()

    (started,) = scene.account.executions()
    assert started.machine == "drydock-Machine"
    assert timedelta(0) < started.started - FIRST_START < timedelta(seconds=5)
    assert scene.execution(execution)["Status"] == "SUCCESS"


def test_windows_do_not_keep_the_account_busy(scene: Scene) -> None:
    scene.account.run_until_quiet()

    assert scene.account.clock.now() < FIRST_START
    assert scene.account.executions() == []


def test_a_window_starts_by_itself_while_other_work_goes_on(scene: Scene) -> None:
    scene.account.start_execution("Machine", {"until": "2026-01-13T02:30:00+09:00"})

    scene.account.run_until_quiet()

    assert len(scene.account.executions()) == 2


def test_the_names_of_pseudo_parameters_are_replaced_in_name_and_input(scene: Scene) -> None:
    execution = scene.run()

    (started,) = scene.account.executions()
    (task,) = scene.tasks(execution["WindowExecutionId"])
    (invocation,) = scene.ssm.describe_maintenance_window_execution_task_invocations(
        WindowExecutionId=execution["WindowExecutionId"], TaskId=task["TaskExecutionId"]
    )["WindowExecutionTaskInvocationIdentities"]
    assert started.name == invocation["InvocationId"]
    assert invocation["ExecutionId"] == started.arn
    (registered,) = scene.ssm.describe_maintenance_window_tasks(WindowId=scene.window)["Tasks"]
    assert started.input == {"op": "echo", "window": scene.window, "task": registered["WindowTaskId"]}


def test_the_ids_of_the_execution_and_of_the_task_reach_the_state_machine(scene: Scene) -> None:
    text = '{"execution": "{{WINDOW_EXECUTION_ID}}", "task": "{{TASK_EXECUTION_ID}}", "braces": "{{OTHER}}"}'
    scene.add_task(TaskInvocationParameters={"StepFunctions": {"Input": text}}, Priority=2)

    execution = scene.run()

    assert scene.account.executions()[1].input == {
        "execution": execution["WindowExecutionId"],
        "task": execution["TaskIds"][1],
        "braces": "{{OTHER}}",
    }


def test_the_execution_knows_when_it_began_and_ended(scene: Scene) -> None:
    execution = scene.run()

    (started,) = scene.account.executions()
    assert started.stopped is not None
    assert FIRST_START < execution["StartTime"] <= started.started
    assert execution["EndTime"] >= started.stopped


def test_tasks_run_in_the_order_of_their_priority_and_together_when_it_is_the_same(scene: Scene) -> None:
    wait = {"StepFunctions": {"Input": '{"until": "2026-01-13T02:20:00+09:00"}'}}
    last = scene.add_task(Priority=9)
    scene.add_task(Priority=0, TaskInvocationParameters=wait)
    scene.add_task(Priority=0, TaskInvocationParameters=wait)

    execution = scene.run()

    started = [view.started - FIRST_START for view in scene.account.executions()]
    assert [late > timedelta(minutes=20) for late in started] == [False, False, True, True]
    assert execution["TaskIds"] == [task["TaskExecutionId"] for task in scene.tasks(execution["WindowExecutionId"])]
    assert scene.account.windows.executions[0].tasks[-1].task["WindowTaskId"] == last


def test_no_task_starts_within_the_cutoff(scene: Scene) -> None:
    late = {"StepFunctions": {"Input": '{"until": "2026-01-13T04:00:10+09:00"}'}}
    scene.add_task(Priority=0, TaskInvocationParameters=late)

    execution = scene.run()

    assert len(scene.account.executions()) == 1
    assert execution["Status"] == "TIMED_OUT"


def test_a_task_to_be_cancelled_at_the_cutoff_leaves_its_state_machine_running(scene: Scene) -> None:
    scene.ssm.deregister_task_from_maintenance_window(
        WindowId=scene.window,
        WindowTaskId=scene.ssm.describe_maintenance_window_tasks(WindowId=scene.window)["Tasks"][0]["WindowTaskId"],
    )
    late = {"StepFunctions": {"Input": '{"until": "2026-01-13T04:30:00+09:00"}'}}
    scene.add_task(TaskInvocationParameters=late, CutoffBehavior="CANCEL_TASK")

    execution = scene.run()

    assert execution["Status"] == "TIMED_OUT"
    assert execution["EndTime"] == FIRST_START + timedelta(hours=2)
    assert scene.account.executions()[0].status == "SUCCEEDED"


def test_patch_tuesday_in_japan_is_the_day_after_the_second_tuesday(scene: Scene) -> None:
    window = scene.add_window("cron(0 2 ? * TUE#2 *)", ScheduleOffset=1, StartDate="2026-04-01T00:00:00+09:00")

    scene.account.windows.run_next(window)

    # The second Wednesday of April 2026 is the 8th.
    assert scene.account.clock.now() == datetime(2026, 4, 14, 17, tzinfo=UTC)


def test_jumping_to_a_window_leaves_other_windows_their_starts_and_rules_their_schedules(scene: Scene) -> None:
    later = scene.add_window("cron(0 2 ? * WED *)")

    scene.account.windows.run_next(later)

    assert scene.account.clock.now() == FIRST_START + timedelta(days=1)
    assert [execution.window_id for execution in scene.account.windows.executions] == [scene.window, later]
    logs = len(scene.account.functions.logs)
    scene.account.clock.run(lambda: len(scene.account.functions.logs) > logs, timedelta(minutes=16), background=True)


def test_a_window_without_a_next_start_cannot_be_run(scene: Scene) -> None:
    window = scene.add_window("at(2026-01-01T00:00:00)")

    with pytest.raises(LookupError, match="does not start any more"):
        scene.account.windows.run_next(window)


def test_a_disabled_window_does_not_start_and_an_enabled_one_does_again(scene: Scene) -> None:
    scene.ssm.update_maintenance_window(WindowId=scene.window, Enabled=False)
    assert scene.account.windows.next_execution_time(scene.window) is None
    scene.account.start_execution("Machine", {"until": "2026-01-13T12:00:00+09:00"})
    scene.account.run_until_quiet()
    assert scene.account.windows.executions == []

    scene.ssm.update_maintenance_window(WindowId=scene.window, Enabled=True)

    assert scene.account.windows.next_execution_time(scene.window) == FIRST_START + timedelta(days=7)
    changes = scene.events("Maintenance Window State-change")
    assert changes == [
        {"window-id": scene.window, "status": "DISABLED"},
        {"window-id": scene.window, "status": "ENABLED"},
    ]


def test_a_deleted_window_does_not_start(scene: Scene) -> None:
    scene.ssm.delete_maintenance_window(WindowId=scene.window)
    scene.account.start_execution("Machine", {"until": "2026-01-13T12:00:00+09:00"})

    scene.account.run_until_quiet()

    assert len(scene.account.executions()) == 1
    assert refused(lambda: scene.ssm.get_maintenance_window(WindowId=scene.window))[0] == "DoesNotExistException"


def test_the_same_seed_gives_the_same_windows(engine: EmbeddedAccount, tmp_path: Path) -> None:
    def run() -> str:
        with EmbeddedAccount(project=engine.project, seed=7) as account:
            scene = Scene(account, tmp_path / "template.yaml")
            scene.deploy()
            scene.run()
            return json.dumps([account.bus.events, scene.window], default=str)

    engine.__exit__(None, None, None)
    assert run() == run()


# What the status of a window is worth.


@pytest.mark.parametrize(("waits", "status"), [(True, "IN_PROGRESS"), (False, "SUCCESS")])
def test_whether_a_window_waits_for_its_state_machine_is_a_knob(
    engine: EmbeddedAccount, tmp_path: Path, waits: bool, status: str
) -> None:
    engine.__exit__(None, None, None)
    with EmbeddedAccount(project=engine.project, window_waits=waits) as account:
        scene = Scene(account, tmp_path / "template.yaml")
        scene.change('Input: \'{"op": "echo",', 'Input: \'{"until": "2026-01-13T03:00:00+09:00",')
        scene.deploy()

        execution = account.windows.run_next(scene.window)
        account.clock.call_later(600, lambda: None)
        account.clock.run(lambda: account.clock.now() >= FIRST_START + timedelta(minutes=10))

        assert scene.execution(execution)["Status"] == status
        assert account.executions()[0].status == "RUNNING"
        account.run_until_quiet()
        assert scene.execution(execution)["Status"] == "SUCCESS"


@pytest.mark.parametrize(
    ("given", "status"),
    [('"op": "echo"', "SUCCESS"), ('"op": "fail"', "FAILED"), ('"until": "2026-03-01T00:00:00Z"', "TIMED_OUT")],
)
def test_a_window_that_waits_ends_as_its_state_machine_does(undeployed: Scene, given: str, status: str) -> None:
    undeployed.change('Input: \'{"op": "echo",', f"Input: '{{{given},")
    undeployed.deploy()

    execution = undeployed.run()

    assert execution["Status"] == status
    assert [task["Status"] for task in undeployed.tasks(execution["WindowExecutionId"])] == [status]


def test_a_window_whose_state_machine_is_stopped_has_failed(undeployed: Scene) -> None:
    undeployed.change('Input: \'{"op": "echo",', 'Input: \'{"until": "2026-01-13T05:00:00+09:00",')
    undeployed.deploy()
    execution = undeployed.account.windows.run_next(undeployed.window)
    undeployed.account.clock.run(lambda: bool(undeployed.account.executions()))

    undeployed.account.stop_execution(undeployed.account.executions()[0].arn)
    undeployed.account.run_until_quiet()

    assert undeployed.execution(execution)["Status"] == "FAILED"
    assert undeployed.execution(execution)["EndTime"] - FIRST_START < timedelta(minutes=1)


def test_a_start_is_skipped_while_the_previous_execution_is_in_progress(undeployed: Scene) -> None:
    undeployed.change("cron(0 2 ? * TUE *)", "cron(0 2,4 ? * TUE *)")
    undeployed.change('Input: \'{"op": "echo",', 'Input: \'{"until": "2026-01-13T05:00:00+09:00",')
    undeployed.deploy()

    undeployed.run()

    executions = undeployed.ssm.describe_maintenance_window_executions(WindowId=undeployed.window)["WindowExecutions"]
    assert [execution["Status"] for execution in executions] == ["SKIPPED_OVERLAPPING", "SUCCESS"]
    assert len(undeployed.account.executions()) == 1
    states = [detail["status"] for detail in undeployed.events("Maintenance Window Execution State-change")]
    assert states == ["PENDING", "IN_PROGRESS", "SKIPPED_OVERLAPPING", "SUCCESS"]


# What can keep a task from starting.


def test_a_task_whose_role_may_not_start_the_machine_fails(scene: Scene) -> None:
    allow_only(scene, "states:DescribeExecution")

    execution = scene.run()

    (task,) = scene.tasks(execution["WindowExecutionId"])
    assert (execution["Status"], task["Status"]) == ("FAILED", "FAILED")
    assert "AccessDeniedException" in task["StatusDetails"]
    assert scene.account.executions() == []
    assert [str(request) for request in scene.account.permissions.denied] == [
        f"maintenance_window may not states:StartExecution on {MACHINE}"
    ]


def test_a_task_whose_role_may_not_describe_the_execution_does_not_learn_of_its_success(scene: Scene) -> None:
    allow_only(scene, "states:StartExecution")

    assert scene.run()["Status"] == "FAILED"
    assert scene.account.executions()[0].status == "SUCCEEDED"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("Service: ssm.amazonaws.com", "Service: states.amazonaws.com"), "may not assume"),
        (("TaskArn: !Ref Machine", f"TaskArn: {MACHINE}s"), "StateMachineDoesNotExist|AccessDenied"),
        (('Name: "{{INVOCATION_ID}}"', "Name: with spaces"), "InvalidName"),
        (('Name: "{{INVOCATION_ID}}"', 'Name: "{{WINDOW_ID}}-{{WINDOW_TASK_ID}}-{{INVOCATION_ID}}"'), "InvalidName"),
        (('"op": "echo"', f'"op": "{"x" * 4010}"'), "longer than 4096"),
        (("ServiceRoleArn: !GetAtt WindowRole.Arn", "ServiceRoleArn: !Sub '${WindowRole.Arn}s'"), "no role"),
        (("ServiceRoleArn: !GetAtt WindowRole.Arn", "Description: no role"), "AWSServiceRoleForAmazonSSM may not"),
    ],
)
def test_what_cannot_start_fails_with_its_reason(undeployed: Scene, change: tuple[str, str], reason: str) -> None:
    undeployed.change(*change)
    undeployed.deploy()

    execution = undeployed.run()

    (task,) = undeployed.tasks(execution["WindowExecutionId"])
    assert (execution["Status"], task["Status"]) == ("FAILED", "FAILED")
    assert re.search(reason, task["StatusDetails"])
    assert len(task["StatusDetails"]) <= 250
    assert undeployed.account.executions() == []


def test_the_same_name_twice_fails_the_second_time(undeployed: Scene) -> None:
    undeployed.change('Name: "{{INVOCATION_ID}}"', "Name: always-the-same")
    undeployed.deploy()

    statuses = [undeployed.run()["Status"] for _ in range(2)]

    assert statuses == ["SUCCESS", "FAILED"]
    details = undeployed.account.windows.executions[1].tasks[0].details
    assert details is not None
    assert "ExecutionAlreadyExists" in details


def test_a_task_without_name_and_input_starts_with_neither(scene: Scene) -> None:
    scene.add_task(TaskInvocationParameters={"StepFunctions": {}}, Priority=0)

    scene.run()

    started = scene.account.executions()[0]
    assert started.input == {}
    assert re.fullmatch(r"[0-9a-f-]{36}", started.name)


def test_a_failed_task_does_not_keep_the_next_from_starting(scene: Scene) -> None:
    scene.add_task(Priority=0, TaskArn=f"{MACHINE}s")

    execution = scene.run()

    tasks = scene.tasks(execution["WindowExecutionId"])
    assert [task["Status"] for task in tasks] == ["FAILED", "SUCCESS"]
    assert execution["Status"] == "FAILED"


def test_a_task_of_run_command_is_shown_but_not_run(scene: Scene) -> None:
    (target,) = scene.ssm.describe_maintenance_window_targets(WindowId=scene.window)["Targets"]
    scene.add_task(
        TaskType="RUN_COMMAND",
        TaskArn="AWS-RunPatchBaseline",
        Targets=[{"Key": "WindowTargetIds", "Values": [target["WindowTargetId"]]}],
        MaxConcurrency="50%",
        MaxErrors="0",
        TaskInvocationParameters={"RunCommand": {"Parameters": {"Operation": ["Install"]}}},
    )

    execution = scene.run()

    assert len(execution["TaskIds"]) == 1
    assert len(scene.ssm.describe_maintenance_window_tasks(WindowId=scene.window)["Tasks"]) == 2


# A task with targets.


def add_fleet_task(scene: Scene, targets: list[str] | None = None, **settings: Any) -> None:
    """Registers the state machine for the window's targets, which starts it once for each."""
    (listed,) = scene.ssm.describe_maintenance_window_tasks(WindowId=scene.window)["Tasks"]
    ids = {"WindowId": scene.window, "WindowTaskId": listed["WindowTaskId"]}
    scene.ssm.deregister_task_from_maintenance_window(**ids)
    if targets is None:
        answer = scene.ssm.describe_maintenance_window_targets(WindowId=scene.window)
        targets = [target["WindowTargetId"] for target in answer["Targets"]]
    given = {"MaxConcurrency": "100%", "MaxErrors": "100%", **settings}
    text = '{"op": "echo", "id": "{{RESOURCE_ID}}", "kind": "{{TARGET_TYPE}}", "whole": "{{TARGET_ID}}"}'
    scene.add_task(
        Targets=[{"Key": "WindowTargetIds", "Values": targets}],
        **{"TaskInvocationParameters": {"StepFunctions": {"Input": text}}, **given},
    )


@pytest.fixture
def fleet(scene: Scene) -> Iterator[Fleet]:
    """Three running web servers, a stopped one and a database."""
    with scene.account.open_fleet() as opened:
        for name in ("web-1", "web-2", "web-3"):
            opened.add(MachineSpec(name=name, tags={"Role": "web"}))
        opened.add(MachineSpec(name="web-4", tags={"Role": "web"}, power="stopped"))
        opened.add(MachineSpec(name="db-1", tags={"Role": "db"}))
        yield opened


def test_a_task_with_targets_starts_one_execution_for_each_running_instance_with_the_tags(
    scene: Scene, fleet: Fleet
) -> None:
    add_fleet_task(scene)

    execution = scene.run()

    web = [machine.instance_id for machine in fleet.machines[:3]]
    inputs = [view.input for view in scene.account.executions()]
    assert inputs == [{"op": "echo", "id": one, "kind": "INSTANCE", "whole": one} for one in web]
    invocations = scene.ssm.describe_maintenance_window_execution_task_invocations(
        WindowExecutionId=execution["WindowExecutionId"], TaskId=execution["TaskIds"][0]
    )["WindowExecutionTaskInvocationIdentities"]
    assert [json.loads(invocation["Parameters"])["id"] for invocation in invocations] == web
    assert {invocation["OwnerInformation"] for invocation in invocations} == {"web team"}
    told = scene.events("Maintenance Window Task Target Invocation State-change")
    assert [detail["owner-information"] for detail in told] == ["web team"] * 6


def test_a_task_with_a_resource_group_gets_whole_arns(scene: Scene, fleet: Fleet) -> None:
    fleet.add_resource_group("databases", tags={"Role": "db"})
    group = scene.ssm.register_target_with_maintenance_window(
        WindowId=scene.window,
        ResourceType="RESOURCE_GROUP",
        Targets=[{"Key": "resource-groups:Name", "Values": ["databases"]}],
    )["WindowTargetId"]
    add_fleet_task(scene, [group])

    scene.run()

    database = fleet.machines[4].instance_id
    arn = f"arn:aws:ec2:ap-northeast-1:123456789012:instance/{database}"
    (started,) = scene.account.executions()
    assert started.input == {"op": "echo", "id": database, "kind": "RESOURCE_GROUP", "whole": arn}


def test_targets_run_as_many_at_once_as_the_task_allows(scene: Scene, fleet: Fleet) -> None:
    until = {"StepFunctions": {"Input": '{"until": "2026-01-13T02:10:00+09:00"}'}}
    add_fleet_task(scene, MaxConcurrency="2", TaskInvocationParameters=until)

    assert scene.run()["Status"] == "SUCCESS"

    started = [view.started - FIRST_START for view in scene.account.executions()]
    assert [late > timedelta(minutes=5) for late in started] == [False, False, True]


@pytest.mark.parametrize(("errors", "started"), [("0", 1), ("1", 2), ("100%", 3)])
def test_a_task_stops_after_too_many_errors(scene: Scene, fleet: Fleet, errors: str, started: int) -> None:
    fails = {"StepFunctions": {"Input": '{"op": "fail"}'}}
    add_fleet_task(scene, MaxConcurrency="1", MaxErrors=errors, TaskInvocationParameters=fails)

    assert scene.run()["Status"] == "FAILED"

    assert len(scene.account.executions()) == started


def test_a_task_whose_targets_are_gone_starts_nothing(scene: Scene) -> None:
    with scene.account.open_fleet():
        add_fleet_task(scene)

        assert scene.run()["Status"] == "SUCCESS"

    assert scene.account.executions() == []


# What EventBridge is told.


def test_events_tell_of_the_execution_its_task_and_its_invocation(scene: Scene) -> None:
    execution = scene.run()

    ids = {"window-id": scene.window, "window-execution-id": execution["WindowExecutionId"]}
    runs = scene.events("Maintenance Window Execution State-change")
    assert [detail["status"] for detail in runs] == ["PENDING", "IN_PROGRESS", "SUCCESS"]
    assert runs[-1] == {
        "start-time": f"{execution['StartTime']:%Y-%m-%dT%H:%M:%S.%fZ}",
        "end-time": f"{execution['EndTime']:%Y-%m-%dT%H:%M:%S.%fZ}",
        "status": "SUCCESS",
        **ids,
    }
    tasks = scene.events("Maintenance Window Task Execution State-change")
    assert [detail["status"] for detail in tasks] == ["IN_PROGRESS", "SUCCESS"]
    assert tasks[0].items() >= {**ids, "task-execution-id": execution["TaskIds"][0]}.items()
    assert "end-time" not in tasks[0]
    invocations = scene.events("Maintenance Window Task Target Invocation State-change")
    assert [detail["status"] for detail in invocations] == ["IN_PROGRESS", "COMPLETE"]
    (event,) = [event for event in scene.account.bus.events if event["detail"] == runs[-1]]
    assert event["source"] == "aws.ssm"
    assert event["resources"] == [f"arn:aws:ssm:ap-northeast-1:123456789012:maintenancewindow/{scene.window}"]


def test_an_invocation_is_complete_even_where_it_failed(scene: Scene) -> None:
    allow_only(scene, "states:DescribeExecution")

    scene.run()

    invocations = scene.events("Maintenance Window Task Target Invocation State-change")
    assert [detail["status"] for detail in invocations] == ["IN_PROGRESS", "COMPLETE"]


def test_events_tell_of_targets(scene: Scene) -> None:
    (target,) = scene.ssm.describe_maintenance_window_targets(WindowId=scene.window)["Targets"]
    ids = {"WindowId": scene.window, "WindowTargetId": target["WindowTargetId"]}

    scene.ssm.deregister_target_from_maintenance_window(**ids)

    told = scene.events("Maintenance Window Target Registration")
    assert [detail["status"] for detail in told] == ["REGISTERED", "DEREGISTERED"]
    assert {detail["window-target-id"] for detail in told} == {target["WindowTargetId"]}


# What the calls answer.


def test_a_window_tells_its_settings_and_its_next_start_in_its_own_zone(scene: Scene) -> None:
    window = scene.ssm.get_maintenance_window(WindowId=scene.window)

    assert re.fullmatch(r"mw-[0-9a-f]{17}", window["WindowId"])
    assert (window["Duration"], window["Cutoff"], window["Enabled"]) == (3, 1, True)
    assert window["NextExecutionTime"] == "2026-01-13T02:00+09:00", "without seconds, as AWS prints it"
    assert window["CreatedDate"] == window["ModifiedDate"]


@pytest.mark.parametrize(
    ("schedule", "settings", "expected"),
    [
        ("cron(24 30 9 ? * * *)", {"ScheduleTimezone": "UTC"}, "2026-01-13T09:30:24Z"),
        ("cron(0 9 ? * * *)", {"ScheduleTimezone": "America/New_York"}, "2026-01-13T09:00-05:00"),
        ("rate(1 day)", {"StartDate": "2026-02-01T03:00:00.099Z"}, "2026-02-01T12:00:00.099+09:00"),
        ("at(2026-02-01T03:00:00)", {"EndDate": "2026-01-31T00:00:00Z"}, None),
    ],
)
def test_times_are_printed_as_aws_prints_them(
    scene: Scene, schedule: str, settings: dict[str, Any], expected: str | None
) -> None:
    window = scene.add_window(schedule, **settings)

    assert scene.ssm.get_maintenance_window(WindowId=window).get("NextExecutionTime") == expected


def test_the_coming_executions_of_a_window_and_of_all_are_listed(scene: Scene) -> None:
    by_hand = scene.add_window("cron(0 2 ? * WED *)")

    one = scene.ssm.describe_maintenance_window_schedule(WindowId=scene.window, MaxResults=2)
    every = scene.ssm.describe_maintenance_window_schedule(MaxResults=2)

    times = [item["ExecutionTime"] for item in one["ScheduledWindowExecutions"]]
    assert times == ["2026-01-13T02:00+09:00", "2026-01-20T02:00+09:00"]
    assert [item["WindowId"] for item in every["ScheduledWindowExecutions"]] == [scene.window, by_hand]


def test_windows_are_found_by_name_and_by_whether_they_are_enabled(scene: Scene) -> None:
    by_hand = scene.add_window()
    scene.ssm.update_maintenance_window(WindowId=by_hand, Enabled=False)

    def found(key: str, value: str) -> list[str]:
        filters = [{"Key": key, "Values": [value]}]
        answer = scene.ssm.describe_maintenance_windows(Filters=filters)
        return [window["WindowId"] for window in answer["WindowIdentities"]]

    assert found("Name", "by-hand") == [by_hand]
    assert found("Enabled", "true") == [scene.window]
    assert found("Enabled", "True") == [scene.window]


def test_a_target_is_shown_as_it_was_registered(scene: Scene) -> None:
    (target,) = scene.ssm.describe_maintenance_window_targets(WindowId=scene.window)["Targets"]

    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", target.pop("WindowTargetId"))
    assert target == {
        "WindowId": scene.window,
        "ResourceType": "INSTANCE",
        "OwnerInformation": "web team",
        "Targets": [{"Key": "tag:Role", "Values": ["web"]}],
    }


def test_a_task_is_shown_as_it_was_registered_with_a_placeholder_for_what_it_cannot_have(scene: Scene) -> None:
    (listed,) = scene.ssm.describe_maintenance_window_tasks(WindowId=scene.window)["Tasks"]
    ids = {"WindowId": scene.window, "WindowTaskId": listed["WindowTaskId"]}
    task = scene.ssm.get_maintenance_window_task(**ids)

    assert (listed["Type"], task["TaskType"]) == ("STEP_FUNCTIONS", "STEP_FUNCTIONS")
    assert (task["MaxConcurrency"], task["MaxErrors"], task["Targets"]) == ("1", "1", [])
    assert task["TaskInvocationParameters"]["StepFunctions"]["Name"] == "{{INVOCATION_ID}}"
    assert (task["TaskArn"], task["ServiceRoleArn"]) == (MACHINE, ROLE)


def test_targets_and_tasks_come_in_pages(scene: Scene) -> None:
    for number in range(24):
        scene.ssm.register_target_with_maintenance_window(
            WindowId=scene.window,
            ResourceType="INSTANCE",
            Targets=[{"Key": "InstanceIds", "Values": [f"i-{number:017x}"]}],
        )
    for _ in range(19):
        scene.add_task()

    targets = scene.ssm.get_paginator("describe_maintenance_window_targets").paginate(
        WindowId=scene.window, PaginationConfig={"PageSize": 10}
    )
    tasks = scene.ssm.get_paginator("describe_maintenance_window_tasks").paginate(
        WindowId=scene.window, PaginationConfig={"PageSize": 10}
    )

    assert [len(page["Targets"]) for page in targets] == [10, 10, 5]
    assert [len(page["Tasks"]) for page in tasks] == [10, 10]


def test_targets_and_tasks_are_found_by_their_kind(scene: Scene) -> None:
    group = scene.ssm.register_target_with_maintenance_window(
        WindowId=scene.window,
        ResourceType="RESOURCE_GROUP",
        Targets=[{"Key": "resource-groups:Name", "Values": ["web"]}],
    )["WindowTargetId"]
    second = scene.add_task(Priority=7)

    targets = scene.ssm.describe_maintenance_window_targets(
        WindowId=scene.window, Filters=[{"Key": "Type", "Values": ["RESOURCE_GROUP"]}]
    )["Targets"]
    tasks = scene.ssm.describe_maintenance_window_tasks(
        WindowId=scene.window, Filters=[{"Key": "Priority", "Values": ["7"]}]
    )["Tasks"]

    assert [target["WindowTargetId"] for target in targets] == [group]
    assert [task["WindowTaskId"] for task in tasks] == [second]


def test_executions_come_newest_first_and_can_be_limited_in_time(scene: Scene) -> None:
    runs = [scene.run()["WindowExecutionId"] for _ in range(3)]

    def found(**limits: str) -> list[str]:
        filters = [{"Key": key, "Values": [value]} for key, value in limits.items()]
        answer = scene.ssm.describe_maintenance_window_executions(WindowId=scene.window, Filters=filters)
        return [execution["WindowExecutionId"] for execution in answer["WindowExecutions"]]

    assert found() == runs[::-1]
    assert found(ExecutedAfter="2026-01-14T00:00:00Z") == [runs[2], runs[1]]
    assert found(ExecutedAfter="2026-01-14T00:00:00Z", ExecutedBefore="2026-01-21T00:00:00+09:00") == [runs[1]]


def test_an_update_changes_what_is_given_and_a_replacement_everything(scene: Scene) -> None:
    scene.ssm.update_maintenance_window(WindowId=scene.window, Schedule="cron(30 4 ? * WED *)", Description="later")
    changed = scene.ssm.get_maintenance_window(WindowId=scene.window)
    assert (changed["Name"], changed["Description"]) == ("drydock-tuesdays", "later")
    assert changed["NextExecutionTime"] == "2026-01-14T04:30+09:00"

    scene.ssm.update_maintenance_window(
        WindowId=scene.window,
        Replace=True,
        Name="replaced",
        Schedule="rate(1 day)",
        Duration=2,
        Cutoff=0,
        AllowUnassociatedTargets=True,
    )

    replaced = scene.ssm.get_maintenance_window(WindowId=scene.window)
    assert "Description" not in replaced
    assert "ScheduleTimezone" not in replaced
    needs = refused(lambda: scene.ssm.update_maintenance_window(WindowId=scene.window, Replace=True))
    assert needs == ("ValidationException", "Replace needs Name, Schedule, Duration, Cutoff, AllowUnassociatedTargets.")


def test_what_is_not_there_is_said_not_to_exist(scene: Scene) -> None:
    ssm, uuid = scene.ssm, "00000000-0000-4000-8000-000000000000"
    absent = "mw-00000000000000000"

    codes = {
        refused(call)[0]
        for call in (
            lambda: ssm.get_maintenance_window(WindowId=absent),
            lambda: ssm.update_maintenance_window(WindowId=absent, Enabled=False),
            lambda: ssm.describe_maintenance_window_targets(WindowId=absent),
            lambda: ssm.describe_maintenance_window_tasks(WindowId=absent),
            lambda: ssm.get_maintenance_window_execution(WindowExecutionId=uuid),
            lambda: ssm.describe_maintenance_window_execution_tasks(WindowExecutionId=uuid),
            lambda: ssm.get_maintenance_window_task(WindowId=scene.window, WindowTaskId=uuid),
            lambda: ssm.deregister_task_from_maintenance_window(WindowId=scene.window, WindowTaskId=uuid),
            lambda: ssm.deregister_target_from_maintenance_window(WindowId=scene.window, WindowTargetId=uuid),
            lambda: scene.add_task(absent),
        )
    }

    assert codes == {"DoesNotExistException"}
    assert ssm.describe_maintenance_window_executions(WindowId=absent)["WindowExecutions"] == []
    assert ssm.delete_maintenance_window(WindowId=absent)["WindowId"] == absent


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"Schedule": "cron(0 2 * * * *)"}, "must be '?'"),
        ({"Schedule": "rate(2 minutes)"}, "every five minutes"),
        ({"ScheduleTimezone": "Asia/Tokio"}, "not a time zone"),
        ({"Schedule": "rate(1 day)", "ScheduleOffset": 1}, "needs a cron expression"),
        ({"ScheduleOffset": 7}, "at 'ScheduleOffset' failed to satisfy constraint"),
        ({"Duration": 25}, "at 'Duration' failed to satisfy constraint"),
        ({"Cutoff": 24}, "at 'Cutoff' failed to satisfy constraint"),
        ({"Duration": 3, "Cutoff": 3}, "Cutoff was 3 but must be smaller"),
        ({"Name": "no spaces"}, "at 'Name' failed to satisfy constraint"),
        ({"StartDate": "next week"}, "not a date in ISO-8601 format"),
    ],
)
def test_a_window_outside_the_limits_is_refused(scene: Scene, settings: dict[str, Any], complaint: str) -> None:
    given = {
        "Name": "by-hand",
        "Schedule": "cron(0 2 ? * TUE *)",
        "Duration": 3,
        "Cutoff": 1,
        "AllowUnassociatedTargets": True,
    }

    code, message = refused(lambda: scene.ssm.create_maintenance_window(**{**given, **settings}))

    assert code == "ValidationException"
    assert complaint in message


TARGETS: list[dict[str, Any]] = [{"Key": "InstanceIds", "Values": ["i-00000000000000001"]}]
OTHERS = [{"Key": "WindowTargetIds", "Values": ["00000000-0000-4000-8000-000000000000"]}]
COMMAND: dict[str, Any] = {"TaskType": "RUN_COMMAND", "TaskArn": "AWS-RunPatchBaseline", "TaskInvocationParameters": {}}
RATES: dict[str, Any] = {"MaxConcurrency": "1", "MaxErrors": "1"}


@pytest.mark.parametrize(
    ("settings", "code", "complaint"),
    [
        ({"MaxConcurrency": "1"}, "ValidationException", "without targets don't support MaxConcurrency values"),
        ({"MaxErrors": "1"}, "ValidationException", "without targets don't support MaxErrors values"),
        (COMMAND, "ValidationException", "needs targets"),
        ({**COMMAND, "Targets": OTHERS}, "ValidationException", "MaxConcurrency is required"),
        ({**COMMAND, **RATES, "Targets": OTHERS}, "DoesNotExistException", "does not exist"),
        ({**COMMAND, **RATES, "Targets": TARGETS}, "ValidationException", "does not allow unassociated targets"),
        ({"TaskInvocationParameters": {"RunCommand": {}}}, "ValidationException", "are StepFunctions"),
        (
            {"TaskInvocationParameters": {"StepFunctions": {"Input": "x" * 4097}}},
            "ValidationException",
            "at 'TaskInvocationParameters.StepFunctions.Input' failed to satisfy constraint",
        ),
        (
            {"TaskInvocationParameters": {"StepFunctions": {"Name": "x" * 81}}},
            "ValidationException",
            "at 'TaskInvocationParameters.StepFunctions.Name' failed to satisfy constraint",
        ),
    ],
)
def test_a_task_that_aws_does_not_take_is_refused(
    scene: Scene, settings: dict[str, Any], code: str, complaint: str
) -> None:
    found, message = refused(lambda: scene.add_task(**settings))

    assert found == code
    assert complaint in message


def test_a_target_in_use_is_only_deregistered_when_nobody_asks_to_be_careful(scene: Scene) -> None:
    (target,) = scene.ssm.describe_maintenance_window_targets(WindowId=scene.window)["Targets"]
    ids = {"WindowId": scene.window, "WindowTargetId": target["WindowTargetId"]}
    used = [{"Key": "WindowTargetIds", "Values": [target["WindowTargetId"]]}]
    scene.add_task(**{**COMMAND, **RATES, "Targets": used})

    code, _ = refused(lambda: scene.ssm.deregister_target_from_maintenance_window(Safe=True, **ids))
    scene.ssm.deregister_target_from_maintenance_window(**ids)

    assert code == "TargetInUseException"
    assert scene.ssm.describe_maintenance_window_targets(WindowId=scene.window)["Targets"] == []


@pytest.mark.parametrize("parameter", ["TARGET_ID", "RESOURCE_ID", "TARGET_TYPE", "WINDOW_TARGET_ID"])
def test_what_aws_does_not_document_is_refused_loudly(scene: Scene, parameter: str) -> None:
    given = {"StepFunctions": {"Input": f'{{"id": "{{{{{parameter}}}}}"}}'}}

    with pytest.raises(NotImplementedError, match=re.escape(f"{{{{{parameter}}}}}")):
        scene.add_task(TaskInvocationParameters=given)


def test_what_is_not_simulated_fails_loudly(scene: Scene) -> None:
    with pytest.raises(NotImplementedError, match="LAMBDA tasks"):
        scene.add_task(TaskType="LAMBDA", TaskInvocationParameters={})
    with pytest.raises(NotImplementedError, match="CancelMaintenanceWindowExecution"):
        scene.ssm.cancel_maintenance_window_execution(WindowExecutionId="0" * 36)


def test_windows_answer_while_a_fleet_is_open_and_afterwards(scene: Scene) -> None:
    with scene.account.open_fleet():
        assert scene.ssm.get_maintenance_window(WindowId=scene.window)["Enabled"]
        assert scene.ssm.describe_instance_information()["InstanceInformationList"] == []

    assert scene.ssm.get_maintenance_window(WindowId=scene.window)["Enabled"]


def test_functions_need_permission_to_read_a_window(scene: Scene) -> None:
    role = "arn:aws:iam::123456789012:role/drydock-window"
    window = f"arn:aws:ssm:ap-northeast-1:123456789012:maintenancewindow/{scene.window}"
    denied: list[str] = []

    def read() -> None:
        current_caller.set(Caller("function", "plan_run", role))
        denied.append(refused(lambda: scene.ssm.get_maintenance_window(WindowId=scene.window))[0])

    scene.account.clock.spawn(read)
    scene.account.run_until_quiet()

    assert denied == ["AccessDeniedException"]
    assert [str(request) for request in scene.account.permissions.denied] == [
        f"plan_run may not ssm:GetMaintenanceWindow on {window}"
    ]


# What CloudFormation refuses.


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("      Cutoff: 1\n", ""), "Cutoff"),
        (("      Priority: 1\n", ""), "Priority"),
        (("      Duration: !Ref Hours\n", "      Duration: 25\n"), "Duration"),
        (("      Cutoff: 1\n", "      Cutoff: 1\n      Enabled: true\n"), "Enabled"),
        (("      Priority: 1\n", '      Priority: 1\n      MaxErrors: "1"\n'), "don't support MaxErrors"),
        (("cron(0 2 ? * TUE *)", "cron(0 2 * * TUE *)"), "must be '\\?'"),
        (("      ResourceType: INSTANCE\n", "      ResourceType: GROUP\n"), "ResourceType"),
        (("MaintenanceWindowStepFunctionsParameters", "StepFunction"), "StepFunction"),
    ],
)
def test_a_template_with_a_bad_window_is_not_deployed(
    undeployed: Scene, change: tuple[str, str], complaint: str
) -> None:
    undeployed.change(*change)

    with pytest.raises(DeploymentError, match=complaint):
        undeployed.deploy()
