"""Whether each grant of the template is needed, and whether what is needed is granted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rehearsal.account import PROJECT
from rehearsal.faults import FailCall, KillFunction, LoseEvents
from rehearsal.machines import Durations
from rehearsal.permissions import Request, Statement, is_allowed, read_table
from tests.integration.kinds import HEALTH, HOOKS
from tests.integration.scenario import Scenario, scenario

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
    """Folder name of the function, or name of the machine, by role."""

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


WINDOWS = {"platform": "Windows", "power": "stopped"}
BASELINE = {"hooks": HOOKS, "healthProbe": HEALTH}
UPDATES = {**BASELINE, "document": "AWS-InstallWindowsUpdates"}

SENDERS = ("probe_instance", "install_patches", "finish_install", "scan_patches", "run_hook", "check_health")
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
    _failing("no-image", "image_fails"),
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
    with scenario() as scene:
        scene.account.permissions.enforce = False
        for document in (*HOOKS.values(), HEALTH):
            scene.fleet.add_document(document)
        _disturb(scene)
        _go_well(scene)
        _refuse(scene)
        _lose(scene)
        _kill(scene)
        scene.settle()
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
    scene.given(FailCall("sns:Publish", "ThrottlingException", caller="announce_success"))
    linux, *_ = _start(
        scene,
        Case("linux", policy=BASELINE),
        Case("windows", WINDOWS, UPDATES),
        Case("scanned", policy={"operation": "Scan"}),
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
    )
    untouched, cut_off = _start(scene, Case("untouched"), Case("cut-off"))
    scene.run_for(0.01)
    scene.account.stop_execution(untouched)
    scene.run_until(cut_off, "Back Up Before", seconds=1)
    scene.account.stop_execution(cut_off)
    for execution in executions:
        scene.run_until(execution, "Install Patches", seconds=1)
        scene.account.stop_execution(execution)
    scene.start(scene.account.execution(executions[0]).input["instanceId"])
    scene.account.run_until_quiet()


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
    exceptions = read_table()["exceptions"]
    unneeded = [
        str(grant)
        for grant in record.grants()
        if "without" not in exceptions.get(grant.action, {}) and not _find_denied(record, grant)
    ]
    assert not unneeded, "\n".join(unneeded)


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


@pytest.mark.parametrize(
    ("comment", "denied"),
    [
        ("# Allows to start instances of this account.", "start_instance may not ec2:StartInstances on arn:"),
        ("# Allows its own steps.", "drydock-PatchInstance may not lambda:InvokeFunction on arn:"),
    ],
    ids=["function", "machine"],
)
def test_a_flow_that_lacks_a_statement_fails_and_names_it(tmp_path: Path, comment: str, denied: str) -> None:
    with scenario(template=_write_without_statement(tmp_path, comment)) as scene:
        execution = scene.patch(scene.machine("windows", **WINDOWS))

        assert execution.status == "FAILED"
        assert str(scene.account.permissions.denied[0]).startswith(denied)


def _write_without_statement(folder: Path, comment: str) -> Path:
    """Write a copy of the template without the statement under a comment."""
    text = (PROJECT / "template.yaml").read_text()
    begin = text.index(comment)
    end = re.compile(r"^ {0,12}\S", re.MULTILINE).search(text, text.index("- Effect", begin) + 1)
    assert end is not None
    copy = folder / "template.yaml"
    copy.write_text(text[:begin] + text[end.start() :].lstrip())
    return copy
