"""Whether machines can be patched: what Systems Manager, EC2 and IAM say of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drydock.aws.ec2 import Ec2, Instance, name_of, state_of, tags_of
from drydock.aws.resource_groups import ResourceGroups
from drydock.aws.windows import Windows
from drydock.errors import InstanceNotRunningError
from drydock.machine.refusal import refusal, refusal_by_guard, refusal_by_stack
from drydock.plan.plans import ORDER_TAG
from drydock.plan.targets import INSTANCE_IDS, Target, fits, resolve
from drydock.plan.window import read_registered
from drydock.records.leases import all_leases
from drydock.request.policy import account_policy
from drydock.tags import IN_PROGRESS, STATE_TAG
from drydock.telling.text import advice_for
from drydock_cli.findings import Findings
from drydock_cli.stack import Stack

_OLDEST_AGENT = (2, 0, 834, 0)
"""AWS-RunPatchBaseline needs this one:
https://docs.aws.amazon.com/systems-manager/latest/userguide/patch-manager-prerequisites.html"""
_PATCHING = re.compile(r"patch|InstallWindowsUpdates", re.IGNORECASE)
"""In the names of AWS's own documents, of Quick Setup's policies, and of most that people write."""
_NEEDS = "README, What the instances need"


@dataclass(frozen=True)
class _Account:
    """What is looked up once for all machines."""

    agents: Mapping[str, Mapping[str, Any]] | None
    volumes: Mapping[str, Sequence[Mapping[str, Any]]]
    leased: frozenset[str]
    others: Sequence[tuple[str, Sequence[Target]]]
    """Patch tasks and associations of others: what they are, and the targets of each."""
    roles: dict[str, str] = field(default_factory=dict)
    """By instance profile: why its role may not write logs; empty where it may, or nobody knows."""
    keys: dict[str, str] = field(default_factory=dict)
    """By KMS key: what is wrong with it; empty for nothing, or for one of AWS's own."""


def check_machines(stack: Stack, findings: Findings, targets: Sequence[Sequence[Target]]) -> int:
    """Look at the machines that are meant; how many these are."""
    if not targets:
        return 0
    resolved = resolve(Ec2(stack.client("ec2")), ResourceGroups(stack.client("resource-groups")), targets)
    for left in resolved.left_out:
        findings.problem(left["reason"], advice_for(left["error"]), left["instanceId"], left["name"])
    instances = list(resolved.instances.values())
    account = _look_up(stack, findings, instances)
    for instance in instances:
        _check(stack, findings, account, instance)
    return len(instances) + len(resolved.left_out)


def _look_up(stack: Stack, findings: Findings, instances: Sequence[Instance]) -> _Account:
    ids = [str(one["InstanceId"]) for one in instances]
    volumes: dict[str, list[Mapping[str, Any]]] = {}
    for volume in findings.look("the volumes", lambda: stack.volumes(ids)) or ():
        for attached in volume["Attachments"]:
            volumes.setdefault(attached["InstanceId"], []).append(volume)
    held = findings.look("the leases", lambda: all_leases(stack.table))
    return _Account(
        agents=findings.look("the agents", lambda: stack.agents(ids)),
        volumes=volumes,
        leased=frozenset(one.subject.key for one in held.read) if held else frozenset(),
        others=[
            *(findings.look("the maintenance windows", lambda: _patch_tasks(stack)) or ()),
            *(findings.look("the associations", lambda: _associations(stack)) or ()),
        ],
    )


def _patch_tasks(stack: Stack) -> list[tuple[str, Sequence[Target]]]:
    """The tasks of maintenance windows that patch by themselves, with their targets."""
    windows = Windows(stack.client("ssm"))
    found: list[tuple[str, Sequence[Target]]] = []
    for window in stack.windows():
        tasks = [
            one
            for one in windows.tasks(window["WindowId"])
            if one["Type"] in ("RUN_COMMAND", "AUTOMATION") and _PATCHING.search(str(one["TaskArn"]))
        ]
        for groups in [read_registered(windows.targets(window["WindowId"]))[0]] if tasks else ():
            for task in tasks:
                name = f"task {task.get('Name') or task['WindowTaskId']} of window {window['Name']}"
                found += [(f"{name} ({task['TaskArn'].rpartition('/')[2]})", targets) for targets in groups]
    return found


def _associations(stack: Stack) -> list[tuple[str, Sequence[Target]]]:
    """The associations of State Manager that patch, those of Quick Setup's patch policies among them."""
    found: list[tuple[str, Sequence[Target]]] = []
    for one in stack.associations():
        name = str(one.get("AssociationName") or one["AssociationId"])
        if not _PATCHING.search(f"{one.get('Name', '')} {name}"):
            continue
        kind = "patch policy" if "QuickSetup" in name else "association"
        targets = [Target(key=given["Key"], values=list(given["Values"])) for given in one.get("Targets", ())]
        found.append((f"{kind} {name} ({one.get('Name', '?')})", targets))
    return found


def _is_meant(instance: Instance, targets: Sequence[Target]) -> bool:
    """Whether targets of another mean an instance; a resource group's members are not asked for."""
    if not targets:
        return False
    for target in targets:
        if target["key"].lower() == INSTANCE_IDS.lower():
            if not {instance["InstanceId"], "*"} & set(target["values"]):
                return False
        elif not target["key"].startswith("tag"):
            return False
    return fits(instance, targets)


def _check(stack: Stack, findings: Findings, account: _Account, instance: Instance) -> None:
    instance_id, name = str(instance["InstanceId"]), name_of(instance)

    def problem(what: str, way: str) -> None:
        findings.problem(what, way, instance_id, name)

    def note(what: str, way: str = "") -> None:
        findings.add("note", what, way, instance_id, name)

    policy = account_policy("{}")
    for refused in (
        refusal(instance, policy, member_of_leased_group=True),
        refusal_by_guard(instance, stack.parameters.get("GuardTagKey", "")),
        refusal_by_stack(instance, stack.name),
    ):
        if refused is not None and not isinstance(refused, InstanceNotRunningError):
            problem(str(refused).removeprefix(f"{instance_id}: "), advice_for(type(refused).__name__))
    _check_agent(account, instance, problem, note)
    _check_role(stack, findings, account, instance, problem)
    _check_keys(stack, findings, account, instance, problem)
    tags = tags_of(instance)
    order = tags.get(ORDER_TAG, "0")
    if not re.fullmatch(r"[0-9]{1,3}", order):
        problem(f"its tag {ORDER_TAG} is {order!r}, not a number from 0 to 999: it goes last", "Correct the tag.")
    if tags.get(STATE_TAG) == IN_PROGRESS and instance_id not in account.leased:
        problem(f"its tag {STATE_TAG} says {IN_PROGRESS}, and nobody has it in work", f"Remove the tag {STATE_TAG}.")
    for other in sorted({what for what, targets in account.others if _is_meant(instance, targets)}):
        problem(
            f"{other} patches it, too",
            "Unless it only scans, take it away: two installations at once fail, and it makes no image first.",
        )


def _check_agent(account: _Account, instance: Instance, problem: Any, note: Any) -> None:
    if account.agents is None:
        return
    agent, is_running = account.agents.get(str(instance["InstanceId"])), state_of(instance) == "running"
    if agent is None and is_running:
        problem("it runs, and Systems Manager does not know it", f"It needs the agent, a role and a route: {_NEEDS}.")
        return
    if agent is None:
        note("it is stopped, and Systems Manager does not know it: whether it can be patched shows when it is started")
        return
    if is_running and agent["PingStatus"] != "Online":
        problem(
            f"its agent is silent ({agent['PingStatus']}) since {agent['LastPingDateTime']:%Y-%m-%d %H:%M} UTC",
            "See on the machine whether the agent runs and reaches Systems Manager.",
        )
    version = str(agent.get("AgentVersion", ""))
    if version and _parts(version) < _OLDEST_AGENT:
        oldest = ".".join(map(str, _OLDEST_AGENT))
        problem(f"its agent {version} is older than {oldest}", "drydock run --operation UpdateAgents updates it.")


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _check_role(stack: Stack, findings: Findings, account: _Account, instance: Instance, problem: Any) -> None:
    profile = _profile_of(instance)
    if not profile:
        # Default Host Management Configuration gives a role that nobody sees here: the agent tells whether it works.
        return
    if profile not in account.roles:
        found = findings.look("the roles of instances", lambda: stack.why_no_logs(profile))
        account.roles[profile] = found or ""
    if account.roles[profile]:
        problem(account.roles[profile], f"Allow it in the instances' role: {_NEEDS}.")


def _profile_of(instance: Instance) -> str:
    return str((instance.get("IamInstanceProfile") or {}).get("Arn", ""))


def _check_keys(stack: Stack, findings: Findings, account: _Account, instance: Instance, problem: Any) -> None:
    named = {one.strip() for one in stack.parameters.get("KmsKeyArns", "").split(",") if one.strip()}
    for key in _keys(account.volumes.get(str(instance["InstanceId"]), ())):
        if key not in account.keys:
            account.keys[key] = findings.look("the keys of volumes", lambda key=key: stack.state_of_key(key)) or ""  # type: ignore[misc]
        state = account.keys[key]
        if state and state != "Enabled":
            problem(f"the key {key} of a volume is {state}", "Enable the key: without it the machine does not start.")
        elif state and key not in named and state_of(instance) == "stopped":
            problem(
                f"it is stopped, and the stack may not use the key {key} of a volume",
                "Deploy with the key in KmsKeyArns: without it the machine does not start.",
            )


def _keys(volumes: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted({str(one["KmsKeyId"]) for one in volumes if one.get("Encrypted") and one.get("KmsKeyId")})
