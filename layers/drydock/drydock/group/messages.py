"""Messages about rolls through Auto Scaling groups, as people read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from drydock.aws.autoscaling import LATEST_VERSION
from drydock.catalogue.saying import say
from drydock.errors import DrydockError, Failure, error_named
from drydock.records.results import Member, RefreshedTemplate, Result, Roll
from drydock.telling.commands import aws
from drydock.telling.details import end_text, urgency_of
from drydock.telling.message import Message, Row, Section, Urgency, place, steps, where
from drydock.telling.text import Location, advice_for, machine_text
from drydock.times import in_zone

_MOST_MEMBERS = 20

_OUTCOMES = ("succeeded", "already_compliant", "failed", "gone", "busy", "skipped", "not_attempted")


def group_message(
    group_name: str,
    execution: str,
    failure: Failure | None,
    result: Result | None,
    location: Location,
    *,
    is_held: bool = False,
) -> Message:
    """For a roll that is over.

    Without a result the group is being given back still when the roll holds its lease, and otherwise was not touched.
    """
    roll = result.roll if result else None
    members = roll.members if roll else {}
    urgency, what = _what(group_name, failure, result)
    counts = Counter(member.outcome for member in members.values())
    done = say(f"done.{_operation(roll)}")
    said = [
        say("summary.part", count=counts[outcome], what=_outcome_text(outcome, done))
        for outcome in _OUTCOMES
        if counts[outcome]
    ]
    reason: list[Row] = []
    if failure:
        cause = failure["cause"] or end_text(failure["error"])
        reason = [say("machine.reason", reason=cause), say("machine.error", error=failure["error"])]
    return Message(
        urgency=urgency,
        what=what,
        intro=[_state(result, is_held)],
        zone=location.time_zone,
        facts=[
            *reason,
            place(location),
            *_times(result, location),
            *([say("group.members", parts=said)] if said else []),
            *[say("machine.note", note=problem) for problem in (roll.problems if roll else [])],
        ],
        sections=[
            *([steps([advice_for(failure["error"])])] if failure else []),
            *_launch_template(roll.launch_template if roll else None),
            _members(members, done),
            where([], execution, location),
        ],
    )


def needs_attention(roll: Roll) -> bool:
    """Whether a group is not as it was found, or a member stays out."""
    return bool(roll.problems) or bool(_held(roll))


def _held(roll: Roll | None) -> list[str]:
    return [instance_id for instance_id, member in roll.members.items() if member.move == "hold"] if roll else []


def group_not_given_back_message(group_name: str, execution: str, hindrance: str, location: Location) -> Message:
    """For a group that Drydock could not give back for a long time."""
    look = aws(location, "autoscaling", "describe-auto-scaling-groups", "--auto-scaling-group-names", group_name)
    return Message(
        urgency="now",
        what=say("group.late", group=group_name),
        intro=[say("group.late.members"), say("late.keeps")],
        zone=location.time_zone,
        facts=[say("late.hindrance", hindrance=hindrance), place(location)],
        sections=[
            steps([say("group.late.next"), look, say("group.late.then")]),
            where([], execution, location),
        ],
    )


def _operation(roll: Roll | None) -> str:
    return roll.operation if roll else "Install"


def _what(group_name: str, failure: Failure | None, result: Result | None) -> tuple[Urgency, str]:
    roll = result.roll if result else None
    if result is not None and result.outcome == "refused":
        return "tomorrow", say("group.refused", group=group_name)
    if failure:
        return ("now" if _is_urgent(failure, roll) else "tomorrow"), say("group.failed", group=group_name)
    if roll and roll.problems:
        return "now", say(f"group.problems.{_operation(roll)}", group=group_name)
    if held := _held(roll):
        return "tomorrow", say(f"group.held.{_operation(roll)}", group=group_name, count=len(held))
    return "nothing", say(f"group.done.{_operation(roll)}", group=group_name)


def _is_urgent(failure: Failure, roll: Roll | None) -> bool:
    """Whether the group is not as it was found, or a member may not serve."""
    if (error_named(failure["error"]) or DrydockError).is_urgent or (roll is not None and roll.problems):
        return True
    members = roll.members.values() if roll else []
    return any(
        member.outcome == "failed" and urgency_of(member.error or "", "running", "") == "now" for member in members
    )


def _times(result: Result | None, location: Location) -> list[Row]:
    if result is None:
        return []
    return [
        say(
            "machine.times",
            begun=in_zone(result.started, location.time_zone),
            ended=in_zone(result.ended, location.time_zone),
            minutes=_minutes(result.started, result.ended),
        )
    ]


def _state(result: Result | None, is_held: bool) -> str:
    if result is None and is_held:
        return say("group.state.being_given_back")
    if result is None or result.outcome == "refused":
        return say("state.untouched")
    held = _held(result.roll)
    return say("group.state.held", members=held) if held else say("group.state.given_back")


def _launch_template(refresh: RefreshedTemplate | None) -> list[Section]:
    """The version that was made, who launches from it, and what is to be known of it."""
    if not refresh:
        return []
    image, instance, version = refresh["imageId"], refresh["instanceId"], refresh["version"]
    if not version:
        made = [say("template.asked", image=image, instance=instance)]
    else:
        source, follows = refresh["sourceVersion"], refresh["follows"]
        made = [say("template.made", version=version, source=source, image=image, instance=instance)]
        if follows == LATEST_VERSION:
            made.append(say("template.latest"))
        elif refresh["isDefault"]:
            made.append(say("template.default"))
        else:
            made.append(say("template.follows", follows=follows, version=version))
    others = [say("template.other", group=group, used=used) for group, used in sorted(refresh["otherGroups"].items())]
    rows = [
        *made,
        *([say("template.others", groups=others)] if others else []),
        *[say("machine.note", note=warning) for warning in refresh["warnings"]],
    ]
    return [Section(say("heading.launch_template", name=refresh["templateName"] or refresh["templateId"]), rows)]


def _members(members: Mapping[str, Member], done: str) -> Section:
    """A line for each; those that did not go well come first, with the reason. DynamoDB's maps keep no order."""
    ordered = sorted(members.items(), key=lambda found: (found[1].outcome == "succeeded", found[1].name, found[0]))
    rows: list[Row] = [
        say("row.reason", what=machine_text(instance_id, member.name), reason=_end_of(member, done))
        for instance_id, member in ordered[:_MOST_MEMBERS]
    ]
    more = len(ordered) - _MOST_MEMBERS
    return Section(say("heading.members"), [*rows, *([say("rows.more_members", count=more)] if more > 0 else [])])


def _outcome_text(outcome: str, done: str) -> str:
    return done if outcome == "succeeded" else say(f"outcome.{outcome}")


def _end_of(member: Member, done: str) -> str:
    went_well = member.outcome == "succeeded"
    text = _outcome_text(member.outcome, done)
    if member.move in ("hold", "replace", "exit"):
        text = say(f"member.move.{member.move}", outcome=text)
        if member.began and member.ended:
            text = say("member.after", what=text, minutes=_minutes(member.began, member.ended))
    why = "" if went_well else member.cause or (end_text(member.error) if member.error else "")
    return say("row.reason", what=text, reason=why) if why else text


def _minutes(since: datetime, until: datetime) -> int:
    return max(round((until - since).total_seconds() / 60), 1)
