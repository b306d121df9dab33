"""What a run will need in the night, looked at before anybody is asked: every mistake at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from drydock.approval.approvals import Ways, approvers_parameter
from drydock.approval.approvers import can_be_many, person_of, read_approvers
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import AwsCallFailedError, CalendarClosedError, InstanceNotFoundError
from drydock.plan.plans import Plan
from drydock.plan.window import WindowFacts
from drydock.request.policy import documents_of
from drydock.run.outcomes import left_to_people
from drydock.times import find_zone, for_people, from_text

_PRINCIPAL = re.compile(r"arn:[a-z-]+:(iam|sts)::[0-9]{12}:(role|user|assumed-role)/.+")


@dataclass(frozen=True)
class Needs:
    """What is not there, a sentence each."""

    missing: Sequence[str]
    """Without these the run would fail, or wait for nobody: it is refused."""
    to_do: Sequence[str]
    """What somebody should do; the run can be carried out all the same."""


def look_for_needs(services: Services, plan: Plan, window: WindowFacts | None, *, is_asked: bool) -> Needs:
    """Look at all that the plan relies on. `is_asked` says whether approvers have to be asked."""
    gates, ways = plan["policy"]["gates"], Ways.read() if is_asked else None
    missing = [*_targets_gone(plan)]
    if plan["machines"]:
        missing += _documents(services, plan)
        missing += _alarms(services, gates["alarms"])
        missing += [said for name in gates["calendars"] if (said := _calendar(services, name))]
        missing += _approvers(services, ways, plan) if ways else []
    zone = (window.time_zone if window else "") or services.environment.time_zone
    to_do = [
        *_targets_without_machines(plan),
        *_newer_documents(services, plan),
        *(_opens_late(plan, window, zone) if window else ()),
        *_subscriptions(services, ways.topic if ways else ""),
        *(_schedule(window, zone) if window else ()),
    ]
    return Needs(missing, to_do)


def _targets_gone(plan: Plan) -> Iterator[str]:
    """Where machines were named and none of them is there any more, nobody is patched, and that is no success."""
    gone = [one for one in plan["leftOut"] if one["error"] == InstanceNotFoundError.__name__]
    if gone and len(gone) == len(plan["leftOut"]) and not plan["machines"]:
        yield say("needs.targets_gone", machines=[one["instanceId"] for one in gone])


def _targets_without_machines(plan: Plan) -> Iterator[str]:
    if not plan["machines"] and not plan["leftOut"] and not plan["resumes"]:
        yield say("needs.no_machine")
    elif not plan["machines"] and (left := left_to_people(plan["leftOut"])) and not any(_targets_gone(plan)):
        yield say("needs.nothing_left", count=len(left))
    elif plan["machines"]:
        gone = [one["instanceId"] for one in plan["leftOut"] if one["error"] == InstanceNotFoundError.__name__]
        named = {value for target in plan["targets"] if target["key"] == "InstanceIds" for value in target["values"]}
        if stale := [instance_id for instance_id in gone if instance_id in named]:
            yield say("needs.targets_stale", machines=stale)


def _documents(services: Services, plan: Plan) -> Iterator[str]:
    """Hooks and health probe in the versions that the plan has pinned: are they there, unchanged, and can they run?"""
    pinned = plan.get("documents", {})
    platforms = sorted({name for machine in plan["machines"] for name in machine["platform"].split(", ")})
    for name in documents_of(plan["policy"]):
        version = pinned[name]["version"] if name in pinned else "$DEFAULT"
        try:
            document = services.ssm.find_document(name, version)
        except AwsCallFailedError as error:
            yield say("needs.document.unknown", name=name, reason=str(error))
            continue
        if document is None:
            yield (
                say("needs.document.gone", name=name, version=version)
                if name in pinned
                else say("document.missing", name=name)
            )
        elif name in pinned and document.pinned != pinned[name]:
            yield say("needs.document.changed", name=name, version=version)
        else:
            yield from filter(None, (document.why_not_on(platform) for platform in platforms))


def _newer_documents(services: Services, plan: Plan) -> Iterator[str]:
    """Hooks and health probe that somebody has changed since the plan was made: the plan's own versions are sent."""
    for name, pinned in plan.get("documents", {}).items():
        try:
            document = services.ssm.find_document(name)
        except AwsCallFailedError:
            continue
        if document is not None and document.pinned != pinned:
            yield say("needs.document.newer", name=name, version=pinned["version"], newer=document.pinned["version"])


def _alarms(services: Services, names: Sequence[str]) -> list[str]:
    known = services.cloudwatch.alarm_states(names) if names else {}
    return [say("needs.alarm", alarm=name) for name in names if name not in known]


def _calendar(services: Services, name: str) -> str:
    """Why a calendar cannot be read; empty when it can, open or closed."""
    try:
        services.ssm.calendar_state([name])
    except (AwsCallFailedError, CalendarClosedError) as error:
        return str(error)
    return ""


def _approvers(services: Services, ways: Ways, plan: Plan) -> Iterator[str]:
    """Whoever has the link may approve where links are sent; elsewhere the setting has to name somebody."""
    setting = approvers_parameter(services.environment.stack)
    approvers = read_approvers(services.ssm.parameter(setting))
    wrong = [arn for arn in approvers if not _PRINCIPAL.fullmatch(arn)]
    people = {person_of(arn) for arn in approvers if arn not in wrong}
    wanted = plan["policy"]["approval"]["minApprovals"]
    if wrong:
        yield say("needs.approvers.wrong", setting=setting, arns=wrong)
    if ways.auth == "LINK":
        return
    if not people:
        yield say("needs.approvers.nobody", setting=setting)
    elif len(people) < wanted and not any(map(can_be_many, approvers)):
        yield say("needs.approvers.few", setting=setting, count=len(people), wanted=wanted)


def _subscriptions(services: Services, approvals_topic: str) -> Iterator[str]:
    environment = services.environment
    results = services.ssm.parameter(environment.topic_parameter) or environment.topic
    for topic, what in ((results, "results"), (approvals_topic, "approvals")):
        if not topic:
            continue
        try:
            confirmed, pending = services.topics.count_subscriptions(topic)
        except AwsCallFailedError as error:
            yield say(f"needs.subscriptions.{what}", reason=str(error))
            continue
        if pending and not confirmed:
            yield say(f"needs.unheard.{what}", count=pending, topic=topic)


def _opens_late(plan: Plan, window: WindowFacts, zone: str) -> Iterator[str]:
    """A plan for a window that opens only after the plan has expired."""
    days = plan["policy"]["approval"]["ahead"]
    expires = from_text(plan["createdAt"]) + timedelta(days=days)
    if days and not window.execution_id and window.start >= expires:
        found = find_zone(zone)
        opens = window.start.astimezone(found)
        yield say("ahead.opens_late", name=window.name, opens=opens, expires=expires.astimezone(found))


def _schedule(window: WindowFacts, zone: str) -> Iterator[str]:
    """A window that opens again before it has closed is skipped, or its run is refused."""
    opens: datetime | None = window.next_start
    if opens is not None and opens < window.end:
        yield (
            say(
                "needs.window_overlaps",
                name=window.name,
                opens=for_people(opens, zone),
                end=for_people(window.end, zone),
            )
        )
