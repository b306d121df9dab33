"""Whether the stack itself is well: deployment, mail, approvers, window, leases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any

from drydock.approval.approvers import can_be_many, person_of
from drydock.aws.executions import OPEN
from drydock.aws.topics import Topics
from drydock.aws.windows import Windows
from drydock.errors import InvalidInputError
from drydock.plan.targets import Target
from drydock.plan.window import machine_of, read_registered
from drydock.records.leases import RESTORING, Lease, all_leases
from drydock.records.staleness import UNKNOWN_OWNER
from drydock.request.policy import Policy, effective_policy
from drydock_cli.findings import Findings
from drydock_cli.stack import Stack
from drydock_cli.terminal import length_of_time
from drydock_cli.watch import FIVE_SWEEPS

_MOST_LEASES = 200
_WELL = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")


def check_stack(stack: Stack, findings: Findings) -> list[list[Target]]:
    """Look at the stack. The targets of its window, none where they cannot be read."""
    _deployment(stack, findings)
    policy = _policy(stack, findings)
    asks = policy["approval"]["required"] or policy["approval"]["above"] > 0
    _mail(stack, findings, asks=asks)
    if asks:
        _approvers(stack, findings, policy)
    _leases(stack, findings)
    return _window(stack, findings)


def _deployment(stack: Stack, findings: Findings) -> None:
    status, version = stack.status, stack.outputs.get("Version", "")
    if status not in _WELL:
        findings.problem(
            f"the stack is {status}", "Wait until CloudFormation is done; if it has failed, its events say why."
        )
    own = metadata.version("drydock")
    if version != own:
        findings.problem(
            f"the template is of version {version or '(none)'}, this command of {own}",
            "Deploy this version, or use the command of that one.",
        )
    prefix = f"{stack.name}-"
    functions = [one for one in findings.look("the functions", stack.functions) or () if _is_own(one, prefix)]
    layers = {layer["Arn"] for one in functions for layer in one.get("Layers", ()) if "drydock" in layer["Arn"].lower()}
    if len(layers) > 1:
        findings.problem(
            f"the functions use {len(layers)} versions of the layer: somebody has changed some by hand",
            "Deploy the stack again.",
        )
    broken = sorted(
        one["FunctionName"] for one in functions if one.get("State", "Active") not in ("Active", "Inactive")
    )
    if broken:
        findings.problem(f"functions that are not ready: {', '.join(broken)}", "Deploy the stack again.")


def _is_own(function: Mapping[str, Any], prefix: str) -> bool:
    return str(function["FunctionName"]).startswith(prefix)


def _policy(stack: Stack, findings: Findings) -> Policy:
    """The account's policy; the defaults hold where it cannot be read."""
    name = f"/{stack.name}/policy"
    settings = findings.look(f"the setting {name}", lambda: stack.read_parameter(name)) or "{}"
    policy, mistakes = effective_policy(settings, name, {})
    for mistake in mistakes:
        findings.problem(mistake, f"Correct {name} in Parameter Store: every run is refused until then.")
    return policy if not mistakes else effective_policy("{}", "", {})[0]


def _mail(stack: Stack, findings: Findings, *, asks: bool) -> None:
    topics = Topics(stack.client("sns"))
    wanted = [("results", "ResultsTopicArn", "NotificationEmail")]
    if asks:
        wanted.append(("questions to approvers", "ApprovalsTopicArn", "ApprovalEmail"))
    for what, output, parameter in wanted:
        topic = stack.output(output)
        counted = findings.look(f"who gets {what}", lambda topic=topic: topics.count_subscriptions(topic))  # type: ignore[misc]
        if counted is None:
            continue
        confirmed, pending = counted
        if not confirmed and pending:
            findings.problem(f"nobody gets {what}: {pending} subscriptions wait", "Follow the link in the mail of SNS.")
        elif not confirmed:
            findings.problem(
                f"nobody gets {what}", f"Deploy with {parameter}, or subscribe somebody to {topic}, and confirm it."
            )
        elif pending:
            findings.add("note", f"{pending} subscriptions to {what} are not confirmed", "")


def _approvers(stack: Stack, findings: Findings, policy: Policy) -> None:
    if stack.output("ApprovalAuth") == "LINK":
        return
    setting = stack.output("ApproversParameterName")
    approvers = findings.look(f"the setting {setting}", stack.approvers)
    if approvers is None:
        return
    needed = policy["approval"]["minApprovals"]
    people = {person_of(one) for one in approvers}
    if not approvers:
        findings.problem(
            "runs ask for approval, and nobody may give it", f"Name approvers in {setting} (drydock init does)."
        )
    elif len(people) < needed and not any(map(can_be_many, approvers)):
        findings.problem(
            f"{needed} people have to approve, and only {len(people)} may", f"Name more approvers in {setting}."
        )


def _window(stack: Stack, findings: Findings) -> list[list[Target]]:
    window_id, windows = stack.output("MaintenanceWindowId"), Windows(stack.client("ssm"))
    machine = stack.output("MaintenanceRunArn").rpartition(":")[2]
    try:
        found = findings.look(
            f"window {window_id}",
            lambda: (windows.describe(window_id), windows.tasks(window_id), windows.targets(window_id)),
        )
    except InvalidInputError as error:
        findings.problem(str(error), "Deploy the stack again, or let windows of your own start it.")
        return []
    if found is None:
        return []
    window, tasks, registered = found
    ours = [task for task in tasks if machine_of(task) == machine]
    if not window["Enabled"] or not ours:
        others = findings.look("other windows", lambda: _others(windows, stack, machine, window_id)) or []
        if not others:
            why = "is disabled" if not window["Enabled"] else "has no task that starts Drydock"
            findings.problem(
                f"no window starts Drydock: {window['Name']} {why}",
                "Deploy with ScheduleEnabled=true, register a task with a window of your own, or start runs by hand.",
            )
    targets, warnings = read_registered(registered)
    for warning in warnings:
        findings.problem(warning, "Correct the targets that are registered with the window.")
    if not registered:
        findings.problem(f"window {window['Name']} has no targets", "Register machines with it, by tag or id.")
    return targets


def _others(windows: Windows, stack: Stack, machine: str, own: str) -> list[str]:
    """The ids of other windows that start the stack's runs."""
    ids = [str(one["WindowId"]) for one in stack.windows() if one.get("Enabled") and one["WindowId"] != own]
    return [one for one in ids if any(machine_of(task) == machine for task in windows.tasks(one))]


def _leases(stack: Stack, findings: Findings) -> None:
    held = findings.look("the leases", lambda: all_leases(stack.table))
    if held is None:
        return
    for unreadable in held.unreadable:
        findings.problem(unreadable.reason, "Look at what it is about, then mend the item or delete it.")
    leases = stack.read_leases([one.subject for one in held.read[:_MOST_LEASES]])
    for lease, since in _stale(stack, leases):
        age = length_of_time((stack.now() - since).total_seconds())
        findings.problem(
            f"its lease is stale: {lease.holder.name} is over, and it was not given back for {age}",
            "docs/operations.md says what to do with a machine that was not given back.",
            lease.subject.key,
            str(lease.journal.get("name", "")),
        )


def _stale(stack: Stack, leases: Sequence[Lease]) -> Iterable[tuple[Lease, Any]]:
    """The leases whose owners are over, since when, where `give_back` should have ended them long ago."""
    now = stack.now()
    for lease in leases:
        execution = stack.find_execution_by_arn(lease.holder.execution)
        if lease.phase == RESTORING:
            since = lease.phase_since
        elif execution is None:
            since = lease.since + UNKNOWN_OWNER
        elif execution["status"] in OPEN:
            continue
        else:
            since = execution.get("stopDate") or lease.phase_since
        if now - since > FIVE_SWEEPS:
            yield lease, since
