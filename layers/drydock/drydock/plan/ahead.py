"""Carrying out in a window what was approved before it opened. All of it is pure.

Nothing is added to what was approved: what the window means besides waits for the next plan, and what cannot be touched
now is dropped, by name. What does not hold any more is a reason to ask anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from drydock.catalogue.saying import say
from drydock.errors import InstanceNotFoundError
from drydock.plan.making import Earlier, Facts, begin_of, describe_window, first_begin, own_snapshot, sort_out
from drydock.plan.plans import (
    Candidate,
    DraftWave,
    Plan,
    find_too_long,
    gather_groups,
    guesses_of,
    planned_machines,
    planned_waves,
    predict,
    show_missing,
    slots_of,
)
from drydock.plan.showing import names_of
from drydock.plan.targets import LeftOut, leave_out
from drydock.request.policy import Policy
from drydock.subject import subject_of_item
from drydock.times import to_text


class NotCarriedOutError(Exception):
    """Raised when an approved plan does not hold any more; its text says why, as part of a sentence."""


def require_same_policy(plan: Plan, now: Policy) -> None:
    """Raises NotCarriedOutError where the settings of now make another policy of what the plan's input gave.

    Approvals and gates may be stricter: they count, and change nothing of what was approved.
    """
    then, new = _compared(plan["policy"]), _compared(now)
    changed = sorted(key for key in then.keys() | new.keys() if then.get(key) != new.get(key))
    if changed:
        raise NotCarriedOutError(say("ahead.settings", run=plan["runId"], keys=changed))


def _compared(policy: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in policy.items() if key not in ("approval", "gates", "deadlineMinutes")}


def carry_out(facts: Facts, earlier: Earlier, said: str) -> Plan:
    """The approved plan, as far as it holds, at the times of now. `said` says who approved it.

    `facts` are those of the window that is open, with the plan's policy. Raises NotCarriedOutError.
    """
    approved, policy = earlier.plan, facts.policy
    if not earlier.is_snapshot_unused and not earlier.snapshot_lives(facts.frame.end):
        raise NotCarriedOutError(say("ahead.snapshot", run=earlier.run.run_id, follows=approved["follows"]))
    names = names_of(approved)
    found = [one for one in facts.instances if one["InstanceId"] in names]
    candidates, dropped = sort_out(replace(facts, instances=found))
    entries = {one.subject: one for one in gather_groups(candidates, policy)}
    waves = _waves(approved, entries)
    if any(one["isCanary"] for one in approved["waves"]) and not any(wave.is_canary for wave in waves) and waves:
        raise NotCarriedOutError(say("ahead.canary", run=earlier.run.run_id))
    planned = {member.subject.key for wave in waves for entry in wave.machines for member in entry.machines}
    dropped += _lost(names, planned, dropped)
    schedule = predict(
        waves,
        first_begin(facts),
        slots_of(policy["maxConcurrency"], sum(len(wave.machines) for wave in waves), 1),
        timedelta(minutes=policy["soakMinutes"]),
        facts.frame.end,
        facts.frame.last_admission,
    )
    machines = planned_machines(waves, schedule, policy["batch"])
    show_missing(machines, facts.missing_patches)
    others = [one for one in facts.instances if one["InstanceId"] not in names]
    waiting, without = sort_out(replace(facts, instances=others))
    return {
        **approved,
        "runId": facts.run.run_id,
        "createdAt": to_text(facts.now),
        "policy": policy,
        "carriesOut": earlier.run.run_id,
        "snapshotId": own_snapshot(facts.run) if earlier.is_snapshot_unused else approved["snapshotId"],
        "window": describe_window(facts.frame.window),
        "targets": [target for group in facts.target_groups for target in group],
        "targetGroups": [list(group) for group in facts.target_groups],
        "end": to_text(facts.frame.end),
        "lastAdmission": to_text(facts.frame.last_admission),
        "predictedEnd": to_text(schedule.predicted_end),
        "machines": machines,
        "waves": planned_waves(facts.run.run_id, waves),
        "guesses": guesses_of([entry for wave in waves for entry in wave.machines], policy),
        "leftOut": sorted(
            [*facts.missing, *dropped, *without], key=lambda left: (left["error"], left["name"], left["instanceId"])
        ),
        "warnings": [
            said,
            *([say("ahead.dropped", count=len(dropped), names=[_name(one) for one in dropped])] if dropped else []),
            *([say("ahead.waiting", count=len(waiting), names=_names(waiting))] if waiting else []),
            *(facts.frame.window.warnings if facts.frame.window else ()),
        ],
        "tooLong": find_too_long(machines, policy, facts.frame.end - begin_of(facts)),
    }


def _waves(approved: Plan, entries: Mapping[Any, Candidate]) -> list[DraftWave]:
    """The approved order and waves, without what is dropped."""
    waves = []
    for number, wave in enumerate(approved["waves"]):
        subjects = [subject_of_item(one) for one in approved["machines"] if one["wave"] == number]
        machines = tuple(entries[subject] for subject in subjects if subject in entries)
        if machines:
            waves.append(DraftWave(machines, wave["isCanary"]))
    return waves


def _lost(names: Mapping[str, str], planned: set[str], dropped: Sequence[LeftOut]) -> list[LeftOut]:
    """Those that the window does not mean any more, gone or not, or that are in another group than the plan says."""
    known = {*planned, *(one["instanceId"] for one in dropped)}
    return [
        leave_out(key, "" if name == key else name, InstanceNotFoundError(say("ahead.lost", id=key)))
        for key, name in names.items()
        if key not in known
    ]


def _names(candidates: Sequence[Candidate]) -> list[str]:
    return [one.label for one in candidates]


def _name(left: LeftOut) -> str:
    return left["name"] or left["instanceId"]
