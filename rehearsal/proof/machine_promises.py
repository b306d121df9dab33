"""What Drydock promises of one machine that is patched by itself, judged by what is there when all is over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.deployment import Stack
from rehearsal.engine.messages import Message
from rehearsal.ledger import read_items
from rehearsal.proof.flows import DRAINING
from rehearsal.proof.promises import find_ill_treatment, find_left, find_work_left
from rehearsal.world.fleet import Fleet, Image, Machine

NOT_GIVEN_BACK = "not_given_back"
"""The outcome of messages that say what keeps a machine from being given back."""

_MAY_BE_DRAINED = "it may be drained still"

_DAY = timedelta(hours=23)
"""A day of messages, whose sweeps may come a little early or late."""


@dataclass(frozen=True)
class MachineBefore:
    """A machine as it was found."""

    machine: Machine
    missing: tuple[Any, ...]
    agent: str
    old: tuple[str, ...]
    """What ran in an older version than was installed."""

    @classmethod
    def of(cls, machine: Machine) -> MachineBefore:
        """Return the machine as it is now."""
        return cls(machine, tuple(machine.missing), machine.agent.version, tuple(machine.software.old))

    @property
    def end(self) -> str:
        """What the machine is like now, whatever anybody says about it: as found, finished, or half-way."""
        machine = self.machine
        if machine.runs_old_code:
            is_as_found = (tuple(machine.missing), tuple(machine.software.old)) == (self.missing, self.old)
            return "as found" if is_as_found else "half-way"
        if not machine.missing or machine.agent.version != self.agent:
            return "finished"
        return "as found" if tuple(machine.missing) == self.missing else "half-way"


@dataclass(frozen=True)
class MachineAllowance:
    """What a disturbance excuses.

    `repeats` is how many messages may have been sent once more, `redrives` how often the execution was begun anew, and
    `ends` how many of its ends have a result and a message of their own. Without event nobody may have heard of an
    execution that is `silent`, and there is no result of one that had not begun a journal.
    """

    repeats: int = 0
    redrives: int = 0
    ends: int = 1
    silent: bool = False
    has_journal: bool = True


@dataclass
class _Facts:
    """All that can be seen of the machine from outside."""

    account: EmbeddedAccount
    fleet: Fleet
    before: MachineBefore
    items: Sequence[Mapping[str, Any]]
    results: Sequence[Mapping[str, Any]] = field(default_factory=list)

    @property
    def machine(self) -> Machine:
        return self.before.machine

    @property
    def problems(self) -> str:
        """All that Drydock says went wrong with the machine or its images."""
        said = [problem for result in self.results for problem in result.get("problems", [])]
        images = [image for result in self.results for image in result.get("images", {}).values()]
        return " ".join([*said, *(problem for image in images for problem in image["problems"])])

    @property
    def images(self) -> list[Image]:
        return self.fleet.images.of_machine(self.machine)

    @property
    def messages(self) -> list[Message]:
        return find_told_ends(self.account, self.machine)


def find_told_ends(account: EmbeddedAccount, machine: Machine) -> list[Message]:
    """Return what people were told of ends of executions on a machine; that it is not given back yet is no end."""
    return [message for message in _find_told(account, machine) if message.attributes["outcome"] != NOT_GIVEN_BACK]


def _find_told(account: EmbeddedAccount, machine: Machine) -> list[Message]:
    return [message for message in account.messages if machine.instance_id in message.body]


def broken_machine_promises(
    account: EmbeddedAccount,
    fleet: Fleet,
    stack: Stack,
    before: MachineBefore,
    allowance: MachineAllowance | None = None,
) -> list[str]:
    """All that is not as Drydock promises. Call it when all is quiet; it makes passes of `give_back` of its own."""
    items = read_items(account, stack)
    results = [item for item in items if item["sk"].startswith("RESULT#")]
    facts = _Facts(account, fleet, before, items, sorted(results, key=lambda item: int(item["redriveCount"])))
    allowed = allowance or MachineAllowance()
    return [
        *find_ill_treatment(fleet, before.machine, most=1 + allowed.redrives),
        *find_left(items, repeats=allowed.repeats),
        *_judge_results(facts, allowed),
        *_judge_messages(facts, allowed),
        *_judge_waiting(facts, allowed),
        *_judge_truth(facts, allowed),
        *_judge_debt(facts),
        *_judge_images(facts),
        *find_drained(fleet, before.machine, facts.problems),
        *find_work_left(account, stack, {"subject": before.machine.instance_id}),
    ]


def _judge_results(facts: _Facts, allowed: MachineAllowance) -> Iterator[str]:
    counts = [int(item["redriveCount"]) for item in facts.results]
    wanted = list(range(allowed.ends))
    if counts != wanted and (allowed.has_journal or len(counts) > allowed.ends):
        yield f"results: of redrives {counts} of {wanted}"


def _judge_messages(facts: _Facts, allowed: MachineAllowance) -> Iterator[str]:
    messages, results = facts.messages, facts.results
    least = min(allowed.ends, len(results)) if allowed.silent else allowed.ends
    # That a machine may be drained still is known, and told, only when it was given back.
    most = allowed.ends + allowed.repeats + (_MAY_BE_DRAINED in facts.problems)
    if not least <= len(messages) <= most:
        yield f"messages: {len(messages)}, not {allowed.ends}: {[message.subject for message in messages]}"
    if allowed.ends == 1 and results and results[0]["outcome"] in ("succeeded", "already_compliant"):
        for message in messages:
            if message.attributes["outcome"] != "succeeded" or "not patched" in str(message.subject):
                yield f"succeeded, but people are told: {message.subject}"


def _judge_waiting(facts: _Facts, allowed: MachineAllowance) -> Iterator[str]:
    """That a machine is not given back yet is told with what hinders, and not more often than once each day."""
    told = [one for one in _find_told(facts.account, facts.machine) if one.attributes["outcome"] == NOT_GIVEN_BACK]
    early = [second.at for first, second in pairwise(told) if second.at - first.at < _DAY]
    if len(early) > allowed.repeats:
        yield f"told again within a day that it is not given back: at {early}"
    for message in told:
        if "may go on" in message.body and "something installs" not in message.body:
            yield f"nobody is told what to do about what installs: {message.body}"


def _judge_truth(facts: _Facts, allowed: MachineAllowance) -> Iterator[str]:
    """The newest record that is no refusal says what is true of the machine."""
    if not facts.results:
        return
    end = facts.before.end
    done = [item for item in facts.results if item["outcome"] != "refused"]
    tags = facts.fleet.tags(facts.machine.instance_id)
    tag = tags.get("DrydockState")
    if "DrydockStack" in tags and "tag" not in facts.problems:
        yield f"tag DrydockStack: {tags['DrydockStack']}, and nothing is in work"
    if not done:
        if (end != "as found" and facts.before.missing) or tag is not None:
            yield f"refused, but the machine is {end}, tag {tag}"
        return
    verdict, outcome = done[-1]["verdict"], done[-1]["outcome"]
    allowed_verdicts = {
        "finished": ("compliant", "updated", "unknown"),
        "as found": ("not_patched", "unknown"),
        "half-way": ("unknown", "pending_reboot", "missing"),
    }[end]
    if not facts.before.missing:
        # There was nothing to finish.
        allowed_verdicts = ("compliant", "not_patched", "unknown", "updated")
    verdicts = {item["verdict"] for item in done}
    if verdict not in allowed_verdicts and not (allowed.redrives and verdicts & set(allowed_verdicts)):
        yield f"verdict {verdict}, but the machine is {end}"
    is_put_off = verdict == "pending_reboot" and end == "half-way" and done[-1]["reboot"]["isOwed"]
    if outcome == "succeeded" and not is_put_off and (end != "finished" or verdict not in ("compliant", "updated")):
        yield f"outcome {outcome}, verdict {verdict}, the machine is {end}"
    wanted = "Completed" if outcome == "succeeded" and verdict in ("compliant", "pending_reboot") else None
    if tag != wanted and "tag" not in facts.problems:
        yield f"tag DrydockState: {tag}, outcome {outcome}"
    for result in done:
        if result["powerAfter"] != facts.machine.spec.power:
            yield f"result {result['redriveCount']}: powerAfter {result['powerAfter']}"


def _judge_debt(facts: _Facts) -> Iterator[str]:
    """A reboot that is owed is written down, and what is not owed is not; nobody calls compliant what runs old code."""
    machine = facts.machine
    [owed] = [item.get("owedBoot") for item in facts.items if item["sk"] == f"Install#{machine.instance_id}"] or [None]
    done = [item for item in facts.results if item["outcome"] != "refused"]
    if not done:
        return
    newest = done[-1]
    if newest["verdict"] == "compliant" and machine.runs_old_code and newest["operation"] == "Install":
        yield f"called compliant, and it runs the old {', '.join(machine.software.old)}"
    is_owed = newest["reboot"]["isOwed"] if "reboot" in newest else None
    has_tag = "DrydockRebootOwed" in facts.fleet.tags(machine.instance_id)
    # Who fails while it pays has not asked the machine since, and what it owed stands until the next look.
    paid = [one["step"] for one in newest.get("commands", []) if one["step"].startswith("installFinishBefore")]
    is_unasked = bool(is_owed and owed and paid) and newest["outcome"] == "failed"
    if is_owed is not None and not is_unasked and is_owed is not (owed == machine.boot_id):
        yield f"the result says of an owed reboot {is_owed}, and out of boot {owed} one is, in boot {machine.boot_id}"
    if is_owed is not None and has_tag is not is_owed and "tag" not in facts.problems:
        yield f"tag DrydockRebootOwed: {has_tag}, owed: {is_owed}"
    policy: Mapping[str, Any] = next((item["policy"] for item in facts.results if "policy" in item), {})
    if policy.get("reboot") == "Later" and machine.runs_old_code and machine.spec.power == "running" and not owed:
        yield "it runs old code, and no reboot is owed"


def find_drained(fleet: Fleet, machine: Machine, problems: str) -> Iterator[str]:
    """Say whether the machine was drained and nobody has let it work again, though it runs, or said that it may be."""
    is_drained = False
    for command in reversed(fleet.run_command.list_visible(None, machine.instance_id)):
        reached = [one for one in command.invocations if one.started is not None]
        if command.document.name == DRAINING["beforeAnything"] and reached:
            is_drained = True
        elif command.document.name == DRAINING["onExit"] and any(one.status == "Success" for one in reached):
            is_drained = False
    if is_drained and machine.power in ("running", "stopped") and _MAY_BE_DRAINED not in problems:
        yield f"{machine.name}: it was drained, does not work again, and nobody is told"


def _judge_images(facts: _Facts) -> Iterator[str]:
    for image in facts.images:
        if image.deprecated_at is None and image.image_id not in facts.problems:
            yield f"image {image.name} has no deprecation date, and nobody says so"
        if image.state != "available":
            yield f"image {image.name} is {image.state}"
