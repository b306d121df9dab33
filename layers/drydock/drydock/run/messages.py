"""Messages about runs, for somebody who is woken at three: the first line says whether anything has to be done now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from drydock.aws.ssm import SEVERITIES
from drydock.catalogue.saying import knows, say
from drydock.errors import DrydockError, Failure, error_named
from drydock.records.runs import Place
from drydock.records.work_names import name_work
from drydock.run.outcomes import MachineOutcome, failed_groups, left_to_people
from drydock.run.reports import Report, failed_images, left_out_text
from drydock.run.standing import InWork, Standing
from drydock.subject import Group
from drydock.telling.commands import aws, drydock
from drydock.telling.details import (
    PROVED,
    detail_rows,
    end_text,
    is_unwell,
    repeats_output,
    urgency_of,
    verdict_text,
)
from drydock.telling.message import Link, Message, Row, Section, Urgency, place, steps, where
from drydock.telling.text import (
    CAUSE_IN_MAIL,
    Location,
    console_link,
    cut,
    machine_text,
    object_link,
    windows_link,
)
from drydock.times import from_text, in_zone

_MOST_LISTED = 20
_MOST_REASON = 16_000
"""The reason of a refusal names every mistake."""
_MOST_TARGETS = 5
_UNTOUCHED = ("planned", "rejected", "not_answered", "refused", "nothing_to_do")


def summary_message(report: Report, location: Location, bucket: str, key: str, link: str = "") -> Message:
    """For a run that has ended; `key` is empty when its report could not be stored.

    `link` opens the report without credentials; empty where there are no such links.
    """
    location = replace(location, time_zone=report["timeZone"] or location.time_zone)
    urgency, what = _verdict(report)
    if report["tooLong"]:
        # Whoever waits for the next window would wait for ever.
        urgency, what = "now", say("run.never_fits", what=what)
    unwell = _unwell(report)
    failed = [machine for machine in _with(report, "failed") if machine not in unwell]
    return Message(
        urgency=urgency,
        what=what,
        about=_label(report),
        intro=_standing(report),
        zone=location.time_zone,
        facts=[*_asked(report), place(location), *_course(report, location)],
        sections=[
            _done(report, location),
            _detailed("unwell", unwell, report, location, bucket),
            _detailed("failed", failed, report, location, bucket),
            _groups(report),
            _images(report),
            _listed("not_compliant", _not_compliant(report)),
            _owed_reboots(report),
            _listed("left_to_reboot", _left_to_reboot(report)),
            _listed("notes_of_scan" if report["asked"]["operation"] == "Scan" else "notes", _noted(report)),
            _missing(report),
            steps(_next_rows(report, location)),
            *(_listed(outcome, _with(report, outcome)) for outcome in _OTHERS),
            _left_out(report),
            _approval(report, location),
            Section(say("heading.warnings"), [cut(warning, CAUSE_IN_MAIL) for warning in report["warnings"]]),
            where(_report_rows(report, location, bucket, key, link), report["execution"], location),
        ],
    )


_OTHERS = ("not_attempted", "busy", "gone", "skipped")


def _label(report: Report) -> str:
    """What people know the run by."""
    window = report["asked"]["window"] or {}
    name = window.get("name")
    return say("run.about.window", window=name) if name else say("run.about.run", run=report["runId"])


def _operation(report: Report) -> str:
    return report["asked"]["operation"] or "Install"


def _number(count: int, of: int, became: str) -> str:
    """`2 of 12 machines failed`, `all 12 machines patched`, `the only machine failed`

    `became` is failed or not_attempted; of those that are done, the operation.
    """
    if count == of:
        return say(f"run.only.{became}") if of == 1 else say(f"run.all.{became}", total=of)
    return say(f"run.some.{became}", count=count, total=of)


def _verdict(report: Report) -> tuple[Urgency, str]:
    """How urgent it is, and what happened, in half a sentence."""
    outcome = report["outcome"]
    if outcome in ("failed", "stopped"):
        return _bad_verdict(report)
    counts, total = report["counts"], len(report["machines"])
    left = say("run.more.not_attempted", count=counts["not_attempted"])
    if outcome == "late":
        what = _number(counts["succeeded"], total, _operation(report))
        what = say("run.also", what=what, more=left) if counts["not_attempted"] else what
        return "tomorrow", say("run.also", what=what, more=say("run.late", minutes=report["minutesAfterEnd"]))
    if not total and outcome == "incomplete":
        return _empty_verdict(report)
    if outcome == "incomplete" and not counts["not_attempted"]:
        return "tomorrow", say(f"run.none_done.{_operation(report)}", total=total)
    if outcome == "incomplete":
        what = _number(counts["not_attempted"], total, "not_attempted")
        return "tomorrow", say("run.none_failed", what=what)
    if outcome == "planned":
        return "nothing", say("run.planned", total=total)
    if outcome == "succeeded":
        return _good_verdict(report)
    if outcome == "nothing_to_do":
        return _empty_verdict(report)
    return ("nothing" if outcome == "rejected" else "tomorrow"), say(f"untouched.{outcome}")


def _empty_verdict(report: Report) -> tuple[Urgency, str]:
    """Of a run that was about no machine. One whose targets mean none at all is worth a look."""
    left_out = report["leftOut"]
    if not left_out:
        return "tomorrow", say(f"run.nothing_to_do.{_operation(report)}")
    urgency: Urgency = "tomorrow" if left_to_people(left_out) else "nothing"
    return urgency, say(f"run.all_left_out.{_operation(report)}", total=len(left_out))


def _good_verdict(report: Report) -> tuple[Urgency, str]:
    counts, total = report["counts"], len(report["machines"])
    compliant, lacking = counts["already_compliant"], _lacking(report)
    if report["asked"]["operation"] == "Scan":
        if lacking:
            return "tomorrow", say("run.missing", count=len(lacking), total=total)
        is_known = all(machine["details"] and machine["details"]["missingAfter"] == 0 for machine in report["machines"])
        if is_known:
            return "nothing", _nothing_missing(total)
    if compliant == total:
        return "nothing", _nothing_missing(total)
    what = _number(counts["succeeded"], total, _operation(report))
    if total != counts["succeeded"] + compliant:
        what = say("run.none_failed", what=what)
    if compliant:
        what = say("run.also", what=what, more=say("run.more.compliant", count=compliant))
    for kind, machines_left in (
        ("not_compliant", _not_compliant(report)),
        ("reboots", _waiting_for_reboot(report)),
        ("notes", _noted(report)),
    ):
        if machines_left:
            return "tomorrow", say("run.also", what=what, more=say(f"run.more.{kind}", count=len(machines_left)))
    return "nothing", what


def _nothing_missing(total: int) -> str:
    return say("run.nothing_missing.one") if total == 1 else say("run.nothing_missing.all", total=total)


def _bad_verdict(report: Report) -> tuple[Urgency, str]:
    counts, total, unwell = report["counts"], len(report["machines"]), _unwell(report)
    parts = []
    if unwell:
        parts.append(say("run.unwell", count=len(unwell)))
    if counts["failed"] > len(unwell):
        parts.append(_number(counts["failed"] - len(unwell), total, "failed"))
    groups = failed_groups(report["groups"])
    if groups:
        parts.append(say("run.groups", count=len(groups)))
    if report["outcome"] == "stopped":
        parts.append(say("run.stopped"))
    elif not parts:
        parts.append(say("run.failed"))
    if counts["not_attempted"]:
        parts.append(say("run.more.not_attempted", count=counts["not_attempted"]))
    if report["insideWindow"] is False:
        parts.append(say("run.late", minutes=report["minutesAfterEnd"]))
    return ("now" if _is_urgent(report) else "tomorrow"), say("names", names=parts)


def _is_urgent(report: Report) -> bool:
    """Whether a machine or a group may not serve, or is not as it was found."""
    return any(
        urgency_of(machine["error"], *_power_of(machine)) == "now" or _may_be_drained(machine)
        for machine in _with(report, "failed")
    ) or any(
        group["problems"] or (error_named(group["error"]) or DrydockError).is_urgent
        for group in failed_groups(report["groups"])
    )


def _may_be_drained(machine: MachineOutcome) -> bool:
    details = machine["details"]
    return details is not None and bool(details["toWorkAgain"]) and details["powerAfter"] == "running"


def _power_of(machine: MachineOutcome) -> tuple[str, str]:
    """Before and now. One of which nothing is known may have served, and may serve no more."""
    details = machine["details"]
    return (details["powerBefore"], details["powerAfter"]) if details else ("running", "")


def _standing(report: Report) -> list[str]:
    """Whether the run goes on, and what is left of its error budget: it is over."""
    if report["outcome"] in _UNTOUCHED:
        return []
    failed, allowed = report["counts"]["failed"], report["maxErrors"]
    if not any(count for outcome, count in report["counts"].items() if outcome != "not_attempted"):
        return [say("run.is_over.untouched")]
    if failed > allowed:
        return [say("run.is_over.spent", failed=failed, allowed=allowed)]
    return [say("run.is_over", failed=failed, allowed=allowed)]


def _asked(report: Report) -> list[str]:
    asked = report["asked"]
    window = asked["window"] or {}
    lines = [
        say("run.asked", run=report["runId"], operation=asked["operation"])
        if asked["operation"]
        else say("run.asked.run", run=report["runId"])
    ]
    if window.get("windowId"):
        lines.append(say("run.window", window=_window_text(window["windowId"], window.get("name", ""))))
    elif asked["startedBy"]:
        lines.append(say("run.started_by", who=asked["startedBy"]))
    lines += [_target(target) for target in asked["targets"][:_MOST_TARGETS] if isinstance(target, Mapping)]
    if len(asked["targets"]) > _MOST_TARGETS:
        lines.append(say("run.targets_more", count=len(asked["targets"]) - _MOST_TARGETS))
    if asked["resumes"]:
        lines.append(say("run.resumes", run=asked["resumes"]))
    if asked["follows"]:
        lines.append(say("run.follows", run=asked["follows"]))
    return lines


def _target(target: Mapping[str, Any]) -> str:
    given = target.get("values")
    values = [cut(str(value), CAUSE_IN_MAIL) for value in given] if isinstance(given, list) else []
    return say("run.target", key=cut(str(target.get("key")), CAUSE_IN_MAIL), values=values)


def _course(report: Report, location: Location) -> list[str]:
    """When it was, how long it took, and whether it kept to its window."""
    zone = location.time_zone
    lines = [
        say(
            "run.times",
            begun=in_zone(from_text(report["startedAt"]), zone),
            ended=in_zone(from_text(report["endedAt"]), zone),
            minutes=report["minutes"],
        )
    ]
    if not report["end"]:
        return lines
    end, minutes = in_zone(from_text(report["end"]), zone), report["minutesAfterEnd"]
    noun = "window" if report["asked"]["window"] else "deadline"
    if report["insideWindow"] is None:
        return [*lines, say(f"run.{noun}_end", end=end)]
    if not report["insideWindow"]:
        return [*lines, say(f"run.outside_{noun}", end=end, minutes=minutes)]
    if minutes < 0:
        # The run itself may end later: it waits for its images, of which no machine knows.
        back = in_zone(from_text(report["end"]) + timedelta(minutes=minutes), zone)
        return [*lines, say(f"run.inside_{noun}.spare", back=back, end=end, minutes=-minutes)]
    return [*lines, say(f"run.inside_{noun}", end=end)]


def _done(report: Report, location: Location) -> Section:
    counts, total = report["counts"], len(report["machines"])
    if report["outcome"] == "planned":
        rows: list[Row] = [say("plan.machines", count=total)]
        if report["predictedEnd"]:
            end = in_zone(from_text(report["predictedEnd"]), location.time_zone)
            rows.append(say("plan.would_end", end=end))
        return Section(say("heading.plan"), rows)
    if report["failure"] and (not report["machines"] or report["outcome"] == "refused"):
        return Section(say("heading.reason"), [_failure_text(report["failure"], _MOST_REASON)])
    if not report["machines"]:
        return Section(say("heading.done"), [])
    parts = [
        say(
            "summary.part",
            count=count,
            what=say(f"done.{_operation(report)}") if outcome == "succeeded" else say(f"outcome.{outcome}"),
        )
        for outcome, count in counts.items()
        if count
    ]
    rows = [say("summary.counts", total=total, parts=parts), *_verdicts(report)]
    if report["failure"] and report["outcome"] not in ("rejected", "not_answered"):
        rows.append(say("summary.ended_early", reason=_failure_text(report["failure"], 4 * CAUSE_IN_MAIL)))
    return Section(say("heading.done"), rows)


def _verdicts(report: Report) -> list[str]:
    """How many of the machines that went well have a reservation."""
    verdicts = Counter(machine["verdict"] for machine in _with(report, "succeeded"))
    return [
        say("summary.verdict", count=count, verdict=verdict_text(report["asked"]["operation"], verdict))
        for verdict, count in sorted(verdicts.items())
        if knows(f"verdict.{verdict}") and verdict not in ("compliant", "scanned")
    ]


def _failure_text(failure: Failure, most: int) -> str:
    cause = failure["cause"] or say("failure.no_cause")
    return cut(say("failure.text", error=failure["error"], cause=cause), most)


def _with(report: Report, outcome: str) -> list[MachineOutcome]:
    """The machines of an outcome; none of a run that touched nothing."""
    if report["outcome"] in ("planned", "rejected", "not_answered", "refused"):
        return []
    return [machine for machine in report["machines"] if machine["outcome"] == outcome]


def _images(report: Report) -> Section:
    """The images that failed after the work on their machines, and how many nobody knows the end of yet."""
    names = {machine["instanceId"]: machine["name"] for machine in report["machines"]}
    rows = [
        say(
            f"image.ended_badly.{image['moment']}",
            image=image["imageId"],
            machine=machine_text(image["instanceId"], names.get(image["instanceId"], "")),
            reason=image["reason"],
        )
        for image in failed_images(report["images"])
    ]
    pending = sum(image["state"] == "pending" for image in report["images"])
    more = [say("image.pending_in_report", count=pending)] if pending else []
    return Section(say("image.heading"), [*_first(rows), *more])


def _unwell(report: Report) -> list[MachineOutcome]:
    return [machine for machine in _with(report, "failed") if is_unwell(machine["error"], machine["verdict"])]


def _not_compliant(report: Report) -> list[MachineOutcome]:
    """The machines of which patching alone makes none that is compliant."""
    return [machine for machine in _with(report, "succeeded") if machine["verdict"] in ("non_compliant", "unpatchable")]


def _owed_reboots(report: Report) -> Section:
    """The machines that owe a reboot, each with why."""
    rows = [
        say("reboot.of_machine", machine=machine_text(one["instanceId"], one["name"]), reasons=one["reasons"])
        if one["reasons"]
        else machine_text(one["instanceId"], one["name"])
        for one in report["owedReboots"]
    ]
    return Section(say("reboot.heading", count=len(rows)), _first(rows))


def _left_to_reboot(report: Report) -> list[MachineOutcome]:
    """The machines on which nothing was to be done, but for a reboot that the policy does not make or does not help."""
    return [machine for machine in _with(report, "already_compliant") if machine["verdict"] == "pending_reboot"]


def _waiting_for_reboot(report: Report) -> list[MachineOutcome]:
    patched = [machine for machine in _with(report, "succeeded") if machine["verdict"] == "pending_reboot"]
    return [*patched, *_left_to_reboot(report)]


def _noted(report: Report) -> list[MachineOutcome]:
    """The machines that are patched, and of which people should know something besides, such as a missing image."""
    known = [*_not_compliant(report)]
    return [machine for machine in _with(report, "succeeded") if machine["cause"] and machine not in known]


def _lacking(report: Report) -> list[MachineOutcome]:
    """The machines that a Scan found to lack patches, worst first."""
    if report["asked"]["operation"] != "Scan":
        return []
    found = [
        machine
        for machine in _with(report, "succeeded")
        if machine["details"] and machine["details"]["missingAfter"] != 0
    ]
    return sorted(found, key=lambda machine: _missing_of(machine), reverse=True)


def _missing_of(machine: MachineOutcome) -> tuple[int, ...]:
    """How bad it is: of each severity how many are missing, the worst first; then how many at all."""
    details = machine["details"]
    if details is None:
        return (0,)
    return (*(details["missingBySeverity"].get(severity, 0) for severity in SEVERITIES), details["missingAfter"])


def _missing(report: Report) -> Section:
    """What a Scan found to be missing, and where."""
    machines = _lacking(report)
    rows: list[Row] = []
    for machine in machines:
        found = machine["details"]["missing"] if machine["details"] else []
        rows.append(
            say("row.missing", machine=_text(machine), patches=found)
            if found
            else say("row.missing.unknown", machine=_text(machine))
        )
    return Section(say("heading.missing", count=len(machines)), _first(rows))


def _groups(report: Report) -> Section:
    """The groups that are not as they should be: their rolls failed, or something could not be restored."""
    rows = [
        _of_group(group["groupName"], group["cause"] or end_text(group["error"]))
        for group in failed_groups(report["groups"])
    ]
    rows += [_of_group(group["groupName"], problem) for group in report["groups"] for problem in group["problems"]]
    return Section(say("heading.groups", count=len(rows)), _first(rows))


def _of_group(name: str, reason: str) -> str:
    return say("row.reason", what=name, reason=cut(reason.removeprefix(f"{name}: "), CAUSE_IN_MAIL))


def _detailed(
    kind: str, machines: Sequence[MachineOutcome], report: Report, location: Location, bucket: str
) -> Section:
    """The first machines with all that is known of each."""
    policy = report["asked"]["policy"]
    with_output = isinstance(policy, Mapping) and repeats_output(policy)
    rows: list[Row] = [
        Section(
            say("machine.patched_yet", machine=_text(machine), what=end_text(machine["error"]))
            if machine["verdict"] in PROVED and kind == "failed"
            else say("row.reason", what=_text(machine), reason=end_text(machine["error"])),
            [
                *([_reason(machine)] if _reason(machine) else []),
                *(
                    detail_rows(machine["instanceId"], machine["details"], location, bucket, with_output=with_output)
                    if machine["details"]
                    else []
                ),
            ],
        )
        for machine in machines[:_MOST_LISTED]
    ]
    more = len(machines) - len(rows)
    rows += [say("rows.more", count=more)] if more > 0 else []
    return Section(say(f"machines.{kind}", count=len(machines)), rows)


def _listed(kind: str, machines: Sequence[MachineOutcome]) -> Section:
    """The first machines with their reasons. A reason that all share is told once."""
    reasons = [_reason(machine) for machine in machines]
    shared = reasons[0] if len(machines) > 1 and len(set(reasons)) == 1 else ""
    rows = [
        _text(machine) if shared or not reason else say("row.reason", what=_text(machine), reason=reason)
        for machine, reason in zip(machines, reasons, strict=True)
    ]
    title = say(f"machines.{kind}", count=len(machines))
    return Section(say("heading.shared", heading=title, reason=shared) if shared else title, _first(rows))


def _text(machine: MachineOutcome) -> str:
    text, group = machine_text(machine["instanceId"], machine["name"]), machine["groupName"]
    return say("machine.of_group", machine=text, group=group) if group else text


def _reason(machine: MachineOutcome) -> str:
    return cut(machine["cause"].removeprefix(f"{machine['instanceId']}: "), CAUSE_IN_MAIL)


def _first(rows: Sequence[Row]) -> list[Row]:
    more = len(rows) - _MOST_LISTED
    return [*rows[:_MOST_LISTED], *([say("rows.more", count=more)] if more > 0 else [])]


def _left_out(report: Report) -> Section:
    """What was found and never planned: kind by kind, or each machine where people look at nothing but the plan."""
    left_out = report["leftOut"]
    if report["machines"] and report["outcome"] != "planned":
        kinds = Counter(str(machine["error"]) for machine in left_out)
        rows: list[Row] = [left_out_text(error, count) for error, count in kinds.most_common()]
    else:
        rows = [
            say(
                "row.reason",
                what=machine_text(machine["instanceId"], machine["name"]),
                reason=cut(str(machine["reason"]).removeprefix(f"{machine['instanceId']}: "), CAUSE_IN_MAIL),
            )
            for machine in left_out
        ]
    return Section(say("heading.left_out", count=len(left_out)), _first(rows))


def _approval(report: Report, location: Location) -> Section:
    approval = report["approval"]
    if not approval:
        return Section(say("heading.approval"), [])
    rows: list[Row] = []
    for given in approval["decisions"]:
        who = given["name"] or given["by"] or say("approval.somebody")
        reason = cut(given["reason"], CAUSE_IN_MAIL)
        kind = "approved" if given["decision"] in ("approve", "approved") else "rejected"
        if given["at"]:
            moment = in_zone(from_text(given["at"]), location.time_zone)
            decided = say(f"given.{kind}", who=who, moment=moment)
        else:
            decided = say(f"given.{kind}.undated", who=who)
        rows.append(say("approval.why", decided=decided, reason=reason) if reason else decided)
    if not rows and approval["until"]:
        rows = [say("approval.nobody", until=in_zone(from_text(approval["until"]), location.time_zone))]
    return Section(say("heading.approval"), _first(rows))


def _next_rows(report: Report, location: Location) -> list[Row]:
    """What to do next, each with the command line for it where there is one."""
    rows: list[Row] = []
    for step in report["next"]:
        rows.append(step["text"])
        if step["command"]:
            rows.append(drydock(location, *step["command"]))
    return rows


def _report_rows(report: Report, location: Location, bucket: str, key: str, link: str) -> list[Row]:
    """The report as a page: by its link where there are links, else by the command that opens it."""
    if not key:
        return [say("where.no_report")]
    stored = Link(say("where.report_stored"), object_link(bucket, key, location))
    if link:
        return [Link(say("where.report"), link), stored]
    return [Section(say("where.report"), [drydock(location, "report", report["runId"], "--open")]), stored]


def _window_text(window_id: str, window_name: str) -> str:
    return say("window.named", name=window_name, id=window_id) if window_name else window_id


def standing_message(standing: Standing, location: Location) -> Message:
    """For a run that works after its end, or waits for one machine: how it stands until then."""
    run, zone = standing.run, location.time_zone
    plan = run.require_plan()
    name = str(plan.window.get("name") or "")
    end = say("standing.end", end=in_zone(run.end, zone)) if run.end else ""
    begun = sum(len(place.only) or 1 for place in standing.places)
    goes_on = run.closed is None and plan.machines > begun
    stop: list[Row] = [say("standing.stop"), drydock(location, "stop", run.run_id)] if goes_on else []
    return Message(
        urgency=_urgency_of_standing(standing),
        what=_what_stands(standing),
        about=say("run.about.window", window=name) if name else say("run.about.run", run=run.run_id),
        intro=[
            say("run.takes_no_more", reason=run.closed["reason"])
            if run.closed
            else say("run.goes_on", failed=run.failed, allowed=run.max_errors)
            if goes_on
            else say("standing.all_begun", failed=run.failed, allowed=run.max_errors),
            say(f"standing.again.{standing.why}"),
        ],
        zone=zone,
        facts=[
            say("run.asked", run=run.run_id, operation=plan.operation),
            place(location),
            say("standing.begun", began=in_zone(run.started, zone)),
            *([end] if end else []),
            say("standing.so_far", parts=_so_far(standing, plan.machines - begun)),
        ],
        sections=[
            Section(say("heading.in_work", count=standing.count), _rows_in_work(standing, zone)),
            steps([say("standing.watch"), drydock(location, "watch", run.run_id), *stop, say("standing.finish")]),
            where(
                [Link(say("standing.execution"), console_link(standing.in_work[0].place.execution, location))]
                if standing.count == 1
                else [],
                run.holder.execution,
                location,
            ),
        ],
    )


def _what_stands(standing: Standing) -> str:
    first = standing.in_work[0].place
    if standing.count > 1:
        return say("standing.what.many", count=standing.count)
    machine = _place_text(first)
    return (
        say("standing.what.end", machine=machine)
        if standing.why == "end"
        else say("standing.what.one", machine=machine)
    )


def _place_text(found: Place) -> str:
    subject = found.subject
    if isinstance(subject, Group):
        return say("standing.group", group=subject.name, count=len(found.only))
    return machine_text(subject.id, found.name)


def _urgency_of_standing(standing: Standing) -> Urgency:
    """Whether something may not serve although its time is over."""
    if standing.why == "one":
        return "tomorrow"
    served = [
        isinstance(one.lease.subject, Group) or one.lease.journal.get("power") == "running" for one in standing.in_work
    ]
    return "now" if any(served) or len(served) < standing.count else "tomorrow"


def _so_far(standing: Standing, not_begun: int) -> list[str]:
    """What became of the machines that are done; a group is named, with what became of its roll."""
    done = [one for one in standing.places if one.outcome]
    counts = Counter(one.outcome for one in done if not isinstance(one.subject, Group))
    operation = standing.run.require_plan().operation
    parts = [say("summary.part", count=count, what=_became(outcome, operation)) for outcome, count in counts.items()]
    parts += [
        say("standing.of_group", group=one.subject.name, what=_became(one.outcome, operation))
        for one in done
        if isinstance(one.subject, Group)
    ]
    parts.append(say("standing.in_work", count=standing.count))
    return [*parts, say("standing.not_begun", count=not_begun)] if not_begun > 0 else parts


def _became(outcome: str, operation: str) -> str:
    return say(f"done.{operation}") if outcome == "succeeded" else say(f"outcome.{outcome}")


def _rows_in_work(standing: Standing, zone: str) -> list[Row]:
    plan = standing.run.require_plan()
    rows: list[Row] = [
        say("row.reason", what=_place_text(one.place), reason=say("names", names=_doing(one, plan.operation, zone)))
        for one in standing.in_work
    ]
    more = standing.count - len(rows)
    return [*rows, *([say("rows.more_members", count=more)] if more > 0 else [])]


def _doing(one: InWork, operation: str, zone: str) -> list[str]:
    """What goes on there and since when, by when that was expected to be over, and what power it was found with."""
    lease = one.lease
    parts = []
    if one.place.outcome:
        parts.append(say("standing.held", what=_became(one.place.outcome, operation)))
    elif newest := max(lease.intents.items(), key=lambda found: found[1].at, default=None):
        name, intent = newest
        told = name_work(name) if knows(f"work.{name}") else say("standing.at_work")
        parts.append(say("standing.doing", what=told, since=in_zone(intent.at, zone)))
    if one.expected:
        parts.append(say("standing.expected", at=in_zone(one.expected, zone)))
    if power := str(lease.journal.get("power") or ""):
        parts.append(say("standing.power", power=power))
    return parts


def name_taken_message(*, run_id: str, execution: str, location: Location) -> Message:
    """For an execution that is not the one of its run: a redrive, or a name that was used before."""
    return Message(
        urgency="tomorrow",
        what=say("name_taken.what", run=run_id),
        intro=[say("name_taken.untouched")],
        zone=location.time_zone,
        facts=[place(location)],
        sections=[steps([say("name_taken.next")]), where([], execution, location)],
    )


def window_task_failed_message(
    *,
    window_id: str,
    window_name: str,
    window_execution: str,
    status: str,
    at: str,
    location: Location,
    reason: str = "",
) -> Message:
    """For a maintenance window that could not start Drydock; `at` is an ISO time."""
    tasks = aws(
        location,
        "ssm",
        "describe-maintenance-window-execution-tasks",
        "--window-execution-id",
        window_execution,
    )
    says = [say("window.failed.says", reason=cut(reason, 4 * CAUSE_IN_MAIL))] if reason else []
    return Message(
        urgency="tomorrow",
        what=say("window.failed", window=_window_text(window_id, window_name)),
        intro=[say("window.failed.untouched")],
        zone=location.time_zone,
        facts=[
            say("window.failed.status", status=status),
            *says,
            place(location),
            say("machine.at", moment=in_zone(from_text(at), location.time_zone)),
            say("window.failed.execution", execution=window_execution),
        ],
        sections=[
            steps([say("window.failed.check"), say("window.failed.then")]),
            where([Link(say("where.windows"), windows_link(location)), say("where.window_tasks"), tasks], "", location),
        ],
    )


def window_skipped_message(
    *, window_id: str, window_name: str, run_id: str, execution: str, since: str, at: str, location: Location
) -> Message:
    """For a maintenance window that did nothing because what it began last still works.

    `run_id`, `execution` and `since` are empty when no run of Drydock is known to work.
    """
    window, zone = _window_text(window_id, window_name), location.time_zone
    opened = say("window.skipped.opened", opened=in_zone(from_text(at), zone))
    if not run_id:
        return Message(
            urgency="tomorrow",
            what=say("window.skipped.others", window=window),
            zone=zone,
            facts=[opened, place(location)],
            sections=[
                steps([say("window.skipped.see"), say("window.skipped.often")]),
                where([Link(say("where.windows"), windows_link(location))], "", location),
            ],
        )
    return Message(
        urgency="tomorrow",
        what=say("window.skipped", window=window, run=run_id),
        intro=[say("window.skipped.once")],
        zone=zone,
        facts=[say("window.skipped.since", run=run_id, since=in_zone(from_text(since), zone)), opened, place(location)],
        sections=[
            steps(
                [
                    say("window.skipped.watch"),
                    drydock(location, "watch", run_id),
                    say("window.skipped.stop"),
                    drydock(location, "stop", run_id),
                    say("window.skipped.often"),
                ]
            ),
            where([], execution, location),
        ],
    )
