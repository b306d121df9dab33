"""Whether each grant of the template is needed, and whether what is needed is granted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from rehearsal.engine.permissions import Request, Statement, is_allowed, read_table
from rehearsal.engine.project import PROJECT
from rehearsal.play.faults import FailCall, KillFunction, LoseCancellations, LoseEvents, Moment, StopExecution, StopRun
from rehearsal.play.fleet_runs import Person
from rehearsal.play.group_faults import ScalingPolicy
from rehearsal.play.parameters import write_parameter
from rehearsal.play.people import People, arn_of
from rehearsal.world.gates import Calendar
from rehearsal.world.machines import Durations, Machine, MachineSpec
from rehearsal.world.patch_states import parse_patch
from tests.faults import kinds
from tests.scenarios.machine.scenario import MISSING, Scenario, assert_untouched, scenario
from tests.scenarios.run.scenario import FAILING, QUICKLY, RunScenario, run_scenario

SAMS_OWN_POLICY = "DeadLetterQueuePolicy"
"""By which SAM lets Lambda leave the events that a function could not carry out."""


@dataclass(frozen=True)
class Grant:
    """One action of a statement on one resource of it."""

    owner: str
    role: str
    statement: int
    action: str
    resource: str

    def __str__(self) -> str:
        return f"{self.owner}: {self.action} on {self.resource} (statement {self.statement + 1})"


@dataclass(frozen=True)
class Record:
    """What the scenarios asked of IAM, and the policies that the template gives."""

    requests: frozenset[Request]
    denied: tuple[Request, ...]
    policies: Mapping[str, list[Statement]]
    owners: Mapping[str, str]
    """Folder name of the function, or name of the machine or of another role, by role."""

    def of(self, role: str) -> list[Request]:
        return [request for request in self.requests if request.role == role]

    def grants(self) -> Iterator[Grant]:
        for role, statements in self.policies.items():
            for number, statement in enumerate(statements):
                for action in _as_list(statement["Action"]):
                    for resource in _as_list(statement["Resource"]):
                        yield Grant(self.owners[role], role, number, action, resource)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


PREFIX = "Acme-"
"""So that a hook's document is no other: a grant on all documents would make those on the stack's own superfluous."""
HOOKS = {name: f"{PREFIX}{document}" for name, document in kinds.HOOKS.items()}
HEALTH = f"{PREFIX}{kinds.HEALTH}"
DRAIN = f"{PREFIX}drain"

WINDOWS = {"platform": "Windows", "power": "stopped"}
BASELINE = {"hooks": HOOKS, "healthProbe": HEALTH}
AGENTS = {"operation": "UpdateAgents"}
UPDATES = {**BASELINE, "document": "AWS-InstallWindowsUpdates"}

SENDERS = (
    "check_health",
    "finish_install",
    "install_patches",
    "probe_instance",
    "run_hook",
    "scan_patches",
    "update_agent",
)
"""The functions that send commands."""


@dataclass(frozen=True)
class Case:
    """A machine, and the policy it is patched by."""

    name: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)


def _failing(name: str, wrong: str, spec: Mapping[str, Any] = {}, policy: Mapping[str, Any] = {}) -> Case:
    return Case(name, {**spec, "wrong": (wrong,)}, policy)


DISTURBED = (
    Case("deaf-linux", {"durations": Durations(command=400)}, BASELINE),
    Case("deaf-windows", WINDOWS, UPDATES),
    Case("deaf-agents", {"durations": Durations(command=400)}, AGENTS),
    _failing("no-agent", "delivery_timeout:AWS-UpdateSSMAgent", {}, AGENTS),
    _failing("no-image", "image_fails"),
    _failing("no-image-after", "image_fails", {}, {"backup": {"before": {"take": False}}}),
    _failing("no-start", "start_falls_back", WINDOWS),
    _failing("no-probe", "probe_garbage"),
    _failing("no-installation", "delivery_timeout:AWS-RunPatchBaseline"),
    _failing("no-reboot", "delivery_timeout:drydock-Reboot", WINDOWS, UPDATES),
    _failing("no-search", "delivery_timeout:drydock-SearchWindowsUpdates", WINDOWS, UPDATES),
    _failing("no-hook", f"hook_fails:{HOOKS['preInstall']}", {}, BASELINE),
    _failing("no-health", "health_fails", {}, BASELINE),
    Case("no-stop", {**WINDOWS, "durations": Durations(stop=600)}, {"deadlines": {"stopSeconds": 60}}),
)
"""What goes through without any event, so that each step has to look for itself, well or badly."""


@pytest.fixture(scope="module")
def record() -> Record:
    """What scenarios ask for that take every path on which a function calls something, with nothing refused."""
    with run_scenario(
        parameters={"ApprovalAuth": "LINK", "ScheduleEnabled": "true", "HookDocumentPrefix": PREFIX}
    ) as scene:
        scene.account.permissions.enforce = False
        for document in (*HOOKS.values(), HEALTH, DRAIN):
            scene.fleet.add_document(document)
        _disturb(scene)
        _go_well(scene)
        _refuse(scene)
        _lose(scene)
        _kill(scene)
        scene.settle()
        _run_in_every_way(scene)
        _run_from_windows(scene)
        _run_past_its_end(scene)
        _ask(scene)
        _stop_roll_at_once(scene)
        _stop_runs(scene)
        _roll_in_every_way(scene)
        _roll_badly(scene)
        _lose_end_of_member(scene)
        _stop_rolls(scene)
        scene.settle()
        _bring_back(scene)
        _prune(scene)
        return _record(scene)


def _start(scene: Scenario, *cases: Case) -> list[str]:
    return [scene.start(scene.machine(case.name, **case.spec), case.policy) for case in cases]


def _disturb(scene: Scenario) -> None:
    """Without events; and the first answer of every command that is sent is lost."""
    lost = [FailCall("ssm:SendCommand", "InternalError", caller=sender, after_effect=True) for sender in SENDERS]
    scene.given(LoseEvents(), *lost)
    _start(scene, *DISTURBED)
    scene.account.run_until_quiet()
    scene.account.bus.interceptors.clear()


def _lose_answer(call: str, look: str, caller: str, instance: str) -> list[FailCall]:
    """A call is done without an answer, and the look whether it was is denied: its function cannot tell."""
    return [
        FailCall(call, "InternalError", caller=caller, after_effect=True, instance=instance),
        FailCall(look, "AccessDenied", caller=caller, instance=instance),
    ]


def _lose_command(instance: str) -> list[FailCall]:
    return _lose_answer("ssm:SendCommand", "ssm:ListCommands", "install_patches", instance)


def _lose_image(instance: str) -> list[FailCall]:
    return _lose_answer("ec2:CreateImage", "ec2:DescribeImages", "back_up", instance)


def _go_well(scene: Scenario) -> None:
    """With a first message that cannot be published."""
    scene.given(FailCall("sns:Publish", "ThrottlingException", caller="alert_failure"))
    linux, *_ = _start(
        scene,
        Case("linux", policy=BASELINE),
        Case("windows", WINDOWS, UPDATES),
        Case("scanned", policy={"operation": "Scan"}),
        Case("updated", policy=AGENTS),
    )
    scene.start(scene.account.execution(linux).input["instanceId"])
    scene.account.run_until_quiet()


def _refuse(scene: Scenario) -> None:
    """A machine that is excluded, a member of a group that nobody holds, and a first message that is not published."""
    scene.given(FailCall("sns:Publish", "ThrottlingException", caller="alert_failure"))
    _start(scene, Case("excluded", {"tags": {"DrydockExclude": "no"}}))
    scene.start(scene.machine("member", group="web"), group="web")
    scene.account.run_until_quiet()


def _lose(scene: Scenario) -> None:
    """Machines that are taken away, and commands of which nobody hears again."""
    taken = scene.machine("taken")
    execution = scene.start(taken)
    scene.given(*_lose_command("unseen"), *_lose_command("undelivered"), *_lose_image("imaged"))
    _start(
        scene,
        Case("unseen", WINDOWS),
        Case("imaged"),
        _failing("undelivered", "delivery_timeout:AWS-RunPatchBaseline", WINDOWS),
        _failing("silent", "agent_lost", WINDOWS),
    )
    scene.run_until(execution, "Install Patches", seconds=30)
    scene.fleet.stop_behind_the_back(taken.instance_id)
    scene.run_for(9 * 60)
    scene.fleet.stop_behind_the_back(next(one for one in scene.fleet.machines if one.name == "silent").instance_id)


def _kill(scene: Scenario) -> None:
    """Executions that are stopped in the middle of something."""
    scene.given(
        KillFunction("admit_instance", call=3, instance="untouched"), *_lose_command("sent"), *_lose_image("cut-off")
    )
    tagged = Case("tagged", {**WINDOWS, "tags": {"DrydockState": "Completed"}})
    executions = _start(
        scene,
        tagged,
        Case("sent", WINDOWS),
        _failing("pending", "delivery_timeout:AWS-RunPatchBaseline", WINDOWS),
        Case("drained", policy={"hooks": {**HOOKS, "beforeAnything": DRAIN}}),
    )
    untouched, cut_off = _start(scene, Case("untouched"), Case("cut-off"))
    scene.run_for(0.01)
    scene.account.stop_execution(untouched)
    _run_until_called(scene, cut_off, "CreateImage")
    scene.account.stop_execution(cut_off)
    for execution in executions:
        scene.run_until(execution, "Install Patches", seconds=1)
        scene.account.stop_execution(execution)
    scene.start(scene.account.execution(executions[0]).input["instanceId"])
    scene.account.run_until_quiet()


def _run_until_called(scene: Scenario, execution: str, operation: str) -> None:
    called: list[str | None] = []
    scene.account.calls.observers.append(
        lambda call: called.append(call.caller.execution) if call.operation == operation else None
    )
    scene.account.clock.run(until=lambda: execution in called)


def _run_in_every_way(scene: RunScenario) -> None:
    """By tags, by a resource group and by a plan; with gates, failures and what is left; and unable to write."""
    scene.account.calendars["freeze"] = Calendar()
    scene.account.client("cloudwatch").put_metric_alarm(
        AlarmName="errors", EvaluationPeriods=1, ComparisonOperator="GreaterThanThreshold", Threshold=0
    )
    gates = {"gates": {"alarms": ["errors"], "calendars": ["freeze"]}}
    scene.machines("shop", 3, **FAILING)
    scene.given(FailCall("sns:Publish", "ThrottlingException", caller="summarise_run"))
    scene.start_run("shop", {**QUICKLY, **gates, "waveSize": 1})
    scene.run_for(5)
    scene.fleet.add_resource_group("shops", {"Patch Group": "shop"})
    scene.run([{"key": "resource-groups:Name", "values": ["shops"]}], QUICKLY)

    scene.machine("protected", power="stopped", tags={"Patch Group": "protected"})
    scene.run("protected", {**QUICKLY, **BASELINE}, planOnly=True)
    planned = scene.run("shop", QUICKLY, planOnly=True)
    scene.run(None, {}, plan=planned.run_id)
    faults = [
        FailCall("dynamodb:PutItem", "AccessDenied", caller="plan_run"),
        FailCall("dynamodb:PutItem", "AccessDenied", caller="admit_machine"),
        FailCall("dynamodb:TransactWriteItems", "AccessDenied", caller="record_outcome"),
        FailCall("stepfunctions:StartExecution", "AccessDeniedException", caller="drydock-MaintenanceRun"),
    ]
    for fault in faults:
        for waves in ({}, {"waveSize": 1}):
            scene.given(fault)
            scene.run("shop", {**QUICKLY, **waves})


def _run_from_windows(scene: RunScenario) -> None:
    """The stack's window, while its run works again, when it is skipped, and one whose task cannot start anything."""
    scene.machine("windowed", tags={"WinUpdate": "ON"})
    execution = scene.start_window()
    scene.run_until(execution, "Carry Out Wave", seconds=60)
    scene.account.start_execution("MaintenanceRun", scene.account.execution(execution).input)
    window_id = scene.stack.outputs["MaintenanceWindowId"]
    skipped = {
        "window-id": window_id,
        "window-execution-id": scene.account.make_uuid(),
        "status": "SKIPPED_OVERLAPPING",
    }
    arn = f"arn:aws:ssm:ap-northeast-1:123456789012:maintenancewindow/{window_id}"
    scene.account.bus.put("aws.ssm", "Maintenance Window Execution State-change Notification", skipped, [arn])
    scene.settle()

    ssm = scene.account.client("ssm")
    other = ssm.create_maintenance_window(
        Name="another", Schedule="rate(1 day)", Duration=2, Cutoff=0, AllowUnassociatedTargets=False
    )["WindowId"]
    ssm.register_task_with_maintenance_window(
        WindowId=other,
        TaskType="STEP_FUNCTIONS",
        TaskArn=scene.stack.outputs["MaintenanceRunArn"],
        ServiceRoleArn=scene.stack.outputs["MaintenanceWindowRoleArn"],
        TaskInvocationParameters={"StepFunctions": {"Name": "not a name", "Input": "{}"}},
    )
    scene.account.windows.run_next(other)
    scene.settle()
    ssm.delete_maintenance_window(WindowId=other)


def _prune(scene: RunScenario) -> None:
    """Images that go, one that is needed after all, and snapshots that stay at first."""
    images = scene.fleet.images
    scene.settings({"backup": {"prune": {"enabled": True, "afterDays": 7, "keep": 1}}})
    machine = scene.machine("pruned")
    for number in range(4):
        machine.missing = [parse_patch(f"openssl-3.0.{number}", "Linux", date(2026, 1, 1))]
        scene.patch(machine)
    for image in images.by_id.values():
        image.created -= timedelta(days=100)
    needed = scene.images(machine)[1]
    for snapshots_stay in ("", "missing-permissions", ""):
        images.snapshots_stay = snapshots_stay
        if needed.state == "disabled":
            scene.fleet.tags(needed.image_id)["DrydockKeep"] = ""
        scene.prune()
        scene.end_days_of_grace()
    scene.prune()


def _bring_back(scene: RunScenario) -> None:
    """Well, by image and by volume; refused; killed; without a root volume; and while another execution is over."""

    def restore(machine: Machine, **given: Any) -> None:
        policy = {"healthProbe": HEALTH}
        scene.account.start_execution("RestoreInstance", {"instanceId": machine.instance_id, "policy": policy, **given})

    def restore_and_settle(machine: Machine, **given: Any) -> None:
        restore(machine, **given)
        scene.settle()

    scene.settings({"backup": {"after": {"take": False}}})
    back = scene.machine("back", **WINDOWS)
    first = back.root_volume
    detached = scene.machine("detached", wrong=("replace_detaches",))
    killed = scene.machine("killed")
    for machine in (back, detached, killed):
        scene.patch(machine)
    for given in ({}, {}, {"volumeId": first}):
        restore_and_settle(back, **given)
    restore_and_settle(scene.machine("grouped", tags={"aws:autoscaling:groupName": "nobody"}))
    kept = scene.machine("kept", wrong=("replace_fails",))
    scene.patch(kept)
    restore_and_settle(kept)
    restore_and_settle(kept, runId="no-such-run")
    execution = scene.account.start_execution("RestoreInstance", {"instanceId": killed.instance_id})
    scene.run_until(execution, "Replace Root Volume", seconds=30)
    scene.account.stop_execution(execution)
    restore_and_settle(killed)
    root = detached.root_volume
    restore(detached)
    scene.run_for(60)
    scene.fleet.root_volumes.attach_behind_the_back(detached, root)
    scene.settle()
    # Its lease is stale when another asks for it.
    patched = scene.start(killed)
    scene.run_until(patched, "Install Patches", seconds=1)
    scene.account.stop_execution(patched)
    restore_and_settle(killed)
    scene.settings(None)


def _ask(scene: RunScenario) -> None:
    """Approved and rejected by link and by parameter, at once and when the event was lost; and nobody answers."""
    scene.machines("asked", 1)
    scene.approvers("anna")
    policy = {**QUICKLY, "approval": {"required": True}}
    people = [Person("anna", deed, by=way) for way in ("link", "parameter") for deed in ("approve", "reject")]
    for person in people:
        asked = People(scene.account, [person], scene.stack, lambda answer: None)
        scene.account.observers.append(asked)
        scene.run("asked", policy)
        scene.account.observers.remove(asked)
    scene.given(FailCall("sns:Publish", "ThrottlingException", caller="ask_for_approval"))
    scene.run("asked", policy)

    misspelt = scene.start_run("asked", policy)
    scene.run_until(misspelt, "Ask For Approval", seconds=30)
    scene.given(FailCall("sns:Publish", "ThrottlingException", caller="decide_run"))
    name = scene.account.execution(misspelt).name
    write_parameter(scene.account, f"/drydock/decisions/{name}", "yes, please", arn_of("anna"))
    scene.settle()

    unheard = scene.start_run("asked", policy)
    scene.run_until(unheard, "Ask For Approval", seconds=30)
    scene.given(LoseEvents())
    run = scene.account.execution(unheard).name
    decision = f"approve {scene.run_item(run)['planHash']}"
    write_parameter(scene.account, f"/drydock/decisions/{run}", decision, arn_of("anna"))
    scene.account.run_until_quiet()
    scene.account.bus.interceptors.clear()


def _stop_runs(scene: RunScenario) -> None:
    """Gently, while they wait for approval; and hard, so that the engine stops what they started, or Drydock does."""
    scene.machines("stopped", 2)
    waiting = scene.start_run("stopped", {"approval": {"required": True}})
    scene.run_until(waiting, "Ask For Approval", seconds=30)
    scene.stop_run(scene.account.execution(waiting).name, "enough")
    scene.settle()
    for fault in (LoseEvents(), LoseCancellations()):
        scene.given(fault)
        execution = scene.start_run("stopped")
        scene.run_until(execution, "Carry Out Wave", seconds=300)
        scene.account.stop_execution(execution)
        scene.settle()
        scene.account.bus.interceptors.clear()


def _roll(scene: Scenario, name: str, policy: Mapping[str, Any] = {}, /, *, members: int = 1, **settings: Any) -> str:
    """Start a roll through a new group, whose members can all be spared."""
    spec = settings.pop("spec", {})
    machines = [
        MachineSpec(**{"name": f"{name}-{number}", "missing": MISSING["Linux"], "tags": {"Patch Group": name}, **spec})
        for number in range(1, members + 1)
    ]
    scene.fleet.add_group(name, machines, **{"min": members, "max": members + 1, "target_group": name, **settings})
    given = {"groupName": name, "policy": {**QUICKLY, "minHealthy": 0, **policy}}
    return scene.account.start_execution("RollGroup", given, name)


def _run_past_its_end(scene: RunScenario) -> None:
    """The machine installs for much longer than anybody expected."""
    scene.machines("overrun", 1, durations=Durations(install=3_000))
    scene.run("overrun", {**QUICKLY, "deadlineMinutes": 45})


def _stop_roll_at_once(scene: Scenario) -> None:
    """The engine stops the execution of the member itself."""
    execution = _roll(scene, "cancelled")
    scene.run_until_any(lambda arn, _: ":drydock-PatchInstance:cancelled-" in arn)
    scene.run_for(1)
    scene.account.stop_execution(execution)
    scene.settle()


def _roll_in_every_way(scene: RunScenario) -> None:
    """With gates, with a surge instance, without one after all, with a golden image, by a run; and refused."""
    golden = {"backup": {"before": {"take": False}}, "refreshLaunchTemplate": {"enabled": True, "allowDefault": True}}
    surge = {"capacity": "surge"}
    _roll(scene, "reduced", {"gates": {"alarms": ["errors"], "calendars": ["freeze"]}}, members=2)
    _roll(scene, "surged", surge)
    _roll(scene, "surged-to-the-full", surge, max=1)
    _roll(scene, "fallen-back", {**surge, "surgeFallback": "reduce"}, launch_configuration="old")
    _roll(scene, "golden", golden, template_version="$Latest")
    _roll(scene, "golden-by-default", golden)
    _roll(scene, "scanned-group", {"operation": "Scan"})
    _roll(scene, "refused-group", suspended=["Launch"])
    _roll(scene, "grown", {"launchedMembers": "patch"})
    scene.given(ScalingPolicy(group="grown", moment=Moment(60, "Patch Member"), adjustment=1))
    scene.settle()
    spared = {**QUICKLY, "minHealthy": 0}
    waits = MachineSpec(name="waits-1", tags={"Patch Group": "waits"}, lifecycle_state="Warmed:Running")
    scene.fleet.add_group("waits", [waits], min=0)
    scene.run("waits", spared, planOnly=True)
    scene.run("reduced", spared)
    for targets in ("reduced", "shop"):
        scene.given(FailCall("stepfunctions:StartExecution", "AccessDeniedException", caller="drydock-MaintenanceRun"))
        scene.run(targets, spared)
    scene.given(FailCall("dynamodb:TransactWriteItems", "AccessDenied", caller="record_outcome"))
    scene.run("reduced", spared)
    for fault in (LoseEvents(), LoseCancellations()):
        scene.given(fault)
        execution = scene.start_run("reduced", spared)
        scene.run_until(execution, "Carry Out Wave", seconds=300)
        scene.account.stop_execution(execution)
        scene.settle()
        scene.account.bus.interceptors.clear()


def _lose_end_of_member(scene: RunScenario) -> None:
    """Somebody stops the child of the roll's Map that waits for the member to serve again."""
    _roll(scene, "unended")
    waiting = scene.run_until_any(
        lambda arn, state: ":drydock-RollGroup/Members:" in arn and state == "Await In Service"
    )
    scene.run_for(0.5)
    scene.account.stop_execution(waiting)
    scene.settle()


def _roll_badly(scene: RunScenario) -> None:
    """Members that fail, and come back or are replaced; executions that cannot be started; full groups."""
    _roll(scene, "returned", spec=FAILING)
    _roll(scene, "replaced", {"onMemberFailure": "replace"}, spec=FAILING)
    never = FailCall(
        "stepfunctions:StartExecution", "AccessDeniedException", caller="drydock-RollGroup", run="unstarted"
    )
    scene.given(never)
    _roll(scene, "unstarted")
    scene.given(FailCall("dynamodb:GetItem", "AccessDenied", caller="return_member", times=99, run="undecided"))
    _roll(scene, "undecided", spec=FAILING)
    _roll(scene, "unanswered")
    scene.given(
        FailCall(
            "ssm:SendCommand", "InternalError", caller="install_patches", after_effect=True, instance="unanswered-1"
        ),
        StopExecution("unanswered-1", Moment(0.4, "Install Patches")),
    )
    _roll(scene, "surge-held", {"capacity": "surge", "onMemberFailure": "hold"}, spec=FAILING)
    scene.given(
        FailCall("autoscaling:LaunchInstances", "InternalFailure", times=999, after_effect=True, run="surge-unanswered")
    )
    _roll(scene, "surge-unanswered", {"capacity": "surge"})
    scene.settle()
    _roll(scene, "crowded", members=2, max=2)
    scene.given(ScalingPolicy(group="crowded", moment=Moment(30, "Install Patches"), adjustment=1))
    scene.settle()


def _stop_rolls(scene: RunScenario) -> None:
    """In the middle, so that Drydock gives everything back; and taken on again before it has."""
    scene.given(LoseEvents(), LoseCancellations())
    for name, state, after in (("admitting", "Admit Group", 0.2), ("stopped-group", "Take Turn", 0.5)):
        scene.given(StopRun(name, Moment(after, state)))
        _roll(scene, name)
    scene.given(StopRun("stopped-surge", Moment(60, "Patch Member")))
    _roll(scene, "stopped-surge", {"capacity": "surge"}, max=1)
    scene.given(
        FailCall("autoscaling:SetDesiredCapacity", "AccessDenied", times=999, run="stopped-replacing"),
        StopRun("stopped-replacing", Moment(0.05, "Await In Service")),
        StopRun("stopped-holding", Moment(0.02, "Record Member")),
    )
    _roll(scene, "stopped-holding", {"capacity": "surge", "onMemberFailure": "hold"}, spec=FAILING)
    _roll(scene, "stopped-replacing", {"onMemberFailure": "replace"}, spec=FAILING)
    scene.run_for(3)
    scene.account.start_execution("RollGroup", {"groupName": "stopped-group"})
    scene.settle()
    scene.account.bus.interceptors.clear()


def _record(scene: Scenario) -> Record:
    permissions = scene.account.permissions
    functions = {
        function.role.split("/")[-1]: function.folder for function in scene.account.functions.functions.values()
    }
    roles = {request.role: request.caller for request in permissions.requests} | functions
    return Record(
        frozenset(permissions.requests),
        tuple(permissions.denied),
        {
            role: [
                statement
                for name, statements in permissions.policies(role).items()
                if name != SAMS_OWN_POLICY
                for statement in statements
            ]
            for role in roles
        },
        roles,
    )


def test_nothing_is_asked_for_that_is_not_granted(record: Record) -> None:
    assert [str(request) for request in record.denied] == []


def test_without_any_one_grant_some_call_is_denied(record: Record) -> None:
    unneeded = [str(grant) for grant in record.grants() if not _is_excepted(grant) and not _find_denied(record, grant)]
    assert not unneeded, "\n".join(unneeded)


def test_every_role_of_the_stack_is_asked_for(record: Record) -> None:
    with scenario() as scene:
        roles = {name for name in scene.stack.resources if name.endswith("Role")}
    assert {role.split("-")[1] for role in record.owners} == roles


def _is_excepted(grant: Grant) -> bool:
    table = read_table()
    return "without" in table["exceptions"].get(grant.action, {}) or any(
        grant.action in entry["actions"] and fnmatchcase(grant.resource, pattern)
        for pattern, entry in table["unreached"].items()
    )


def _find_denied(record: Record, grant: Grant) -> list[Request]:
    """The requests that would be denied without a grant."""
    statements = record.policies[grant.role]
    return [request for request in record.of(grant.role) if not is_allowed(_without(statements, grant), request)]


def _without(statements: list[Statement], grant: Grant) -> Iterator[Statement]:
    """The statements, with what is left of the grant's own in two: the other actions, and the other resources."""
    for number, statement in enumerate(statements):
        if number != grant.statement:
            yield statement
            continue
        actions, resources = _as_list(statement["Action"]), _as_list(statement["Resource"])
        yield {**statement, "Action": [action for action in actions if action != grant.action]}
        yield {
            **statement,
            "Action": [grant.action],
            "Resource": [resource for resource in resources if resource != grant.resource],
        }


STEP = "!GetAtt AdmitInstanceFunction.Arn, "
"""A step of PatchInstance, where its policy names it."""


@pytest.mark.parametrize(
    ("owner", "grant", "denied"),
    [
        (
            "StartInstanceFunction",
            "# Allows to start instances of this account.",
            "start_instance may not ec2:StartInstances on arn:",
        ),
        (
            "StartInstanceFunction",
            "        - !Ref UpdateItemsPolicy\n",
            "start_instance may not dynamodb:UpdateItem on arn:",
        ),
        ("PatchInstance", STEP, "drydock-PatchInstance may not lambda:InvokeFunction on arn:"),
    ],
    ids=["statement", "managed", "machine"],
)
def test_a_flow_that_lacks_a_grant_fails_and_names_it(tmp_path: Path, owner: str, grant: str, denied: str) -> None:
    with scenario(template=_write_without_grant(tmp_path, owner, grant)) as scene:
        execution = scene.patch(scene.machine("windows", **WINDOWS))

        assert execution.status == "FAILED"
        assert str(scene.account.permissions.denied[0]).startswith(denied)


@pytest.mark.parametrize(
    ("grant", "denied"),
    [
        ("        - !Ref ReadPlansPolicy\n", "drydock-MaintenanceRun may not s3:GetObject on arn:"),
        (
            "# Allows an execution of its own for each machine and each group of a wave.",
            "drydock-MaintenanceRun may not states:StartExecution on arn:",
        ),
    ],
    ids=["reads", "starts"],
)
def test_a_run_that_lacks_a_grant_touches_nothing_and_its_people_hear_of_it(
    tmp_path: Path, grant: str, denied: str
) -> None:
    with run_scenario(template=_write_without_grant(tmp_path, "MaintenanceRun", grant)) as scene:
        machine, *_ = scene.machines("web", 1)
        run = scene.run("web")

        assert (run.status, run.outcomes) == ("FAILED", {machine.name: "not_attempted"})
        assert str(scene.account.permissions.denied[0]).startswith(denied)
        assert "failed" in str(run.summary.subject)
        assert_untouched(scene, machine)


def _write_without_grant(folder: Path, owner: str, grant: str) -> Path:
    """Write a copy of the template in which an owner lacks the text of a grant, or the statement under a comment."""
    text = (PROJECT / "template.yaml").read_text()
    begin = text.index(grant, text.index(f"  {owner}:\n"))
    end = begin + len(grant)
    if grant.startswith("#"):
        after = re.compile(r"^ {0,12}\S", re.MULTILINE).search(text, text.index("- Effect", begin) + 1)
        assert after is not None
        begin, end = text.rindex("\n", 0, begin) + 1, after.start()
    copy = folder / "template.yaml"
    copy.write_text(text[:begin] + text[end:])
    return copy
