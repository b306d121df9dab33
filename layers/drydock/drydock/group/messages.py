"""Messages about rolls through Auto Scaling groups, as people read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from drydock.aws.autoscaling import LATEST_VERSION
from drydock.catalogue.saying import one_line, say
from drydock.errors import Failure
from drydock.records.results import Member, RefreshedTemplate, Result, Roll
from drydock.telling.text import Location, advice_for, console_link, machine_text, subject_line
from drydock.times import for_people

_MOST_MEMBERS = 20

_OUTCOMES = {
    "succeeded": "patched",
    "already_compliant": "compliant already",
    "failed": "failed",
    "gone": "gone meanwhile",
    "busy": "busy",
    "skipped": "skipped",
    "not_attempted": "not attempted",
}
_MOVES = {"hold": "held in standby", "replace": "replaced", "exit": "back in service"}


def group_message(
    group_name: str,
    execution: str,
    failure: Failure | None,
    result: Result | None,
    location: Location,
    *,
    is_held: bool = False,
) -> tuple[str, str]:
    """Subject and text for a roll that is over.

    Without a result the group is being given back still when the roll holds its lease, and otherwise was not touched.
    """
    roll = result.roll if result else None
    members = roll.members if roll else {}
    what = _what(failure, result)
    counts = Counter(member.outcome for member in members.values())
    words = {**_OUTCOMES, "succeeded": _done(roll)}
    said = ", ".join(f"{counts[outcome]} {text}" for outcome, text in words.items() if counts[outcome])
    lines = [
        f"Auto Scaling group {group_name} {what}" + (f": {failure['cause'] or failure['error']}" if failure else "."),
        "",
        *([f"  Reason: {failure['error']}"] if failure else []),
        f"  Account {location.account}, Region {location.region}",
        *_times(result, location),
        *([f"  Members: {said}"] if said else []),
        f"  {_state(result, is_held)}",
        *[f"  Note: {one_line(problem)}" for problem in (roll.problems if roll else [])],
        *_launch_template(roll.launch_template if roll else None),
        *_members(members, words["succeeded"]),
    ]
    if failure:
        lines += ["", "What to do next", f"  {advice_for(failure['error'])}"]
    lines += ["", "Where to look", f"  Execution: {console_link(execution, location)}"]
    return subject_line(
        f"Drydock: group {group_name} {what}" + (f": {failure['error']}" if failure else "")
    ), "\n".join(lines)


def needs_attention(roll: Roll) -> bool:
    """Whether a group is not as it was found, or a member stays out."""
    return bool(roll.problems) or bool(_held(roll))


def _held(roll: Roll | None) -> list[str]:
    return [instance_id for instance_id, member in roll.members.items() if member.move == "hold"] if roll else []


def group_not_given_back_message(
    group_name: str, execution: str, hindrance: str, location: Location
) -> tuple[str, str]:
    """Subject and text for a group that Drydock could not give back for a long time."""
    lines = [
        f"Auto Scaling group {group_name} could not be given back yet: {hindrance}.",
        "",
        f"  Account {location.account}, Region {location.region}",
        "  Members may be in standby still. Drydock keeps its lease and goes on trying.",
        "",
        "What to do next",
        "  See which members are in standby, and let them leave it yourself; Drydock then ends its lease.",
        "",
        "Where to look",
        f"  Execution: {console_link(execution, location)}",
    ]
    return subject_line(f"Drydock: group {group_name} could not be given back yet"), "\n".join(lines)


def _done(roll: Roll | None) -> str:
    return say(f"done.{roll.operation if roll else 'Install'}")


def _what(failure: Failure | None, result: Result | None) -> str:
    if result is not None and result.outcome == "refused":
        return "was refused"
    if failure:
        return "was not rolled through well"
    done = _done(result.roll if result else None)
    return "was rolled through" if done == "patched" else f"was {done}"


def _times(result: Result | None, location: Location) -> list[str]:
    if result is None:
        return []
    return [
        f"  From {for_people(result.started, location.time_zone)}",
        f"  to {for_people(result.ended, location.time_zone)}",
    ]


def _state(result: Result | None, is_held: bool) -> str:
    if result is None and is_held:
        return "Drydock gives its members and the group back as soon as that is safe."
    if result is None or result.outcome == "refused":
        return "Nothing was touched."
    held = _held(result.roll)
    if held:
        return f"Held in standby, as the policy says: {', '.join(held[:_MOST_MEMBERS])}."
    return "The group was given back."


def _launch_template(refresh: RefreshedTemplate | None) -> list[str]:
    """The version that was made, who launches from it, and what is to be known of it."""
    if not refresh:
        return []
    image = f"{refresh['imageId']}, the image of {refresh['instanceId']}"
    version, follows = refresh["version"], refresh["follows"]
    if not version:
        made = f"a version with {image}, was asked for; look whether it was made."
    else:
        made = f"version {version} is version {refresh['sourceVersion']} with {image}. "
        if follows == LATEST_VERSION:
            made += "New members are launched from it."
        elif refresh["isDefault"]:
            made += "It is the default now, so new members are launched from it."
        else:
            made += f"The group launches from {follows} as before: let it use {version} when you want to."
    others = [f"{group} ({used})" for group, used in sorted(refresh["otherGroups"].items())]
    more = len(others) - _MOST_MEMBERS
    return [
        "",
        f"Launch template {refresh['templateName'] or refresh['templateId']}",
        f"  {made[:1].upper()}{made[1:]}",
        *([f"  Other groups that use it: {', '.join(others[:_MOST_MEMBERS])}"] if others else []),
        *([f"  … and {more} more"] if more > 0 else []),
        *[f"  Note: {one_line(warning)}" for warning in refresh["warnings"]],
    ]


def _members(members: Mapping[str, Member], done: str) -> list[str]:
    """A line for each; those that did not go well come first, with the reason. DynamoDB's maps keep no order."""
    ordered = sorted(members.items(), key=lambda found: (found[1].outcome == "succeeded", found[1].name, found[0]))
    lines = [
        f"  {machine_text(instance_id, member.name)}: {_end_of(member, done)}"
        for instance_id, member in ordered[:_MOST_MEMBERS]
    ]
    more = len(ordered) - _MOST_MEMBERS
    if lines:
        lines = ["", "Members", *lines]
    return [*lines, f"  … and {more} more"] if more > 0 else lines


def _end_of(member: Member, done: str) -> str:
    went_well = member.outcome == "succeeded"
    move = _MOVES.get(member.move or "", "")
    cause = "" if went_well else one_line(member.cause or member.error or "")
    minutes = f" after {_minutes(member.began, member.ended)}" if member.began and member.ended else ""
    return (
        (done if went_well else _OUTCOMES[member.outcome])
        + (f", {move}{minutes}" if move else "")
        + (f": {cause}" if cause else "")
    )


def _minutes(since: datetime, until: datetime) -> str:
    count = max(round((until - since).total_seconds() / 60), 1)
    return "1 minute" if count == 1 else f"{count} minutes"
