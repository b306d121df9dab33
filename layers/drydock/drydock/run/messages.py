"""Messages about runs, for somebody who is woken at three: the first line says whether anything has to be done now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from drydock.catalogue.saying import knows, one_line, say
from drydock.errors import Failure, InstanceUnmanagedError
from drydock.run.outcomes import MachineOutcome, failed_groups
from drydock.run.reports import Report
from drydock.telling.text import (
    CAUSE_IN_MAIL,
    NEXT_STEPS,
    Location,
    console_link,
    cut,
    machine_text,
    object_link,
    subject_line,
    windows_link,
)
from drydock.times import for_people, from_text

_MOST_LISTED = 20
_MOST_REASON = 16_000
"""The reason of a refusal names every mistake."""
_MOST_TARGETS = 5
_MOST_VALUES = 10

_NOW, _LATER, _NOTHING = "Look at this now", "Not urgent, but something is left to do", "Nothing has to be done now"

_HEADINGS = {
    "failed": "Failed",
    "not_attempted": "Not attempted",
    "busy": "Busy: another execution had them",
    "gone": "Gone",
    "skipped": "Skipped",
}


def summary_message(report: Report, location: Location, bucket: str, key: str) -> tuple[str, str]:
    """Subject and text for a run that has ended; `key` is empty when its report could not be stored."""
    location = replace(location, time_zone=report["timeZone"] or location.time_zone)
    urgency, what = _verdict(report)
    if report["tooLong"]:
        # Whoever waits for the next window would wait for ever.
        urgency, what = _NOW, f"{what}; some will never fit"
    lines = [
        f"{urgency}: {what}.",
        "",
        *_asked(report, location),
        *_course(report, location),
        *_done(report, location),
        *_machines(report, "failed"),
        *_groups(report),
        *_machine_list("Patched, and not compliant", _not_compliant(report)),
        *_owed_reboots(report),
        *_section(NEXT_STEPS, report["next"]),
        *_machines(report, "not_attempted", "busy", "gone", "skipped"),
        *_left_out(report),
        *_approval(report, location),
        *_section("Warnings", [one_line(cut(warning, CAUSE_IN_MAIL)) for warning in report["warnings"]]),
        *_where(report, location, bucket, key),
    ]
    return subject_line(f"Drydock: {what} ({_label(report)})"), "\n".join(lines)


def _label(report: Report) -> str:
    """What people know the run by."""
    window = report["asked"]["window"] or {}
    return f"window {window['name']}" if window.get("name") else f"run {report['runId']}"


def _verb(report: Report) -> str:
    return say(f"done.{report['asked']['operation'] or 'Install'}")


def _number(count: int, of: int) -> str:
    """`2 of 12 machines`, `all 12 machines`, `the only machine`"""
    if count == of:
        return "the only machine" if of == 1 else f"all {of:,} machines"
    return f"{count:,} of {of:,} machines"


def _verdict(report: Report) -> tuple[str, str]:
    """How urgent it is, and what happened, in half a sentence."""
    outcome = report["outcome"]
    if outcome in ("failed", "stopped"):
        return _bad_verdict(report)
    counts, total = report["counts"], len(report["machines"])
    if outcome == "late":
        done = f"{_number(counts['succeeded'], total)} {_verb(report)}"
        others = f", {counts['not_attempted']:,} not attempted" if counts["not_attempted"] else ""
        return _LATER, f"{done}{others}, {_late(report)}"
    if outcome == "incomplete" and not counts["not_attempted"]:
        return _LATER, f"none of {total:,} machines {_verb(report)}, none failed"
    if outcome == "incomplete":
        return _LATER, f"{_number(counts['not_attempted'], total)} not attempted, none failed"
    if outcome == "planned":
        return _NOTHING, f"a plan for {total:,} machine{'' if total == 1 else 's'} was made and nothing was touched"
    if outcome == "succeeded":
        compliant = counts["already_compliant"]
        is_whole = total == counts["succeeded"] + compliant
        what = f"{_number(counts['succeeded'], total)} {_verb(report)}" + ("" if is_whole else ", none failed")
        if compliant == total:
            what = f"nothing was missing on {_number(compliant, total)}"
        elif compliant:
            what += f", {compliant:,} compliant already"
        left = len(_not_compliant(report))
        return (_LATER, f"{what}, {left:,} of them not compliant") if left else (_NOTHING, what)
    return {
        "nothing_to_do": (
            _LATER
            if any(machine["error"] == InstanceUnmanagedError.__name__ for machine in report["leftOut"])
            else _NOTHING,
            f"no machine was there to be {_verb(report)}",
        ),
        "rejected": (_NOTHING, "the run was rejected and nothing was touched"),
        "not_answered": (_LATER, "the run was not approved in time and nothing was touched"),
        "refused": (_LATER, "the run was refused and nothing was touched"),
    }[outcome]


def _bad_verdict(report: Report) -> tuple[str, str]:
    counts, total = report["counts"], len(report["machines"])
    parts = []
    if counts["failed"]:
        parts.append(f"{_number(counts['failed'], total)} failed")
    groups = failed_groups(report["groups"])
    if groups:
        parts.append(f"{len(groups):,} group{'' if len(groups) == 1 else 's'} not rolled through well")
    if report["outcome"] == "stopped":
        parts.append("the run was stopped")
    elif not parts:
        parts.append(f"the run failed: {report['failure']['error']}" if report["failure"] else "the run failed")
    if counts["not_attempted"]:
        parts.append(f"{counts['not_attempted']:,} not attempted")
    if report["insideWindow"] is False:
        parts.append(_late(report))
    urgent = bool(counts["failed"]) or report["outcome"] == "failed"
    return (_NOW if urgent else _LATER), ", ".join(parts)


def _late(report: Report) -> str:
    """`17 min late`"""
    return f"{_duration(report['minutesAfterEnd'])} late"


def _asked(report: Report, location: Location) -> list[str]:
    asked = report["asked"]
    window = asked["window"] or {}
    lines = [f"  Run {report['runId']}" + (f", {asked['operation']}" if asked["operation"] else "")]
    if window.get("windowId"):
        lines.append(f"  Started by maintenance window {_window_text(window['windowId'], window.get('name', ''))}")
    elif asked["startedBy"]:
        lines.append(f"  Started by {one_line(asked['startedBy'])}")
    targets = [_target(target) for target in asked["targets"][:_MOST_TARGETS] if isinstance(target, Mapping)]
    lines += [f"  Targets: {target}" for target in targets]
    if len(asked["targets"]) > _MOST_TARGETS:
        lines.append(f"  and {len(asked['targets']) - _MOST_TARGETS} more targets in the report")
    if asked["resumes"]:
        lines.append(f"  Takes up what run {asked['resumes']} left")
    if asked["follows"]:
        lines.append(f"  Follows run {asked['follows']}")
    return [*lines, f"  Account {location.account}, Region {location.region}"]


def _target(target: Mapping[str, Any]) -> str:
    given = target.get("values")
    values = [one_line(str(value)) for value in given] if isinstance(given, list) else []
    more = f" and {len(values) - _MOST_VALUES} more" if len(values) > _MOST_VALUES else ""
    return cut(f"{one_line(str(target.get('key')))} = {', '.join(values[:_MOST_VALUES])}", CAUSE_IN_MAIL) + more


def _course(report: Report, location: Location) -> list[str]:
    """When it was, how long it took, and whether it kept to its window."""
    lines = [
        f"  From {for_people(from_text(report['startedAt']), location.time_zone)}",
        f"  to {for_people(from_text(report['endedAt']), location.time_zone)}: {_duration(report['minutes'])}",
    ]
    if not report["end"]:
        return lines
    end = for_people(from_text(report["end"]), location.time_zone)
    noun = "window" if report["asked"]["window"] else "time it was given"
    minutes = report["minutesAfterEnd"]
    if report["insideWindow"] is None:
        return [*lines, f"  End of the {noun}: {end}"]
    if report["insideWindow"]:
        spare = f", with {_duration(-minutes)} to spare" if minutes < 0 else ""
        return [*lines, f"  Inside the {noun}: yes{spare} (until {end})"]
    return [*lines, f"  Inside the {noun}: no, {_late(report)} (until {end})"]


def _duration(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours else f"{rest} min"


def _done(report: Report, location: Location) -> list[str]:
    counts = report["counts"]
    if report["outcome"] == "planned":
        end = report["predictedEnd"]
        done_by = [f"Carried out now it would end {for_people(from_text(end), location.time_zone)}"] if end else []
        return _section("Plan", [f"Machines: {len(report['machines']):,}", *done_by])
    if report["failure"] and (not report["machines"] or report["outcome"] == "refused"):
        return _section("Reason", [_failure_text(report["failure"], _MOST_REASON)])
    if not report["machines"]:
        return []
    words = {"succeeded": _verb(report), "not_attempted": "not attempted", "already_compliant": "compliant already"}
    parts = [f"{count:,} {words.get(outcome, outcome)}" for outcome, count in counts.items() if count]
    verdicts = Counter(
        machine["verdict"] for machine in report["machines"] if machine["outcome"] == "succeeded" and machine["verdict"]
    )
    notable = [
        f"{count:,} of them: {say(f'verdict.{verdict}')}"
        for verdict, count in sorted(verdicts.items())
        if knows(f"verdict.{verdict}") and verdict not in ("compliant", "scanned")
    ]
    lines = [f"{len(report['machines']):,} machines: {', '.join(parts)}", *notable]
    if report["failure"] and report["outcome"] not in ("rejected", "not_answered"):
        lines.append(f"The run itself ended early: {_failure_text(report['failure'], 4 * CAUSE_IN_MAIL)}")
    return _section("Done", lines)


def _failure_text(failure: Failure, most: int) -> str:
    return one_line(cut(f"{failure['error']}: {failure['cause'] or 'no more is known'}", most))


def _machines(report: Report, *outcomes: str) -> list[str]:
    """The machines that people ask about, kind by kind."""
    if report["outcome"] in ("planned", "rejected", "not_answered", "refused"):
        return []
    lines: list[str] = []
    for outcome in outcomes:
        machines = [machine for machine in report["machines"] if machine["outcome"] == outcome]
        lines += _machine_list(_HEADINGS[outcome], machines)
    return lines


def _groups(report: Report) -> list[str]:
    """The groups that are not as they should be: their rolls failed, or something could not be restored."""
    groups = report["groups"]
    rows = [
        one_line(f"{group['groupName']}: {cut(': '.join([group['error'], group['cause']]), CAUSE_IN_MAIL)}")
        for group in failed_groups(groups)
    ]
    rows += [
        one_line(f"{group['groupName']}: {cut(problem, CAUSE_IN_MAIL)}")
        for group in groups
        for problem in group["problems"]
    ]
    return _section(f"Auto Scaling groups to look at ({len(rows):,})", _first(rows))


def _not_compliant(report: Report) -> list[MachineOutcome]:
    """The machines of which patching alone makes none that is compliant."""
    return [
        machine
        for machine in report["machines"]
        if machine["outcome"] == "succeeded" and machine["verdict"] in ("non_compliant", "unpatchable")
    ]


def _owed_reboots(report: Report) -> list[str]:
    """The machines that owe a reboot, each with why."""
    rows = [
        say("reboot.of_machine", machine=machine_text(one["instanceId"], one["name"]), reasons=one["reasons"])
        if one["reasons"]
        else machine_text(one["instanceId"], one["name"])
        for one in report["owedReboots"]
    ]
    return _section(say("reboot.heading", count=len(rows)), _first(rows))


def _machine_list(heading: str, machines: Sequence[MachineOutcome]) -> list[str]:
    """The first twenty with their reasons. A reason that all share is told once."""
    if not machines:
        return []
    reasons = [_reason(machine) for machine in machines]
    shared = reasons[0] if len(machines) > 1 and len(set(reasons)) == 1 else ""
    rows = [
        one_line(_text(machine)) + ("" if shared or not reason else f": {reason}")
        for machine, reason in zip(machines, reasons, strict=True)
    ]
    title = f"{heading} ({len(machines):,})" + (f": {shared}" if shared else "")
    return _section(title, _first(rows))


def _text(machine: MachineOutcome) -> str:
    text, group = machine_text(machine["instanceId"], machine["name"]), machine["groupName"]
    return f"{text} of group {group}" if group else text


def _reason(machine: MachineOutcome) -> str:
    cause = machine["cause"].removeprefix(f"{machine['instanceId']}: ")
    error = machine["error"] if machine["outcome"] == "failed" else ""
    return one_line(cut(": ".join(part for part in (error, cause) if part), CAUSE_IN_MAIL))


def _first(rows: Sequence[str]) -> list[str]:
    more = len(rows) - _MOST_LISTED
    return [*rows[:_MOST_LISTED], *([f"and {more:,} more in the report"] if more > 0 else [])]


def _left_out(report: Report) -> list[str]:
    """What was found and never planned: kind by kind, or each machine where people look at nothing but the plan."""
    left_out = report["leftOut"]
    if not left_out:
        return []
    if report["outcome"] not in ("nothing_to_do", "planned"):
        kinds = Counter(str(machine["error"]) for machine in left_out)
        rows = [_left_out_as(error, count) for error, count in kinds.most_common()]
    else:
        rows = []
        for machine in left_out:
            reason = str(machine["reason"]).removeprefix(f"{machine['instanceId']}: ")
            rows.append(
                one_line(f"{machine_text(machine['instanceId'], machine['name'])}: {cut(reason, CAUSE_IN_MAIL)}")
            )
    return _section(f"Left out of the plan ({len(left_out):,})", _first(rows))


def _left_out_as(error: str, count: int) -> str:
    return say(f"left_out.{error}", count=count) if knows(f"left_out.{error}") else f"{count:,} {error}"


def _approval(report: Report, location: Location) -> list[str]:
    approval = report["approval"]
    if not approval:
        return []
    rows = []
    for decision in approval["decisions"]:
        who = one_line(decision["name"] or decision["by"] or "somebody")
        when = f", {for_people(from_text(decision['at']), location.time_zone)}" if decision["at"] else ""
        why = f": {one_line(cut(decision['reason'], CAUSE_IN_MAIL))}" if decision["reason"] else ""
        rows.append(f"{decision['decision'].capitalize()} by {who}{when}{why}")
    if not rows and approval["until"]:
        rows = [f"Nobody answered until {for_people(from_text(approval['until']), location.time_zone)}"]
    return _section("Approval", _first(rows))


def _section(heading: str, rows: Sequence[str]) -> list[str]:
    return ["", heading, *[f"  {row}" for row in rows]] if rows else []


def _where(report: Report, location: Location, bucket: str, key: str) -> list[str]:
    rows = [f"Report: s3://{bucket}/{key}", f"  {object_link(bucket, key, location)}"] if key else []
    if not key:
        rows = ["There is no report: it could not be stored. The table has what became of each machine."]
    if report["execution"]:
        rows.append(f"Execution: {console_link(report['execution'], location)}")
    return _section("Where to look", rows)


def _window_text(window_id: str, window_name: str) -> str:
    return f"{one_line(window_name)} ({window_id})" if window_name else window_id


def name_taken_message(*, run_id: str, execution: str, location: Location) -> tuple[str, str]:
    """Subject and text for an execution that is not the one of its run: a redrive, or a name that was used before."""
    what = f"run {run_id} was not begun, because a run of this name has been there already, or was redriven"
    lines = [
        f"{_LATER}: {what}. Nothing was touched.",
        "",
        f"  Account {location.account}, Region {location.region}",
        *_section(NEXT_STEPS, ["Start it under another name; a run is never redriven."]),
        "",
        "Where to look",
        f"  Execution: {console_link(execution, location)}",
    ]
    return subject_line(f"Drydock: {what}"), "\n".join(lines)


def window_task_failed_message(
    *,
    window_id: str,
    window_name: str,
    window_execution: str,
    status: str,
    at: str,
    location: Location,
    reason: str = "",
) -> tuple[str, str]:
    """Subject and text for a maintenance window that could not start Drydock; `at` is an ISO time."""
    window = _window_text(window_id, window_name)
    what = f"maintenance window {window} could not start Drydock"
    lines = [
        f"{_LATER}: {what}: its task ended as {status}. No run began, and no machine was touched by this task.",
        "",
        *([f"  Systems Manager says: {one_line(cut(reason, 4 * CAUSE_IN_MAIL))}"] if reason else []),
        f"  Account {location.account}, Region {location.region}",
        f"  At {for_people(from_text(at), location.time_zone)}",
        f"  Execution of the window: {window_execution}",
        *_section(
            NEXT_STEPS,
            [
                "Check that the task's service role may start the state machine, and that the task's input is valid.",
                "Then start a run by hand with `drydock run`, or leave it to the next window.",
            ],
        ),
        *_section(
            "Where to look",
            [
                f"Windows: {windows_link(location)}",
                "aws ssm describe-maintenance-window-execution-tasks "
                f"--window-execution-id {window_execution} --region {location.region}",
            ],
        ),
    ]
    return subject_line(f"Drydock: window {window_name or window_id} could not start a run: {status}"), "\n".join(lines)


def window_skipped_message(
    *, window_id: str, window_name: str, run_id: str, execution: str, since: str, at: str, location: Location
) -> tuple[str, str]:
    """Subject and text for a maintenance window that did nothing because what it began last still works.

    `run_id`, `execution` and `since` are empty when no run of Drydock is known to work.
    """
    who = f"its run {run_id}" if run_id else "what it began last"
    began = [f"  Run {run_id} began {for_people(from_text(since), location.time_zone)}"] if run_id else []
    steps = [
        f"See what run {run_id} waits for with `drydock watch {run_id}`.",
        f"End it with `drydock stop {run_id}` if it should not go on: machines in work are finished.",
    ]
    lines = [
        f"{_LATER}: maintenance window {_window_text(window_id, window_name)} was skipped, because {who} still works.",
        "",
        *began,
        f"  The window opened {for_people(from_text(at), location.time_zone)}",
        f"  Account {location.account}, Region {location.region}",
        *_section(
            NEXT_STEPS,
            [
                *(steps if run_id else ["See which tasks of the window still work: they need not be Drydock's."]),
                "If that happens often, give runs more concurrency or let the window open less often.",
            ],
        ),
        *_section(
            "Where to look",
            [f"Execution: {console_link(execution, location)}"]
            if execution
            else [f"Windows: {windows_link(location)}"],
        ),
    ]
    return subject_line(f"Drydock: window {window_name or window_id} skipped: {who} still works"), "\n".join(lines)
