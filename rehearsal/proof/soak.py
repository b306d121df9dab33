"""The crash matrix: everything that can happen to every changing call of a flow, one run each.

`python -m rehearsal.proof.soak` makes each flow undisturbed once, lists the AWS calls by which its functions changed
something, and repeats the flow for each of them and each way in which it can go wrong there. After each run all that
Drydock promises must be true.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import product
from typing import Any

import typer
from botocore.exceptions import ClientError

from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.engine.calls import Call, FunctionKilled, Interception
from rehearsal.engine.clock import TimeLimitError
from rehearsal.engine.deployment import Stack
from rehearsal.ledger import read_items, settle
from rehearsal.play.faults import LoseEvents, Moment, StopExecution, StopRun
from rehearsal.play.group_monitor import GroupMonitor
from rehearsal.proof.promises import Allowance, broken_promises
from rehearsal.proof.roll_promises import GroupBefore, RollAllowance, broken_roll_promises
from rehearsal.world.fleet import Fleet, Image, Machine, MachineSpec

HOOKS = {"preInstall": "leave-cluster", "postInstall": "check-packages", "onExit": "join-cluster"}
HEALTH_PROBE = "check-health"

HANG_SECONDS = 50.0
"""A function that hangs so long is still within its time-out of 60 s."""

REFUSED_HOURS = 3
"""How long it takes until somebody gives a function its permission back."""

_THROTTLED = {
    "autoscaling": "Throttling",
    "dynamodb": "ThrottlingException",
    "ec2": "RequestLimitExceeded",
    "lambda": "TooManyRequestsException",
    "s3": "SlowDown",
    "sns": "Throttled",
    "ssm": "ThrottlingException",
    "stepfunctions": "ThrottlingException",
}
_REFUSED = {"autoscaling": "AccessDenied", "ec2": "UnauthorizedOperation", "sns": "AuthorizationError"}
_READING = ("Describe", "Get", "List", "Query", "Scan")
_OF_A_RUN = ("plan_run", "check_gates", "admit_machine", "record_outcome", "summarise_run")
"""The functions of MaintenanceRun; what they start is disturbed in flows of its own."""
_OF_A_ROLL = (
    "admit_group",
    "make_room",
    "launch_surge",
    "enter_standby",
    "await_standby",
    "return_member",
    "await_in_service",
    "record_member",
    "plan_launched_members",
    "remove_surge",
    "restore_group",
    "release_group",
    "announce_success",
    "give_back",
    "alert_failure",
)
"""The functions of RollGroup, and those that end it; what it starts is disturbed in flows of its own."""


@dataclass(frozen=True)
class Flow:
    """A kind of machine, the policy by which it is patched, and how that goes when nothing is disturbed."""

    name: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    stopped_in: Moment | None = None
    """When somebody stops the execution, so that give_back and alert_failure are what is disturbed."""
    status: str = "SUCCEEDED"
    end: str = "finished"
    others: tuple[Mapping[str, Any], ...] = ()
    """More machines: then it is a run of them all, and the functions of the run are what is disturbed."""
    members: int = 0
    """So many machines in an Auto Scaling group: then it is a roll, and the functions of the roll are disturbed."""


_LINUX = {"missing": ("openssl-3.0.8", "kernel-6.1.90")}
_QUICKLY = {"backup": {"before": False, "after": False}}
_WINDOWS = {"platform": "Windows", "power": "stopped", "missing": ("KB5034439", "KB5035857")}

FLOWS = {
    flow.name: flow
    for flow in (
        Flow("running", _LINUX),
        Flow("stopped", _WINDOWS),
        Flow(
            "hooked",
            _LINUX,
            {"hooks": HOOKS, "healthProbe": HEALTH_PROBE},
        ),
        Flow(
            "failing",
            {**_WINDOWS, "wrong": (f"hook_fails:{HOOKS['preInstall']}",)},
            {"hooks": HOOKS},
            status="FAILED",
            end="as found",
        ),
        Flow("aborted", _WINDOWS, stopped_in=Moment(30, "Install Patches"), status="ABORTED"),
        Flow(
            "run",
            _LINUX,
            {
                "backup": {"before": False, "after": False},
                "deadlineMinutes": 720,
                "maxConcurrency": 2,
                "canary": {"count": 1},
                "soakMinutes": 1,
            },
            others=(_WINDOWS, _LINUX),
        ),
        Flow("roll", _LINUX, _QUICKLY, members=2),
        Flow("surged", _LINUX, {**_QUICKLY, "capacity": "surge", "launchedMembers": "patch"}, members=2),
        Flow(
            "replaced",
            {**_LINUX, "wrong": ("install_error",)},
            {**_QUICKLY, "onMemberFailure": "replace"},
            status="FAILED",
            end="as found",
            members=2,
        ),
        Flow(
            "unrolled",
            _LINUX,
            _QUICKLY,
            stopped_in=Moment(300, "Patch Member"),
            status="ABORTED",
            end="half-way",
            members=2,
        ),
    )
}

MODES = {
    "dies_before": "the function dies before the call takes effect",
    "dies_after": "the function dies after the effect, before the reply",
    "stopped": "StopExecution comes before the effect, the function goes on",
    "stopped_hung": f"as stopped, and the function hangs for {HANG_SECONDS:g} s before it goes on",
    "redriven": "as stopped, and redriven 5 s later",
    "redriven_late": "as stopped, and redriven when all is quiet",
    "hangs": f"the function hangs for {HANG_SECONDS:g} s before the effect and goes on",
    "throttled": "the call is throttled once, for longer than the client retries",
    "refused": f"the call is refused to this function for {REFUSED_HOURS} hours",
}
"""What happens to the k-th changing call."""

COMPLETES = ("clean", "dies_before", "dies_after", "hangs", "throttled")
"""After these the flow goes on, and ends as it does undisturbed."""

STOPS = ("stopped", "stopped_hung", "redriven", "redriven_late")
"""These stop the execution, so they are not for a flow that is stopped anyway."""

ENDS = ("as found", "finished", "half-way")


@dataclass(frozen=True)
class Case:
    """One run: mode `clean` disturbs nothing, `number` counts the changing calls from 1.

    `then` is a second disturbance: mode and number. What follows the first one may be another call than in a clean
    run, or none at all.
    """

    flow: str
    mode: str
    number: int
    loses_events: bool = False
    then: tuple[str, int] | None = None

    def __str__(self) -> str:
        second = f"+{self.then[0]}:{self.then[1]}" if self.then else ""
        return f"{self.flow}:{self.mode}:{self.number}{second}" + (":lost" if self.loses_events else "")

    @classmethod
    def read(cls, text: str) -> Case:
        """Read what `str` wrote. Raises ValueError."""
        found = re.fullmatch(r"(\w+):(\w+):(\d+)(?:\+(\w+):(\d+))?(:lost)?", text)
        if found is None:
            raise ValueError(f"{text}: is not FLOW:MODE:K, FLOW:MODE:K+MODE:K, or one of these with :lost")
        flow, mode, number, second, second_number, lost = found.groups()
        if flow not in FLOWS or mode not in (*MODES, "clean") or (second and second not in MODES):
            raise ValueError(f"{text}: known are the flows {', '.join(FLOWS)} and the modes {', '.join(MODES)}")
        return cls(flow, mode, int(number), bool(lost), (second, int(second_number)) if second else None)

    @property
    def modes(self) -> dict[int, str]:
        """What happens to which call."""
        first = {} if self.mode == "clean" else {self.number: self.mode}
        return first | ({self.then[1]: self.then[0]} if self.then else {})


@dataclass(frozen=True)
class Strike:
    """A disturbance that happened; `was_open` says whether the execution was running."""

    mode: str
    call: Call
    earlier: tuple[Call, ...]
    was_open: bool

    @property
    def may_tell_twice(self) -> bool:
        """Whether a message was sent but not marked as told: SNS has no token by which it would know it again."""
        if self.call.caller.name not in ("announce_success", "alert_failure", "summarise_run"):
            return False
        if self.call.operation == "Publish":
            return self.mode == "dies_after"
        was_published = any(call.operation == "Publish" for call in self.earlier)
        return was_published and self.mode in ("dies_before", "throttled", "refused")


@dataclass(frozen=True)
class Verdict:
    """What came of a case. `end` is one of ENDS; `told_twice` says that a message was repeated where it may be."""

    case: Case
    what: str
    end: str
    violations: tuple[str, ...]
    told_twice: bool = False
    log: tuple[str, ...] = ()


class Run:
    """An account in which one case happens."""

    def __init__(self, case: Case, account: EmbeddedAccount, fleet: Fleet) -> None:
        self.case = case
        self.account = account
        self.fleet = fleet
        self.flow = FLOWS[case.flow]
        self.changes: list[Call] = []
        self.strikes: list[Strike] = []
        self.redrives = 0
        self.ends = 1
        """How many ends of the execution have a result and a message of their own."""
        self.log: list[str] = []
        self.stack: Stack = account.deploy()
        for document in (*HOOKS.values(), HEALTH_PROBE):
            fleet.add_document(document)
        specs = [
            MachineSpec(name=f"{self.flow.name}-{number}" if number else self.flow.name, **spec)
            for number, spec in enumerate([self.flow.spec, *self.flow.others])
        ]
        self.machines: list[Machine] = self._add_machines(specs)
        self.machine = self.machines[0]
        self.missing = list(self.machine.missing)
        self.execution = ""

    def _add_machines(self, specs: Sequence[MachineSpec]) -> list[Machine]:
        return [self.fleet.machine(self.fleet.add(spec)) for spec in specs]

    def play(self) -> Verdict:
        """Let the case happen, and judge it."""
        if self.case.loses_events:
            LoseEvents().arm(self.account, self.fleet)
        if self.flow.stopped_in:
            self._arm_stop(self.flow.stopped_in)
        self.account.calls.interceptors.append(self._intercept)
        self.execution = self._start()
        try:
            settle(self.account, self.stack)
            if "redriven_late" in self.case.modes.values():
                self._redrive()
                settle(self.account, self.stack)
            violations = list(self._judge())
        except TimeLimitError as error:
            violations = [f"not quiet: {error}"]
        what = ", ".join(_describe(strike.call) for strike in self.strikes)
        told_twice = self.ends < len(self.messages()) <= self.ends + self.repeats
        return Verdict(self.case, what, self.end(), tuple(violations), told_twice, tuple(self.log))

    def _start(self) -> str:
        given = {"instanceId": self.machine.instance_id, "policy": dict(self.flow.policy)}
        return self.account.start_execution("PatchInstance", given, f"soak-{self.flow.name}")

    def _arm_stop(self, moment: Moment) -> None:
        StopExecution(self.flow.name, moment).arm(self.account, self.fleet)

    def _judge(self) -> Iterator[str]:
        return _judge(self)

    def _is_disturbed(self, call: Call) -> bool:
        return call.caller.kind == "function" and not call.operation.startswith(_READING)

    @property
    def view(self) -> ExecutionView:
        return self.account.execution(self.execution)

    @property
    def repeats(self) -> int:
        """How often a message may have been repeated; more often than twice it never is."""
        return min(2, sum(2 if strike.mode == "refused" else 1 for strike in self.strikes if strike.may_tell_twice))

    @property
    def is_completed(self) -> bool:
        """Whether the flow must end as it does undisturbed."""
        return all(mode in COMPLETES for mode in self.case.modes.values())

    def items(self) -> list[dict[str, Any]]:
        """Everything that Drydock remembers."""
        return read_items(self.account, self.stack)

    def messages(self) -> list[Any]:
        """What people were told about the machine."""
        return [message for message in self.account.messages if self.machine.instance_id in message.body]

    def images(self) -> list[Image]:
        """All images of the machine."""
        return [image for image in self.fleet.images.by_id.values() if image.machine is self.machine]

    def end(self) -> str:
        """What the machine is like, whatever anybody says about it."""
        if self.machine.pending_reboot:
            return "half-way"
        if not self.machine.missing:
            return "finished"
        return "as found" if self.machine.missing == self.missing else "half-way"

    def note(self, text: str) -> None:
        """Write down something for who replays the case."""
        self.log.append(f"{self.account.clock.now():%H:%M:%S.%f} {text}")

    def _intercept(self, call: Call) -> Interception | None:
        if not self._is_disturbed(call):
            return None
        self.changes.append(call)
        self.note(_describe(call))
        mode = self.case.modes.get(len(self.changes))
        if mode is None:
            is_refused = any(strike.mode == "refused" and _is_same(call, strike.call) for strike in self.strikes)
            return Interception(before=_error(_REFUSED, "AccessDeniedException", call)) if is_refused else None
        self.note(f"*** {mode}")
        self.strikes.append(Strike(mode, call, tuple(self.changes[:-1]), self.view.status == "RUNNING"))
        return self._strike(mode, call)

    def _strike(self, mode: str, call: Call) -> Interception | None:
        if mode == "dies_before":
            return Interception(before=FunctionKilled(mode))
        if mode == "dies_after":
            return Interception(after=FunctionKilled(mode))
        if mode == "throttled":
            return Interception(before=_error(_THROTTLED, "ThrottlingException", call))
        if mode == "refused":
            return Interception(before=_error(_REFUSED, "AccessDeniedException", call))
        if mode == "hangs":
            return Interception(delay=HANG_SECONDS)
        self.account.clock.spawn(self._stop, "stop")
        if mode == "redriven":
            self.account.clock.call_later(5, self._redrive)
        return Interception(delay=HANG_SECONDS) if mode == "stopped_hung" else None

    def _stop(self) -> None:
        self.account.stop_execution(self.execution, "Soak.Stopped", "somebody stopped the execution")

    def _redrive(self) -> None:
        if self.view.status != "ABORTED":
            return
        self.redrives += 1
        # Once the machine is released as patched, a redrive has nothing to do and nothing to tell.
        self.ends += not self._is_done()
        self.note("redriven")
        self.account.client("stepfunctions").redrive_execution(executionArn=self.execution)

    def _is_done(self) -> bool:
        return any(item.get("outcome") == "succeeded" for item in self.items())


class RunOfMachines(Run):
    """An account in which one case happens to a run of several machines."""

    def messages(self) -> list[Any]:
        """What people were told about the run as a whole."""
        return [message for message in self.account.messages if message.attributes.get("kind") == "run"]

    def end(self) -> str:
        """What the machines are like, all of them."""
        if any(machine.pending_reboot for machine in self.machines):
            return "half-way"
        patched = [not machine.missing for machine in self.machines]
        return "finished" if all(patched) else "half-way" if any(patched) else "as found"

    def _start(self) -> str:
        ids = [machine.instance_id for machine in self.machines]
        given = {"targets": [{"key": "InstanceIds", "values": ids}], "policy": dict(self.flow.policy)}
        return self.account.start_execution("MaintenanceRun", given, f"soak-{self.flow.name}")

    def _is_disturbed(self, call: Call) -> bool:
        return super()._is_disturbed(call) and call.caller.name in _OF_A_RUN

    def _judge(self) -> Iterator[str]:
        yield from _judge_execution(self)
        if self.is_completed and self.end() != self.flow.end:
            yield f"the machines are left {self.end()}"
        stops = [strike.call.at for strike in self.strikes if strike.mode in STOPS and strike.was_open]
        allowance = Allowance(
            repeats=self.repeats,
            stopped=stops[0] if stops else None,
            in_flight=int(self.flow.policy["maxConcurrency"]),
            silent=self.case.loses_events,
        )
        yield from broken_promises(self.account, self.fleet, self.stack, self.view.name, allowance)
        if "refused" not in self.case.modes.values() and not self.case.then:
            letters = self.account.queue(self.stack.resource("DeadLetterQueue"))
            if letters:
                yield f"dead letters: {letters}"


class RollOfGroup(RunOfMachines):
    """An account in which one case happens to a roll through an Auto Scaling group."""

    def messages(self) -> list[Any]:
        """What people were told about the roll as a whole."""
        return [message for message in self.account.messages if message.attributes.get("kind") == "group"]

    def _add_machines(self, specs: Sequence[MachineSpec]) -> list[Machine]:
        (spec,) = specs
        named = [replace(spec, name=f"{spec.name}-{number + 1}") for number in range(self.flow.members)]
        group = self.fleet.add_group(spec.name, named, min=len(named), max=len(named) + 1, target_group=spec.name)
        self.monitor = GroupMonitor(self.account, group)
        self.before = GroupBefore.of(group)
        return list(self.before.machines)

    def _start(self) -> str:
        given = {"groupName": self.before.group.name, "policy": dict(self.flow.policy)}
        return self.account.start_execution("RollGroup", given, f"soak-{self.flow.name}")

    def _arm_stop(self, moment: Moment) -> None:
        StopRun(f"soak-{self.flow.name}", moment).arm(self.account, self.fleet)

    def _is_disturbed(self, call: Call) -> bool:
        return Run._is_disturbed(self, call) and call.caller.name in _OF_A_ROLL

    def _is_done(self) -> bool:
        return any(item["pk"].startswith("GROUP#") and item.get("outcome") == "succeeded" for item in self.items())

    def _judge(self) -> Iterator[str]:
        yield from _judge_execution(self)
        if self.is_completed and not self.flow.stopped_in and self.end() != self.flow.end:
            yield f"the members are left {self.end()}"
        stops = [strike.call.at for strike in self.strikes if strike.mode in STOPS and strike.was_open]
        allowance = RollAllowance(
            repeats=self.repeats,
            redrives=self.redrives,
            stopped=stops[0] if stops and not self.redrives else None,
            in_flight=1,
            silent=self.case.loses_events,
        )
        yield from self.monitor.violations
        yield from broken_roll_promises(self.account, self.fleet, self.stack, self.before, self.execution, allowance)
        if "refused" not in self.case.modes.values() and not self.case.then:
            letters = self.account.queue(self.stack.resource("DeadLetterQueue"))
            if letters:
                yield f"dead letters: {letters}"


def _is_same(call: Call, refused: Call) -> bool:
    """Whether a function still misses the permission for a call."""
    kinds = {(each.caller.name, each.service, each.operation) for each in (call, refused)}
    return len(kinds) == 1 and call.at - refused.at < timedelta(hours=REFUSED_HOURS)


def _describe(call: Call) -> str:
    parameters = call.parameters
    values = parameters.get("ExpressionAttributeValues", {})
    names = parameters.get("ExpressionAttributeNames", {})
    # The key of an object in S3 is a text.
    key = parameters.get("Key") or parameters.get("Item") or {}
    items: Mapping[str, Any] = key if isinstance(key, Mapping) else {}
    details = [
        *(value["S"].split("#")[0] for name, value in items.items() if name in ("pk", "sk")),
        *([key.rpartition("/")[2]] if isinstance(key, str) else []),
        *(names[name] for name in ("#name", "#intent", "#wait") if name in names),
        *(value["S"] for name, value in values.items() if name in (":active", ":restoring") and "S" in value),
        str(parameters.get("DocumentName", "")),
        str(parameters.get("Name", "")),
    ]
    return f"{call.caller.name} {call.service}:{call.operation} {' '.join(detail for detail in details if detail)}"


def _error(codes: Mapping[str, str], other: str, call: Call) -> ClientError:
    code = codes.get(call.service, other)
    response: Any = {"Error": {"Code": code, "Message": "soak"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(response, call.operation)


def _judge(run: Run) -> Iterator[str]:
    """All that is not as Drydock promises."""
    yield from _judge_execution(run)
    yield from _judge_machine(run)
    yield from _judge_work(run)
    yield from _judge_records(run)
    yield from _judge_further_pass(run)


def _judge_execution(run: Run) -> Iterator[str]:
    status = run.view.status
    if run.case.mode != "clean" and not run.strikes:
        yield "the fault never struck"
    if status == "RUNNING":
        yield "execution: still running"
    stops = ("stopped", "stopped_hung")
    expected = "ABORTED" if any(strike.mode in stops and strike.was_open for strike in run.strikes) else None
    if run.redrives:
        expected = None
    if run.is_completed:
        expected = run.flow.status
    if expected and status != expected:
        yield f"execution: {status} ({run.view.error}: {run.view.cause}), not {expected}"


def _judge_machine(run: Run) -> Iterator[str]:
    machine, end = run.machine, run.end()
    if machine.power != machine.spec.power:
        yield f"power: found {machine.spec.power}, left {machine.power}"
    if machine.interrupted:
        yield f"interrupted: {machine.interrupted}"
    if end != run.flow.end and run.is_completed and not run.flow.stopped_in:
        yield f"the machine is left {end}"


def _judge_work(run: Run) -> Iterator[str]:
    """Nothing may have been done twice, redrives apart."""
    most = 1 + run.redrives
    moments = Counter(run.fleet.tags(image.image_id).get("DrydockMoment", "?") for image in run.images())
    for moment, count in moments.items():
        if count > 1:
            yield f"{count} images {moment}"
    sent = run.fleet.run_command.list_visible(None, run.machine.instance_id)
    for comment, count in Counter(command.request["Comment"] for command in sent).items():
        if count > most:
            yield f"{count} commands {comment!r}"
    powers = Counter(power for _, power in run.machine.power_log)
    for power in ("pending", "stopping"):
        if powers[power] > most:
            yield f"{powers[power]} times {power}"
    if len(sent) and any(not invocation.over for command in sent for invocation in command.invocations):
        yield "a command is still at work"


def _judge_records(run: Run) -> Iterator[str]:
    items = run.items()
    if any(item["sk"] == "LEASE" for item in items):
        yield "lease: left"
    results = sorted(
        (item for item in items if item["sk"].startswith("RESULT#")), key=lambda item: int(item["redriveCount"])
    )
    touched = any("journal" in _names_of(call) for call in run.changes)
    counts = [int(item["redriveCount"]) for item in results]
    if counts != list(range(run.ends)) and (touched or len(counts) > run.ends):
        yield f"results: of redrives {counts} of {list(range(run.ends))}"
    yield from _judge_messages(run, items, results)
    for result in results:
        if "lookup" in result:
            yield f"result {result['redriveCount']}: untold"
    if results:
        yield from _judge_result(run, results)
    problems = " ".join(problem for result in results for problem in result.get("problems", []))
    for image in run.images():
        if image.deprecated_at is None and image.image_id not in problems:
            yield f"image {image.name} has no deprecation date, and nobody says so"
        if image.state != "available":
            yield f"image {image.name} is {image.state}"
    if "refused" not in run.case.modes.values() and not run.case.then:
        letters = run.account.queue(run.stack.resource("DeadLetterQueue"))
        if letters:
            yield f"dead letters: {letters}"


def _names_of(call: Call) -> str:
    return str(call.parameters.get("UpdateExpression", ""))


def _judge_messages(run: Run, items: list[dict[str, Any]], results: list[dict[str, Any]]) -> Iterator[str]:
    told = len(run.messages())
    expected = run.ends
    least = min(expected, len(results)) if run.case.loses_events else expected
    if not least <= told <= expected + run.repeats:
        subjects = [message.subject for message in run.messages()]
        yield f"messages: {told}, not {expected}: {subjects}"
    if run.ends == 1 and results and results[0]["outcome"] == "succeeded":
        for message in run.messages():
            if message.attributes["outcome"] != "succeeded" or "not patched" in message.subject:
                yield f"succeeded, but people are told: {message.subject}"
    for item in items:
        if item["pk"].startswith("TOLD#") and not item["told"] and not run.repeats:
            yield f"mark {item['pk']} {item['sk']} is not told"


def _judge_result(run: Run, results: list[dict[str, Any]]) -> Iterator[str]:
    """The newest record that is no refusal says what is true of the machine."""
    end = run.end()
    done = [item for item in results if item["outcome"] != "refused"]
    tag = run.fleet.tags(run.machine.instance_id).get("DrydockState")
    problems = " ".join(problem for result in results for problem in result.get("problems", []))
    if not done:
        if end != "as found" or tag is not None:
            yield f"refused, but the machine is {end}, tag {tag}"
        return
    verdict, outcome = done[-1]["verdict"], done[-1]["outcome"]
    allowed = {
        "finished": ("compliant", "unknown"),
        "as found": ("not_patched", "unknown"),
        "half-way": ("unknown", "pending_reboot", "missing"),
    }[end]
    verdicts = {item["verdict"] for item in done}
    if verdict not in allowed and not (run.redrives and verdicts & set(allowed)):
        yield f"verdict {verdict}, but the machine is {end}"
    if outcome == "succeeded" and (end != "finished" or verdict != "compliant"):
        yield f"outcome {outcome}, verdict {verdict}, the machine is {end}"
    wanted = "Completed" if outcome == "succeeded" else None
    if tag != wanted and "tag" not in problems:
        yield f"tag DrydockState: {tag}, outcome {outcome}"
    for result in done:
        if result["powerAfter"] != run.machine.spec.power:
            yield f"result {result['redriveCount']}: powerAfter {result['powerAfter']}"


def _judge_further_pass(run: Run) -> Iterator[str]:
    """give_back has nothing left to do."""
    before = len(run.changes)
    function = run.stack.resource("GiveBackFunction")
    for event, expected in (
        ({"subject": run.machine.instance_id}, {"move": "nothing"}),
        ({}, {"suspects": 0, "untold": 0, "deadRuns": 0, "untoldRuns": 0}),
    ):
        outcome = run.account.functions.invoke(function, json.dumps(event))
        if outcome.failed or json.loads(outcome.payload) != expected:
            yield f"a further pass: {outcome.payload}"
    if len(run.changes) != before:
        yield f"a further pass calls {[_describe(call) for call in run.changes[before:]]}"


def play(case: Case) -> Verdict:
    """Let a case happen in an account of its own."""
    with EmbeddedAccount() as account, account.open_fleet() as fleet:
        return _make_run(case, account, fleet).play()


def _make_run(case: Case, account: EmbeddedAccount, fleet: Fleet) -> Run:
    flow = FLOWS[case.flow]
    kind = RollOfGroup if flow.members else RunOfMachines if flow.others else Run
    return kind(case, account, fleet)


def count_changes(flow: str) -> list[str]:
    """What the functions change in an undisturbed run of a flow, in order."""
    with EmbeddedAccount() as account, account.open_fleet() as fleet:
        run = _make_run(Case(flow, "clean", 0), account, fleet)
        run.play()
        return [_describe(call) for call in run.changes]


def all_cases(changes: Mapping[str, int], modes: Iterable[str] = tuple(MODES)) -> list[Case]:
    """The whole matrix, given how many changes each flow makes."""
    return [
        Case(flow, mode, number)
        for flow, mode in product(changes, modes)
        if not (FLOWS[flow].stopped_in and mode in STOPS)
        for number in range(1, changes[flow] + 1)
    ]


def play_all(cases: Sequence[Case], processes: int, heard: Callable[[Verdict], None]) -> list[Verdict]:
    """Play the cases in so many processes; `heard` gets each verdict as it comes. The order is that of the cases."""
    verdicts = {}
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, maxtasksperchild=10) as pool:
        for verdict in pool.imap_unordered(play, cases, chunksize=4):
            verdicts[verdict.case] = verdict
            heard(verdict)
    return [verdicts[case] for case in cases]


def format_table(verdicts: Sequence[Verdict]) -> str:
    """Flow by mode: runs, how the machines ended, messages repeated, runs with violations."""
    rows: list[tuple[str, ...]] = [("flow", "mode", "runs", *ENDS, "twice", "wrong")]
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        case = verdict.case
        mode = "two of them" if case.then else case.mode
        groups.setdefault((case.flow, mode + (" *" if case.loses_events else "")), []).append(verdict)
    for flow, mode in sorted(groups, key=_place_in_table):
        group = groups[flow, mode]
        ends = Counter(verdict.end for verdict in group)
        wrong = sum(bool(verdict.violations) for verdict in group)
        twice = sum(verdict.told_twice for verdict in group)
        counts = (len(group), *(ends[end] for end in ENDS), twice, wrong)
        rows.append((flow, mode, *(str(count) for count in counts)))
    lines = [f"{flow:<9}{mode:<17}" + "".join(f"{cell:>10}" for cell in cells) for flow, mode, *cells in rows]
    if any(verdict.case.loses_events for verdict in verdicts):
        lines.append("* all events lost")
    return "\n".join(lines)


def _place_in_table(row: tuple[str, str]) -> tuple[int, bool, int]:
    """Flow by flow, with events first, in the order of the modes."""
    flow, mode = row
    modes = ["clean", *MODES, "two of them"]
    return list(FLOWS).index(flow), mode.endswith("*"), modes.index(mode.removesuffix(" *"))


def replay_command(case: Case) -> str:
    """The command that plays one case again and tells all about it."""
    return f"python -m rehearsal.proof.soak --replay {case}"


def describe(verdict: Verdict) -> str:
    """A case with what is wrong about it, and how to see it again."""
    wrong = "".join(f"\n    {violation}" for violation in verdict.violations)
    return f"{verdict.case}  at {verdict.what}  {verdict.end}{wrong}\n    {replay_command(verdict.case)}"


def main(arguments: list[str]) -> int:
    """Print the table; the exit code is 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m rehearsal.proof.soak", description=__doc__)
    parser.add_argument("--sample", type=int, metavar="N", help="only N cases, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--lost", type=int, default=60, metavar="N", help="how many cases also run without any event")
    parser.add_argument("--pairs", type=int, default=200, metavar="N", help="how many cases disturb twice")
    parser.add_argument("--flow", choices=FLOWS, action="append", help="only this flow (may be repeated)")
    parser.add_argument("--mode", choices=MODES, action="append", help="only this mode (may be repeated)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--replay", type=Case.read, metavar="FLOW:MODE:K", help="play one case and show it in detail")
    options = parser.parse_args(arguments)
    if options.replay:
        verdict = play(options.replay)
        typer.echo("\n".join(verdict.log))
        typer.echo(describe(verdict))
        return int(bool(verdict.violations))
    began = time.perf_counter()
    cases = choose_cases(
        options.flow or FLOWS,
        options.mode or tuple(MODES),
        options.sample,
        options.lost,
        options.pairs,
        options.seed,
    )
    done = 0

    def hear(verdict: Verdict) -> None:
        nonlocal done
        done += 1
        if verdict.violations:
            typer.echo(describe(verdict))
        if done % 100 == 0:
            typer.echo(f"{done} of {len(cases)} after {time.perf_counter() - began:.0f} s", err=True)

    verdicts = play_all(cases, options.processes, hear)
    typer.echo(format_table(verdicts))
    wrong = sum(bool(verdict.violations) for verdict in verdicts)
    typer.echo(f"{len(verdicts)} runs, {wrong} with violations, {time.perf_counter() - began:.0f} s")
    return int(wrong > 0)


def choose_cases(
    flows: Iterable[str], modes: Sequence[str], sample: int | None, lost: int, pairs: int, seed: int
) -> list[Case]:
    """The clean runs, the matrix or a sample of it, so many cases without any event, and so many disturbed twice."""
    changes = {flow: len(count_changes(flow)) for flow in flows}
    matrix = all_cases(changes, modes)
    chance = random.Random(seed)
    silent = [
        Case(case.flow, case.mode, case.number, True)
        for case in chance.sample([case for case in matrix if case.mode != "redriven_late"], min(lost, len(matrix)))
    ]
    doubled = [draw_pair(chance, changes) for _ in range(pairs)]
    if sample is not None:
        matrix = chance.sample(matrix, min(sample, len(matrix)))
    clean = [Case(flow, "clean", 0, silent) for flow in changes for silent in (False, True)]
    return [*clean, *matrix, *silent, *doubled]


def draw_pair(chance: random.Random, changes: Mapping[str, int]) -> Case:
    """A case in which a flow that gets over the first disturbance meets another one soon after."""
    flow = chance.choice(list(changes))
    number = chance.randint(1, changes[flow])
    first = chance.choice([mode for mode in COMPLETES if mode != "clean"])
    second = chance.choice([mode for mode in MODES if not (FLOWS[flow].stopped_in and mode in STOPS)])
    return Case(flow, first, number, then=(second, number + chance.randint(1, 4)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
