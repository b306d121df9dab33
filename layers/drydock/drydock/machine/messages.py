"""Messages about one machine, as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from drydock.catalogue.saying import say
from drydock.errors import Failure, PatchedWithoutBackupError
from drydock.records.image_watches import ImageWatch
from drydock.records.results import Result, Work
from drydock.telling.commands import aws
from drydock.telling.details import (
    PROVED,
    describe_work,
    detail_rows,
    end_text,
    is_unwell,
    repeats_output,
    step_rows,
    urgency_of,
    verdict_text,
)
from drydock.telling.message import Message, Row, Section, Urgency, place, steps, where
from drydock.telling.text import Location, advice_for, machine_text
from drydock.times import from_text, in_zone


def _times(result: Result, location: Location) -> str:
    return say(
        "machine.times",
        begun=in_zone(result.started, location.time_zone),
        ended=in_zone(result.ended, location.time_zone),
        minutes=round((result.ended - result.started).total_seconds() / 60),
    )


def _details(instance_id: str, work: Work, location: Location, bucket: str) -> list[Row]:
    """What is known of a machine; with the last lines of error output where the policy wants them in messages."""
    wanted = work.findings is not None and repeats_output(work.findings.policy)
    return detail_rows(instance_id, describe_work(work), location, bucket, with_output=wanted)


def _steps(work: Work | None, location: Location) -> Section:
    return Section(say("heading.steps"), step_rows(work.steps, location.time_zone) if work else [])


def success_message(result: Result, work: Work, location: Location, bucket: str) -> Message:
    """For a machine that went well."""
    urgency, what = _success(machine_text(result.subject.key, work.name), result, work, location.time_zone)
    return Message(
        urgency=urgency,
        what=what,
        zone=location.time_zone,
        facts=[place(location), _times(result, location), *_details(result.subject.key, work, location, bucket)],
        sections=[_steps(work, location), where([], result.holder.execution, location)],
    )


def _success(machine: str, result: Result, work: Work, zone: str) -> tuple[Urgency, str]:
    verdict = verdict_text(work.operation, work.verdict)
    if work.restored is not None:
        taken = in_zone(from_text(work.restored["takenAt"]), zone)
        return "nothing", say("machine.restored", machine=machine, taken=taken)
    if work.operation == "UpdateAgents":
        return "nothing", say("machine.agents", machine=machine, verdict=verdict)
    if result.outcome == "already_compliant":
        return "nothing", say("machine.compliant", machine=machine)
    if work.verdict == "scanned":
        return _scanned(machine, work)
    if work.verdict == "compliant" and work.problems:
        return "tomorrow", say("machine.patched.noted", machine=machine)
    if work.verdict == "compliant":
        return "nothing", say("machine.patched", machine=machine)
    return "tomorrow", say("machine.patched.but", machine=machine, verdict=verdict)


def _scanned(machine: str, work: Work) -> tuple[Urgency, str]:
    after = work.findings.patches_after if work.findings else None
    if after is None or after["missing"] < 0:
        return "tomorrow", say("machine.scanned.unknown", machine=machine)
    if after["missing"]:
        return "tomorrow", say("machine.scanned.missing", machine=machine, count=after["missing"])
    return "nothing", say("machine.scanned", machine=machine)


def failure_message(
    *,
    instance_id: str,
    name: str,
    execution: str,
    failure: Failure,
    ended: datetime,
    power: str,
    power_before: str,
    state: str,
    result: Result | None,
    location: Location,
    bucket: str,
    run_says: Sequence[str] = (),
    may_install: bool = False,
    group: str = "",
) -> Message:
    """For an execution that failed, was refused, or was killed.

    `power_before` is empty where nothing was touched, or it is not known; `state` says in words what becomes of the
    machine, `run_says` how the run stands that it is part of. `may_install` says that the machine is not given back for
    as long as an installation may go on behind the end of its command; `group` is empty for no member.
    """
    error, work = failure["error"], result.work if result else None
    urgency, what = _failed(machine_text(instance_id, name), failure, power, power_before, result)
    cause = failure["cause"].removeprefix(f"{instance_id}: ")
    facts: list[Row] = [say("machine.reason", reason=cause or end_text(error))]
    facts += [say("machine.error", error=error), place(location)]
    facts.append(_times(result, location) if result else say("machine.at", moment=in_zone(ended, location.time_zone)))
    if work:
        facts.append(say("machine.verdict", verdict=verdict_text(work.operation, work.verdict)))
        facts += _details(instance_id, work, location, bucket)
    else:
        facts.append(say("machine.power.now", power=power) if power else say("machine.power.unknown"))
    if may_install:
        state = say("late.stays")
    todo = _let_it_end(group) if may_install else [advice_for(error)]
    return Message(
        urgency=urgency,
        what=what,
        intro=[*run_says, state],
        zone=location.time_zone,
        facts=facts,
        sections=[steps(todo), _steps(work, location), where([], execution, location)],
    )


def _failed(
    machine: str, failure: Failure, power: str, power_before: str, result: Result | None
) -> tuple[Urgency, str]:
    error, work = failure["error"], result.work if result else None
    if result is not None and result.outcome == "refused":
        return "tomorrow", say("machine.refused", machine=machine)
    if work and is_unwell(error, work.verdict):
        return "now", say("machine.patched_and_unwell", machine=machine)
    urgency, what = urgency_of(error, power_before, power), end_text(error)
    if work and work.to_work_again and power == "running":
        return "now", say("machine.may_be_drained", machine=machine, what=what)
    if power_before == "running" and power not in ("", "running"):
        return urgency, say("machine.power_changed", machine=machine, power=power, before=power_before, what=what)
    if work and work.verdict in PROVED:
        return urgency, say("machine.patched_yet", machine=machine, what=what)
    return urgency, say("machine.was", machine=machine, what=what)


def _let_it_end(group: str) -> list[str]:
    """What to do about a machine on which something may install."""
    gone = say("late.no_agent.member") if group else say("late.no_agent")
    return [say("late.let_it_end"), say("late.asks"), gone]


def failed_image_message(watch: ImageWatch, location: Location) -> Message:
    """For an image that ended badly after the work on its machine was over."""
    machine = machine_text(watch.instance_id, watch.machine)
    lost, by_hand = watch.is_lost_backup, f"{watch.instance_id}_InsteadOf_{watch.image_id}"
    return Message(
        urgency="tomorrow",
        what=say("image.failed", machine=machine),
        intro=[say("image.left.patched") if lost else say(f"image.left.{watch.moment}")],
        zone=location.time_zone,
        facts=[
            say(f"image.ended_badly.{watch.moment}", image=watch.image_id, machine=machine, reason=watch.reason),
            place(location),
        ],
        sections=[
            steps(
                [
                    advice_for(PatchedWithoutBackupError.__name__) if lost else say("image.next"),
                    aws(location, "ec2", "create-image", "--instance-id", watch.instance_id, "--name", by_hand),
                ]
            ),
            where([], watch.holder.execution, location),
        ],
    )


def not_given_back_message(
    *,
    instance_id: str,
    name: str,
    execution: str,
    hindrance: str,
    power: str,
    group: str,
    may_install: bool,
    location: Location,
    root_at_work: bool = False,
) -> Message:
    """For a machine that Drydock could not give back for a long time.

    `may_install` says that an installation may go on behind the end of its command, `root_at_work` that its root volume
    may still be replaced, or is missing; `group` is empty for no member.
    """
    stays = [say("late.member", group=group)] if group and may_install else []
    todo = [say("late.root")] if root_at_work else [say("late.set_power")]
    if may_install:
        todo = _let_it_end(group)
    return Message(
        urgency="now",
        what=say("late.what", machine=machine_text(instance_id, name)),
        intro=[say("late.keeps"), *stays],
        zone=location.time_zone,
        facts=[
            say("late.hindrance", hindrance=hindrance),
            say("machine.power.now", power=power) if power else say("machine.power.unknown"),
            place(location),
        ],
        sections=[steps(todo), where([], execution, location)],
    )
