"""Messages about one machine, as people read them."""

from __future__ import annotations

from datetime import datetime

from drydock.catalogue.saying import knows, say
from drydock.errors import Failure, PatchedWithoutBackupError
from drydock.records.image_watches import ImageWatch
from drydock.records.results import AgentUpdate, MadeImage, Result, Work
from drydock.telling.text import NEXT_STEPS, Location, _where, advice_for, machine_text, subject_line
from drydock.texts import first_of
from drydock.times import for_people


def _patches(work: Work) -> list[str]:
    found = work.findings
    if found is None or found.patches_after is None:
        return []
    before = found.patches_before["missing"] if found.patches_before else -1
    lines = [f"  Missing patches: {_count(before)} before, {_count(found.patches_after['missing'])} after"]
    if found.installed:
        lines.append(f"  Installed: {first_of(found.installed, 20)}")
    return lines


def _count(count: int) -> str:
    return "unknown" if count < 0 else str(count)


def _agents(work: Work) -> list[str]:
    """Each agent that was to be updated, with its versions."""
    return [_agent(update) for update in work.findings.agents] if work.findings else []


def _agent(update: AgentUpdate) -> str:
    if update["before"] == update["after"]:
        return f"{update['name']} {update['after'] or 'not installed'}"
    return f"{update['name']} {update['before'] or 'not installed'} → {update['after'] or 'not known'}"


def _is_of_agents(work: Work) -> bool:
    return work.operation == "UpdateAgents"


def _verdict(work: Work) -> str:
    if _is_of_agents(work) and knows(f"verdict_of_agents.{work.verdict}"):
        return say(f"verdict_of_agents.{work.verdict}")
    return say(f"verdict.{work.verdict}")


def _details(work: Work) -> list[str]:
    """What was found out and made, and what went wrong without failing anything."""
    hooks = work.findings.hooks if work.findings else {}
    return [
        *_patches(work),
        *[f"  Hook {hook}: {outcome}" for hook, outcome in hooks.items()],
        *[f"  {image_text(moment, image)}" for moment, image in work.images.items()],
        *[f"  Note: {problem}" for problem in work.problems],
    ]


def image_text(moment: str, image: MadeImage) -> str:
    """`Image after: ami-0123, pending, crash-consistent`"""
    told = say(f"image.state.{image['state']}") if knows(f"image.state.{image['state']}") else image["state"]
    consistency = say("image.crash_consistent") if image["crashConsistent"] else say("image.at_rest")
    return say("image.of_machine", moment=moment, id=image["imageId"], state=told, consistency=consistency)


def success_message(result: Result, work: Work, location: Location) -> tuple[str, str]:
    """Subject and text for a machine that went well."""
    machine = machine_text(result.subject.key, work.name)
    if _is_of_agents(work):
        subject = f"Drydock: {machine}: {_verdict(work)}"
        first = f"{machine}: {_verdict(work)}: {', '.join(_agents(work))}."
    elif result.outcome == "already_compliant":
        subject = f"Drydock: {machine} is compliant already"
        first = f"{machine} is compliant already: nothing is missing, no reboot is pending, and nothing was done."
    else:
        verb = "scanned" if work.verdict == "scanned" else "patched"
        subject = f"Drydock: {machine} was {verb}"
        first = f"{machine} was {verb}: {_verdict(work)}."
    lines = [
        first,
        "",
        f"  Account {location.account}, Region {location.region}",
        f"  From {for_people(result.started, location.time_zone)}",
        f"  to {for_people(result.ended, location.time_zone)}",
        f"  Power: {work.power_before} before, {work.power_after} now",
        f"  Rebooted: {'yes' if work.findings and work.findings.rebooted else 'no'}",
        *_details(work),
        *_where(location, result.holder.execution),
    ]
    return subject_line(subject), "\n".join(lines)


def failure_message(
    *,
    instance_id: str,
    name: str,
    execution: str,
    failure: Failure,
    ended: datetime,
    power: str,
    state: str,
    result: Result | None,
    location: Location,
) -> tuple[str, str]:
    """Subject and text for an execution that failed, was refused, or was killed.

    `state` says in words what becomes of the machine.
    """
    machine = machine_text(instance_id, name)
    refused, work = result is not None and result.outcome == "refused", result.work if result else None
    badly = "was not updated well" if work and _is_of_agents(work) else "was not patched well"
    what = "was refused" if refused else badly
    agents = [f"  {agent}" for agent in _agents(work)] if work else []
    details = [f"  Verdict: {_verdict(work)}", *agents, *_details(work)] if work else []
    lines = [
        f"{machine} {what}: {failure['cause'] or failure['error']}",
        "",
        f"  Reason: {failure['error']}",
        f"  Account {location.account}, Region {location.region}",
        f"  At {for_people(ended, location.time_zone)}",
        f"  The machine is {power or 'not known'} now. {state}",
        *details,
        "",
        NEXT_STEPS,
        f"  {advice_for(failure['error'])}",
        *_where(location, execution),
    ]
    return subject_line(f"Drydock: {machine} {what}: {failure['error']}"), "\n".join(lines)


def failed_image_message(watch: ImageWatch, location: Location) -> tuple[str, str]:
    """Subject and text for an image that ended badly after the work on its machine was over."""
    machine = machine_text(watch.instance_id, watch.machine)
    lines = [
        say("image.ended_badly", image=watch.image_id, moment=watch.moment, machine=machine, reason=watch.reason),
        "",
        f"  {say('image.left.patched') if watch.is_lost_backup else say(f'image.left.{watch.moment}')}",
        f"  Account {location.account}, Region {location.region}",
        "",
        NEXT_STEPS,
        f"  {advice_for(PatchedWithoutBackupError.__name__) if watch.is_lost_backup else say('image.failed.next')}",
        *_where(location, watch.holder.execution),
    ]
    return subject_line(say("image.failed.subject", machine=machine)), "\n".join(lines)


_SET_POWER = (
    "  Look at the machine. Once nothing runs on it any more you may set its power yourself;",
    "  Drydock then ends its lease at the next pass.",
)

_LET_IT_END = (
    "  Do not stop, reboot or restore the machine while something installs: see on it what does, and let that end.",
    "  Drydock asks the machine at every pass, and gives it back by itself once it says that nothing installs.",
    "  Where its agent cannot answer any more, see for yourself that nothing installs, then stop the machine",
    "  (terminate it, if it is a member of a group): Drydock then ends its lease at the next pass.",
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
) -> tuple[str, str]:
    """Subject and text for a machine that Drydock could not give back for a long time.

    `may_install` says that an installation may go on behind the end of its command; `group` is empty for no member.
    """
    machine = machine_text(instance_id, name)
    stays = f" It is a member of group {group}, and stays out of service until then." if group and may_install else ""
    lines = [
        f"{machine} could not be given back yet: {hindrance}.",
        "",
        f"  Account {location.account}, Region {location.region}",
        f"  The machine is {power or 'not known'} now. Drydock keeps its lease and goes on trying.{stays}",
        "",
        NEXT_STEPS,
        *(_LET_IT_END if may_install else _SET_POWER),
        *_where(location, execution),
    ]
    return subject_line(f"Drydock: {machine} could not be given back yet"), "\n".join(lines)
