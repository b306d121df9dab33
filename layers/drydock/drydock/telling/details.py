"""What is known of one machine, as plain data for a report, and as the rows in which mail and card tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from drydock.catalogue.saying import knows, say
from drydock.errors import (
    DrydockError,
    HealthCheckFailedError,
    InstanceStoppedError,
    InstanceTerminatedError,
    RootVolumeDetachedError,
    error_named,
)
from drydock.records.results import AgentUpdate, MadeImage, PatchCounts, RestoredRoot, StepTime, Work
from drydock.records.work_names import name_work
from drydock.telling.commands import aws
from drydock.telling.message import Link, Row, Section, Urgency
from drydock.telling.text import Location, folder_link
from drydock.times import from_text, in_zone

PROVED = ("compliant", "patched_reported_failed", "pending_reboot", "non_compliant", "unpatchable")
"""The verdicts with which nothing is missing."""

_BY_OTHERS = (InstanceStoppedError.__name__, InstanceTerminatedError.__name__)
"""Errors of which somebody knows who has changed the machine's power."""

_MOST_LINES = 10


class FailedCommand(TypedDict):
    """A command that did not end well. `logKey` is where in the bucket its output stands, empty if unknown.

    `exitCode` is -1 where there is none; `errorOutput` has the last lines of its error output, secrets masked.
    """

    step: str
    document: str
    status: str
    exitCode: int
    endedAt: str
    logKey: str
    errorOutput: list[str]


class Details(TypedDict):
    """What is known of the work on one machine. A count of -1 is not known; a list is empty where nothing is known.

    `installed` was missing before and is listed as installed now; `noLongerMissing` is not missing now, and no more is
    known. `steps` are in the order in which they began; their times are UTC, and one that was cut
    short has no end. `toWorkAgain` is the document that lets a machine work again which may be drained still; empty for
    any other. `rebootNeed` is what it says of a reboot (`RebootNeed`); empty where nobody asked it.
    """

    operation: str
    powerBefore: str
    powerAfter: str
    rebooted: bool | None
    missingBefore: int
    missingAfter: int
    missing: list[str]
    missingBySeverity: dict[str, int]
    failed: list[str]
    installed: list[str]
    noLongerMissing: list[str]
    images: dict[str, MadeImage]
    hooks: dict[str, str]
    agents: list[AgentUpdate]
    steps: list[StepTime]
    failedCommands: list[FailedCommand]
    logKey: str
    notes: list[str]
    restored: RestoredRoot | None
    toWorkAgain: str
    rebootNeed: str


def describe_work(work: Work) -> Details:
    """What a report says of the work on a machine."""
    found = work.findings
    before, after = (found.patches_before, found.patches_after) if found else (None, None)
    return {
        "operation": work.operation,
        "powerBefore": work.power_before,
        "powerAfter": work.power_after,
        "rebooted": found.rebooted if found else None,
        "missingBefore": _missing(before),
        "missingAfter": _missing(after),
        "missing": list(after["missingPatches"]) if after else [],
        "missingBySeverity": dict(after["missingBySeverity"]) if after else {},
        "failed": list(after["failedPatches"]) if after else [],
        "installed": list(found.installed) if found else [],
        "noLongerMissing": _no_longer_missing(before, after, found.installed) if found else [],
        "images": dict(work.images),
        "hooks": dict(found.hooks) if found else {},
        "agents": list(found.agents) if found else [],
        "steps": list(work.steps),
        "failedCommands": _failed_commands(work),
        "logKey": next((sent["logKey"] for sent in reversed(work.commands) if sent["logKey"]), ""),
        "notes": [*work.problems, *(problem for image in work.images.values() for problem in image["problems"])],
        "toWorkAgain": work.to_work_again,
        "restored": work.restored,
        "rebootNeed": found.reboot["need"] if found else "",
    }


def _no_longer_missing(before: PatchCounts | None, after: PatchCounts | None, installed: Sequence[str]) -> list[str]:
    if before is None or after is None or not 0 <= after["missing"] <= len(after["missingPatches"]):
        return []
    return sorted({*before["missingPatches"]} - {*after["missingPatches"], *after["failedPatches"], *installed})


def _missing(counts: PatchCounts | None) -> int:
    return counts["missing"] if counts else -1


def _failed_commands(work: Work) -> list[FailedCommand]:
    ended = {command["commandId"]: command for command in work.findings.commands} if work.findings else {}
    return [
        {
            "step": sent["step"],
            "document": sent["document"],
            "status": end["statusDetails"],
            "exitCode": end["responseCode"],
            "endedAt": end["endedAt"],
            "logKey": sent["logKey"],
            "errorOutput": list(end["errorOutput"]),
        }
        for sent in work.commands
        if (end := ended.get(sent["commandId"])) is not None and end["status"] != "Success"
    ]


def verdict_text(operation: str, verdict: str) -> str:
    """What a verdict means, by what was to be done."""
    if operation == "UpdateAgents" and knows(f"verdict_of_agents.{verdict}"):
        return say(f"verdict_of_agents.{verdict}")
    if operation == "Restore":
        return say(f"verdict_of_restore.{verdict}")
    return say(f"verdict.{verdict}")


def end_text(error: str) -> str:
    """How the work on a machine ended, in half a sentence without the name of the error."""
    return say(f"ended_with.{error}") if knows(f"ended_with.{error}") else say("ended_with.others")


def is_unwell(error: str, verdict: str) -> bool:
    """Whether a machine is patched and its health probe fails: nothing is more urgent."""
    return error == HealthCheckFailedError.__name__ and verdict in PROVED


def urgency_of(error: str, power_before: str, power_now: str) -> Urgency:
    """Whether somebody has to get up for a machine that ended with an error.

    For one that may not serve although it did before. One that is back as it was found can wait.
    """
    if error in (HealthCheckFailedError.__name__, RootVolumeDetachedError.__name__):
        return "now"
    if power_before != "running":
        return "tomorrow"
    fell = power_now not in ("", "running") and error not in _BY_OTHERS
    return "now" if fell or (error_named(error) or DrydockError).is_urgent else "tomorrow"


def image_text(moment: str, image: MadeImage) -> str:
    """`Image after: ami-0123, available, crash-consistent: the machine ran on`"""
    told = say(f"image.state.{image['state']}") if knows(f"image.state.{image['state']}") else image["state"]
    consistency = say("image.crash_consistent") if image["crashConsistent"] else say("image.at_rest")
    return say(f"image.of_machine.{moment}", id=image["imageId"], state=told, consistency=consistency)


def repeats_output(policy: Mapping[str, Any]) -> bool:
    """Whether messages repeat the last lines of error output, by the policy of a machine or a run."""
    wanted = policy.get("messages")
    return isinstance(wanted, Mapping) and wanted.get("errorOutput") == "lastLines"


def detail_rows(
    instance_id: str, details: Details, location: Location, bucket: str, *, with_output: bool = False
) -> list[Row]:
    """What people are told of a machine. Error output only where the policy says so."""
    lines: list[Row] = [say("machine.power", before=details["powerBefore"], after=details["powerAfter"])]
    if details["rebooted"] is not None:
        lines.append(say("machine.rebooted") if details["rebooted"] else say("machine.not_rebooted"))
    lines += [*map(agent_text, details["agents"]), *_patches(details)]
    lines += [say("machine.hook", hook=hook, outcome=say(f"hook.{end}")) for hook, end in details["hooks"].items()]
    lines += _restored(details["restored"], location) if details["restored"] else []
    lines += [image_text(moment, image) for moment, image in details["images"].items()]
    lines += [say("machine.note", note=note) for note in details["notes"]]
    if document := details["toWorkAgain"]:
        lines.append(say("drained.again"))
        lines.append(aws(location, "ssm", "send-command", "--document-name", document, "--instance-ids", instance_id))
    for command in details["failedCommands"]:
        lines += _command(command, location, bucket, with_output=with_output)
    return lines


def _restored(root: RestoredRoot, location: Location) -> list[Row]:
    """To what a machine was brought back, and which root volume was kept."""
    lines: list[Row] = [say("restore.state", state=say(f"root_state.{root['state']}"))]
    taken = in_zone(from_text(root["takenAt"]), location.time_zone)
    if root["imageId"]:
        lines.append(say("restore.from_image", image=root["imageId"], taken=taken, snapshot=root["snapshotId"]))
    else:
        lines.append(say("restore.from_volume", volume=root["sourceVolumeId"], taken=taken))
    if root["keptVolumeId"]:
        lines.append(say("restore.kept", volume=root["keptVolumeId"]))
    return lines


def _patches(details: Details) -> list[str]:
    """What was missing and is, by name where that is known."""
    before, after = details["missingBefore"], details["missingAfter"]
    if before < 0 and after < 0:
        return []
    if after < 0:
        return [say("machine.missing.before", before=_count(before))]
    lines = [say("machine.missing", before=_count(before), after=_count(after))]
    if details["missing"] and details["operation"] == "Scan":
        lines.append(say("machine.missing_found", patches=details["missing"]))
    elif details["missing"]:
        lines.append(say("machine.missing_now", patches=details["missing"]))
    if details["failed"]:
        lines.append(say("machine.failed_now", patches=details["failed"]))
    if details["installed"]:
        lines.append(say("machine.installed", patches=details["installed"]))
    if details["noLongerMissing"]:
        lines.append(say("machine.no_longer_missing", patches=details["noLongerMissing"]))
    return lines


def _count(missing: int) -> str:
    return say("machine.count_unknown") if missing < 0 else say("number", count=missing)


def agent_text(update: AgentUpdate) -> str:
    """`SSM Agent 3.2.1 → 3.3.2`"""
    before, after = update["before"], update["after"]
    if before == after:
        return say("agent.same", agent=update["name"], version=after or say("agent.none"))
    return say(
        "agent.changed",
        agent=update["name"],
        before=before or say("agent.none"),
        after=after or say("agent.not_known"),
    )


def _command(command: FailedCommand, location: Location, bucket: str, *, with_output: bool) -> list[Row]:
    told = say(
        "command.ended", step=name_work(command["step"]), status=command["status"], code=str(command["exitCode"])
    )
    rows: list[Row] = [told]
    if with_output and command["errorOutput"]:
        rows.append(Section(say("command.output"), command["errorOutput"][-_MOST_LINES:]))
    if command["logKey"]:
        rows.append(Link(say("command.log"), folder_link(bucket, command["logKey"], location)))
    return rows


def step_rows(steps: Sequence[StepTime], zone: str) -> list[Row]:
    """When each step began and ended, by the clocks of a zone."""
    return [_step(step, zone) for step in steps]


def _step(step: StepTime, zone: str) -> str:
    begun, name = in_zone(from_text(step["beganAt"]), zone), name_work(step["name"])
    if not step["endedAt"]:
        return say("step.begun", begun=begun, name=name)
    return say("step.line", begun=begun, ended=in_zone(from_text(step["endedAt"]), zone), name=name)
