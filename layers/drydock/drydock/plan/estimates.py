"""How long machines and groups are expected to take: from their history, or else as the sum of the steps. All pure.

What no run has shown yet is a guess, and is called one wherever people read it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal, NamedTuple, TypedDict

from drydock.catalogue.saying import say
from drydock.records.history import History
from drydock.request.policy import (
    INSTALL_WINDOWS_UPDATES,
    RUN_PATCH_BASELINE,
    SSM_AGENT,
    HookPolicy,
    Policy,
    of_member,
)

Basis = Literal["own history", "last failure", "patch group", "guess"]
"""What an estimate comes from, the surest first."""


class Figure(NamedTuple):
    """How long one step takes, in seconds, and where that is from: `assumed` where nobody says it."""

    linux: int
    windows: int
    source: Literal["assumed", "pings", "pause", "drain"] = "assumed"


IMAGE = Figure(300, 600)
"""Until the snapshots of the volumes are complete: mostly the blocks that have changed since the last one."""
SNAPSHOTS = Figure(30, 30)
"""Until the snapshots of an image have begun: what is in it is certain then."""
IMAGE_REBOOT = Figure(120, 300)
"""Down and up again for the image of a running machine; its agent comes online meanwhile."""
START = Figure(90, 240)
AGENT = Figure(60, 120)
COMMAND = Figure(15, 30)
"""A probe."""
HOOK = Figure(120, 120)
INSTALL = Figure(600, 2100)
WINDOWS_UPDATE = Figure(600, 2700)
"""Windows Update downloads while it installs."""
AGENT_UPDATE = Figure(120, 180)
AGENT_SILENCE = Figure(300, 300, "pings")
REBOOT = Figure(150, 480)
PAUSE = Figure(120, 120, "pause")
SCAN = Figure(60, 180)
STOP = Figure(60, 180)
DRAIN = Figure(300, 300, "drain")
"""The default of a target group:
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html"""
STANDBY = Figure(30, 30)
IN_SERVICE = Figure(120, 180)
"""Out of standby, and healthy again in the group and its target groups."""
MAKE_ROOM = Figure(30, 30)
SURGE = Figure(300, 600)
"""A surge instance is launched, boots and is healthy."""
REMOVE_SURGE = Figure(60, 60)
RESTORE = Figure(30, 30)


def _leaving() -> list[tuple[str, Figure]]:
    """What a member does before it is worked on, and nothing else does."""
    return [(say("guess.step.drain"), DRAIN), (say("guess.step.standby"), STANDBY)]


FEWEST_TO_SHORTEN = 3
"""So many machines of a run have to be quicker than expected before others are expected to be. One that was slower
counts at once: to begin a machine too late costs more than to leave one for the next window."""
_PARTS = 20
"""What machines took is counted in twentieths of what was expected."""
_MOST_PARTS = 10 * _PARTS


class PlannedStep(TypedDict):
    """A step of a guess: what is done, how many seconds it is expected to take, and where that figure is from."""

    what: str
    seconds: int
    source: str


class Breakdown(TypedDict):
    """What a guess consists of. `of` says of what: `Linux, running`, or a part of a roll."""

    of: str
    seconds: int
    steps: list[PlannedStep]


@dataclass(frozen=True)
class Estimate:
    """How long a machine is expected to take, and from how many runs that is known: none for a guess."""

    seconds: int
    basis: Basis
    samples: int = 0


@dataclass(frozen=True)
class RollEstimate:
    """How long a roll is expected to take: once before its first batch, for each batch, and once after the last."""

    before: int
    turns: tuple[int, ...]
    after: int

    @property
    def seconds(self) -> int:
        """Until the group is as it was found."""
        return self.before + sum(self.turns) + self.after

    @property
    def least(self) -> int:
        """With one batch only, the slowest."""
        return self.before + max(self.turns) + self.after

    def batches_until(self, last_admission: timedelta, end: timedelta) -> int:
        """How many batches leave service before the last admission and are done by the end, from its beginning.

        What has to be done after the last of them is done by the end as well.
        """
        at = self.before
        for number, turn in enumerate(self.turns):
            if timedelta(seconds=at) >= last_admission or timedelta(seconds=at + turn + self.after) > end:
                return number
            at += turn
        return len(self.turns)


def _step(what: str, figure: Figure, platform: str) -> PlannedStep:
    return {
        "what": what,
        "seconds": figure.windows if platform == "Windows" else figure.linux,
        "source": say(f"guess.source.{figure.source}"),
    }


def steps_of_machine(policy: Policy, platform: str, power: str, *, is_member: bool) -> list[PlannedStep]:
    """What is done to a machine of which nothing is known, step by step, as *PatchInstance* does it.

    A member of a group leaves service in it; its return is the roll's.
    """
    leaves = is_member and policy["operation"] != "Scan"
    done = of_member(policy) if is_member else policy
    return [_step(what, figure, platform) for what, figure in _steps(done, power != "stopped", leaves)]


def _steps(policy: Policy, runs: bool, leaves: bool) -> Iterator[tuple[str, Figure]]:
    backup, installs = policy["backup"], policy["operation"] == "Install"
    looks = installs and runs and policy["whenCompliant"] == "leave"
    if looks:
        passes_meanwhile = backup["before"]["take"] and backup["before"]["wait"] == "available"
        yield from _steps_of_look(policy, pauses=leaves or not passes_meanwhile)
    if leaves:
        yield from _leaving()
    drains = installs and bool(policy["hooks"]["beforeAnything"])
    if runs and drains:
        yield say("guess.step.hook", document=policy["hooks"]["beforeAnything"]), HOOK
    if installs and backup["before"]["take"]:
        if backup["before"]["wait"] == "begun":
            yield say("guess.step.snapshots_of_the_image_before"), SNAPSHOTS
        else:
            yield say("guess.step.image_before"), IMAGE
        if runs and backup["before"]["reboot"]:
            yield say("guess.step.reboot_for_the_image_before"), IMAGE_REBOOT
    if not runs:
        yield say("guess.step.start"), START
        yield say("guess.step.agent_ready"), AGENT
    yield say("guess.step.probe_before"), COMMAND
    if not runs and drains:
        yield say("guess.step.hook", document=policy["hooks"]["beforeAnything"]), HOOK
    if installs:
        yield from _steps_of_installation(policy, runs=runs, has_looked=looks)
    elif policy["operation"] == "Scan":
        yield say("guess.step.scan"), SCAN
    else:
        yield from _steps_of_agents(policy)
    if not runs:
        yield say("guess.step.stop"), STOP


def _steps_of_look(policy: Policy, *, pauses: bool) -> Iterator[tuple[str, Figure]]:
    """Of a machine on which something is missing: for one on which nothing is, the look is all."""
    yield say("guess.step.probe_at_first"), COMMAND
    yield say("guess.step.scan_at_first"), SCAN
    if pauses and policy["document"] == RUN_PATCH_BASELINE:
        yield say("guess.step.pause_after_the_look"), PAUSE


def _steps_of_installation(policy: Policy, *, runs: bool, has_looked: bool) -> Iterator[tuple[str, Figure]]:
    hooks: HookPolicy = policy["hooks"]
    pauses = policy["document"] == RUN_PATCH_BASELINE
    if (hooks["preInstall"] or hooks["postInstall"]) and not has_looked:
        yield say("guess.step.scan_before"), SCAN
        if pauses:
            yield say("guess.step.pause_before_the_installation"), PAUSE
    if hooks["preInstall"]:
        yield say("guess.step.hook", document=hooks["preInstall"]), HOOK
    yield say("guess.step.installation"), WINDOWS_UPDATE if policy["document"] == INSTALL_WINDOWS_UPDATES else INSTALL
    if hooks["postInstall"]:
        yield say("guess.step.hook", document=hooks["postInstall"]), HOOK
        if pauses and policy["reboot"] == "RebootIfNeeded":
            yield say("guess.step.pause_before_the_reboot"), PAUSE
    if policy["reboot"] == "WhenNeeded":
        yield say("guess.step.probe_after_the_installation"), COMMAND
    if policy["reboot"] in ("RebootIfNeeded", "WhenNeeded"):
        yield say("guess.step.reboot"), REBOOT
    if runs and policy["backup"]["after"]["take"] and policy["backup"]["after"]["reboot"]:
        yield say("guess.step.probe_before_the_image_after"), COMMAND
        yield say("guess.step.snapshots_of_the_image_after"), SNAPSHOTS
        yield say("guess.step.reboot_for_the_image_after"), IMAGE_REBOOT
    if hooks["onExit"]:
        yield say("guess.step.hook", document=hooks["onExit"]), HOOK
    yield say("guess.step.probe_after"), COMMAND
    if pauses:
        yield say("guess.step.pause_before_the_proving_scan"), PAUSE
    yield say("guess.step.proving_scan"), SCAN
    if policy["healthProbe"]:
        yield say("guess.step.health_probe"), COMMAND


def _steps_of_agents(policy: Policy) -> Iterator[tuple[str, Figure]]:
    for agent in policy["agents"]:
        yield say("guess.step.update", agent=agent), AGENT_UPDATE
        if agent == SSM_AGENT:
            yield say("guess.step.agent_calls_in"), AGENT_SILENCE
    yield say("guess.step.probe_after"), COMMAND


_OF_INTENTS: Mapping[str, Figure] = {
    "image": IMAGE,
    "start": START,
    "probe": COMMAND,
    "scan": SCAN,
    "installFinish": REBOOT,
    "install": INSTALL,
    "update": AGENT_UPDATE,
    "healthProbe": COMMAND,
    "stop": STOP,
    "standby": STANDBY,
    "exit": IN_SERVICE,
    "surge": SURGE,
    "removeSurge": REMOVE_SURGE,
}
"""How long the work of an intent takes (`records.intents`), by how its name begins; the longest one counts."""


def expected_of_step(intent: str, platform: str) -> int:
    """How many seconds the work of an intent is expected to take; 0 where nobody says."""
    if intent.endswith("Hook"):
        return _step(intent, HOOK, platform)["seconds"]
    known = [name for name in _OF_INTENTS if intent.startswith(name)]
    return _step(intent, _OF_INTENTS[max(known, key=len)], platform)["seconds"] if known else 0


def steps_before_roll(policy: Policy, platform: str) -> list[PlannedStep]:
    """What a roll does once before its first batch. A Scan takes nobody out of service, so it needs no room."""
    if policy["operation"] == "Scan":
        return []
    steps = [_step(say("guess.step.making_room"), MAKE_ROOM, platform)]
    if policy["operation"] == "Install" and policy["refreshLaunchTemplate"]["enabled"]:
        steps.append(_step(say("guess.step.reboot_of_one_member_for_the_template_image"), IMAGE_REBOOT, platform))
    return (
        [*steps, _step(say("guess.step.surge_instances"), SURGE, platform)] if policy["capacity"] == "surge" else steps
    )


def steps_around_member(policy: Policy, platform: str) -> list[PlannedStep]:
    """What is done for each batch of members besides the work on them."""
    if policy["operation"] == "Scan":
        return []
    return [_step(say("guess.step.back_in_service_and_healthy"), IN_SERVICE, platform)]


def steps_after_roll(policy: Policy, platform: str) -> list[PlannedStep]:
    """What a roll does once after its last batch."""
    if policy["operation"] == "Scan":
        return []
    restore = _step(say("guess.step.restoring_the_group"), RESTORE, platform)
    surge = _step(say("guess.step.removing_surge_instances"), REMOVE_SURGE, platform)
    return [surge, restore] if policy["capacity"] == "surge" else [restore]


def total_of(steps: Sequence[PlannedStep]) -> int:
    """The seconds of all steps together."""
    return sum(step["seconds"] for step in steps)


def break_down(of: str, steps: Sequence[PlannedStep]) -> Breakdown:
    """A guess with its steps, to be shown."""
    return {"of": of, "seconds": total_of(steps), "steps": list(steps)}


def savings_of(policy: Policy, platform: str, power: str) -> list[tuple[str, int]]:
    """What of the policy makes a machine take longer that it could do without, and the minutes that this saves."""
    if policy["operation"] != "Install":
        return []
    backup = policy["backup"]
    changes: dict[str, Policy] = {
        "backup.before.reboot false": {
            **policy,
            "backup": {**backup, "before": {**backup["before"], "reboot": False}},
        },
        "backup.before.wait begun": {
            **policy,
            "backup": {**backup, "before": {**backup["before"], "wait": "begun"}},
        },
    }
    whole, *others = (
        total_of(steps_of_machine(one, platform, power, is_member=False)) for one in (policy, *changes.values())
    )
    saved = {change: whole - other for change, other in zip(changes, others, strict=True)}
    return [(change, whole_minutes(seconds)) for change, seconds in saved.items() if seconds > 0]


def estimate_roll(policy: Policy, platform: str, seconds: Collection[int]) -> RollEstimate:
    """Of a group whose members take so long, in batches. The slower ones decide how long a batch takes."""
    count = -(-len(seconds) // policy["batch"])
    around = total_of(steps_around_member(policy, platform))
    return RollEstimate(
        total_of(steps_before_roll(policy, platform)),
        tuple(work + around for work in sorted(seconds, reverse=True)[:count]),
        total_of(steps_after_roll(policy, platform)),
    )


class Estimates:
    """How long machines take, from what is known of their past, else by what is to be done."""

    def __init__(self, history: Mapping[str, History], policy: Policy, room: timedelta) -> None:
        """`room` is what an empty window takes: a failure teaches no more than that, or it would end all attempts."""
        self._history = history
        self._policy = policy
        self._room = int(room.total_seconds())
        alike: dict[tuple[str, str, bool], list[int]] = {}
        for known in history.values():
            alike.setdefault((known.platform, known.patch_group, known.left_service), []).extend(known.seconds)
        self._alike = {
            kind: Estimate(_ninetieth(seconds), "patch group", len(seconds))
            for kind, seconds in alike.items()
            if seconds
        }

    def estimate(
        self, instance_id: str, platform: str, patch_group: str, power: str, *, is_member: bool = False
    ) -> Estimate:
        """Seconds that nine in ten do not exceed, of the machine itself or its like; or a guess.

        One that failed after a longer time takes at least that.
        """
        found = self._by_success(instance_id, platform, patch_group, power, is_member)
        own = self._history.get(instance_id)
        if own and own.owed and power != "stopped" and self._policy["reboot"] != "NoReboot":
            owed = _step(say("guess.step.owed_reboot"), REBOOT, platform)
            found = replace(found, seconds=found.seconds + owed["seconds"])
        at_least = min(own.failed_after, self._room) if own else 0
        return found if at_least <= found.seconds else Estimate(at_least, "last failure", 1)

    def _by_success(self, instance_id: str, platform: str, patch_group: str, power: str, is_member: bool) -> Estimate:
        own = self._history.get(instance_id)
        if own and own.seconds:
            known = Estimate(_ninetieth(own.seconds), "own history", len(own.seconds))
            return self._as_member(known, platform, has_left=own.left_service, is_member=is_member)
        # Members first for a member, and machines that stand alone for one that does.
        for has_left in (is_member, not is_member):
            if known_alike := self._alike.get((platform, patch_group, has_left)):
                return self._as_member(known_alike, platform, has_left=has_left, is_member=is_member)
        return Estimate(total_of(steps_of_machine(self._policy, platform, power, is_member=is_member)), "guess")

    def _as_member(self, known: Estimate, platform: str, *, has_left: bool, is_member: bool) -> Estimate:
        """What is known of machines that stand alone has no draining and no standby in it."""
        if has_left or not is_member or self._policy["operation"] == "Scan":
            return known
        leaving = total_of([_step(what, figure, platform) for what, figure in _leaving()])
        return replace(known, seconds=known.seconds + leaving)


def _ninetieth(seconds: Collection[int]) -> int:
    """The 90th percentile by nearest rank: a duration that has really occurred."""
    rank = -(-9 * len(seconds) // 10)
    return sorted(seconds)[rank - 1]


def whole_minutes(seconds: float) -> int:
    """Minutes as people read them of an estimate, one at least."""
    return max(1, round(seconds / 60))


def basis_text(basis: str, samples: int) -> str:
    """What an estimate comes from, for people: `a guess`, `from 4 runs of it`."""
    match basis:
        case "own history":
            return say("basis.own", count=samples)
        case "patch group":
            return say("basis.alike", count=samples)
        case "last failure":
            return say("basis.failed")
    return say("basis.guess")


def breakdown_text(breakdown: Breakdown) -> str:
    """`Linux, running: 30 min = image before 5 + installation 10 + …`"""
    steps = " + ".join(f"{step['what']} {step['seconds'] / 60:.3g}" for step in breakdown["steps"])
    return say("guess.steps", of=breakdown["of"], minutes=whole_minutes(breakdown["seconds"]), steps=steps)


# What the run itself shows


def pace_of(platform: str, basis: str) -> str:
    """The name under which it is counted how long machines of a kind took: those of one platform and one basis."""
    return f"{platform}, {basis}"


def is_guess(pace: str) -> bool:
    """Whether it is the pace of machines that no run has shown yet."""
    basis: Basis = "guess"
    return pace.endswith(f", {basis}")


def parts_taken(taken: float, expected: int) -> int:
    """How long a machine took in twentieths of what was expected, a begun one counted; ten times as long at most."""
    return max(1, min(math.ceil(_PARTS * taken / max(expected, 1)), _MOST_PARTS))


def correct(seconds: int, taken: Mapping[int, int]) -> int:
    """An estimate by what the run's machines of the same kind took: so many for each `parts_taken`.

    Nine in ten shall not exceed it. It is shortened only by several.
    """
    counted = Counter(taken)
    total = counted.total()
    if not total:
        return seconds
    parts = _ninetieth(list(counted.elements()))
    if total < FEWEST_TO_SHORTEN:
        parts = max(parts, _PARTS)
    return math.ceil(seconds * parts / _PARTS)
