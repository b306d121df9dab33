"""What a plan would do, as approvers read it: lines of a heading and a text, the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

from drydock.catalogue.saying import first_of, say
from drydock.plan.plans import Plan, PlannedMachine, PlannedMember, count_planned, machines_of, members_of, slots_of
from drydock.request.policy import Policy
from drydock.times import from_text

Line = tuple[str, str]
"""A heading and what it is about, each without an end of its own."""


def what_is_planned(plan: Plan) -> list[Line]:
    """What is done to each machine, how the run goes about them, and what is known to be missing on them."""
    return [*_done_to_machines(plan), *_way_of_the_run(plan), *_missing(plan)]


def what_is_different(plan: Plan, zone: tzinfo | None) -> list[Line]:
    """The plan that was approved last for the same targets, and what is different this time.

    Times are read in a zone; None is that of the machine which this runs on.
    """
    before = plan.get("approvedBefore")
    if before is None:
        return [(say("plan.label.before"), say("plan.before.none"))]
    at = from_text(before["at"]).astimezone(zone)
    first = (say("plan.label.before"), say("plan.before", run=before["runId"], moment=at))
    return [first, *((say("plan.label.different"), said) for said in before["differences"] or [say("plan.same")])]


def missing_text(machine: PlannedMachine | PlannedMember, zone: tzinfo | None) -> str:
    """How many patches a machine misses, and since when that is known; empty where it is not."""
    if "missing" not in machine:
        return ""
    at = from_text(machine["missingAt"]).astimezone(zone)
    return say("plan.missing.of_machine", count=machine["missing"], moment=at)


def _done_to_machines(plan: Plan) -> Iterator[Line]:
    policy = plan["policy"]
    what = say("plan.label.what")
    if plan["operation"] == "UpdateAgents":
        yield what, say("plan.what.agents", agents=policy["agents"])
    else:
        yield what, say("plan.what.patches", operation=plan["operation"], document=policy["document"])
    if plan["operation"] == "Install":
        yield say("plan.label.reboots"), say(f"plan.reboots.{policy['reboot']}")
        yield say("plan.label.images"), "; ".join(_images(policy))
        yield say("plan.label.hooks"), "; ".join(_hooks(plan)) or say("plan.hooks.none")
    if plan["operation"] != "Scan":
        probe = policy["healthProbe"]
        yield say("plan.label.probe"), _document(plan, probe) if probe else say("plan.probe.none")


def _images(policy: Policy) -> list[str]:
    backup = policy["backup"]
    taken = [
        say(f"plan.images.{moment}.reboot") if wanted["reboot"] else say(f"plan.images.{moment}")
        for moment, wanted in (("before", backup["before"]), ("after", backup["after"]))
        if wanted["take"]
    ]
    if backup["before"]["take"] and backup["before"]["wait"] == "begun":
        taken.append(say("plan.images.begun"))
    if taken and not backup["members"]:
        taken.append(say("plan.images.not_of_members"))
    return taken or [say("plan.images.none")]


def _hooks(plan: Plan) -> list[str]:
    hooks = plan["policy"]["hooks"]
    return [f"{moment}: {_document(plan, str(name))}" for moment, name in hooks.items() if name]


def _document(plan: Plan, name: str) -> str:
    """A document of the account, with the version that is sent; without, where nobody could look."""
    pinned = plan.get("documents", {}).get(name)
    return say("plan.document", name=name, version=pinned["version"]) if pinned else name


def _way_of_the_run(plan: Plan) -> Iterator[Line]:
    policy, machines = plan["policy"], count_planned(plan)
    at_once = min(slots_of(policy["maxConcurrency"], len(plan["machines"]), 1), max(len(plan["machines"]), 1))
    yield say("plan.label.at_once"), _of_share(say("plan.at_once", count=at_once), policy["maxConcurrency"])
    errors = slots_of(policy["maxErrors"], machines, 0)
    said = say("plan.may_fail", count=errors) if errors else say("plan.may_fail.none")
    yield say("plan.label.may_fail"), _of_share(said, policy["maxErrors"])
    yield say("plan.label.canary"), _canary(plan)
    gates = policy["gates"]
    said = "; ".join(
        [
            *([say("plan.gates.alarms", names=gates["alarms"])] if gates["alarms"] else []),
            *([say("plan.gates.calendars", names=gates["calendars"])] if gates["calendars"] else []),
        ]
    )
    yield say("plan.label.gates"), said or say("plan.gates.none")


def _of_share(said: str, given: str | int) -> str:
    return say("plan.share", said=said, share=given) if str(given).endswith("%") else said


def _canary(plan: Plan) -> str:
    count = sum(wave["count"] for wave in plan["waves"] if wave["isCanary"])
    minutes = plan["policy"]["soakMinutes"]
    if not count:
        return say("plan.canary.none")
    return say("plan.canary.soak", count=count, minutes=minutes) if minutes else say("plan.canary", count=count)


def _missing(plan: Plan) -> Iterator[Line]:
    """Nothing where no patch state was looked at: a plan of agents, or of Windows Update by itself."""
    machines = [one for entry in plan["machines"] for one in machines_of(entry)]
    known = [one for one in machines if "missing" in one]
    lacking = [one for one in known if one["missing"]]
    if not known:
        return
    said = (
        say("plan.missing", count=sum(one["missing"] for one in lacking), machines=len(lacking))
        if lacking
        else say("plan.missing.nothing", machines=len(known))
    )
    if len(known) < len(machines):
        said = f"{said}; {say('plan.missing.unknown', machines=len(machines) - len(known))}"
    yield say("plan.label.missing"), said
    if len(lacking) > 1:
        worst = sorted(lacking, key=lambda one: -one["missing"])
        names = [
            say("plan.missing.worst", name=one["name"] or one["instanceId"], count=one["missing"]) for one in worst
        ]
        yield say("plan.label.worst"), first_of(names)


def names_of(plan: Plan) -> dict[str, str]:
    """The machines of a plan, by id: how people call each."""
    return {
        one["instanceId"]: one["name"] or one["instanceId"] for entry in plan["machines"] for one in members_of(entry)
    }
