"""Runs one rehearsal: a fleet file on an embedded account, from deployment until nothing is left to do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from rehearsal.account import EmbeddedAccount, Observer
from rehearsal.clock import TimeLimitError
from rehearsal.faults import EventFault, Fault, StopInstance, Strikes, TerminateInstance, describe
from rehearsal.fleet import Fleet, Machine
from rehearsal.fleet_file import FleetFile, FleetMachine

MACHINE = "PatchInstance"
SETTLING = timedelta(hours=8)
"""How long Drydock's schedules may take to give back what no event told it about."""
_LOOK_AGAIN = timedelta(minutes=5)


@dataclass(frozen=True)
class Change:
    """Something that people watch a rehearsal for: an execution entered a state or ended, or a fault struck."""

    at: datetime
    machine: str
    step: str
    is_over: bool = False
    is_fault: bool = False


@dataclass(frozen=True)
class ImageOutcome:
    """An image of a machine, as EC2 has it at the end."""

    image_id: str
    name: str
    state: str


@dataclass(frozen=True)
class ExecutionOutcome:
    """One execution and the states it went through, each with the time of its entry."""

    name: str
    status: str
    started: datetime
    stopped: datetime | None
    error: str
    cause: str
    states: tuple[tuple[datetime, str], ...]
    transitions: int


@dataclass(frozen=True)
class MachineOutcome:
    """How one machine ended: what is true of it, and what Drydock recorded.

    `minutes_out_of_service` is None for a machine that was not running at the beginning or is not at the end.
    `result` is Drydock's newest record of the machine, `differences` what is not as the fleet file expects.
    """

    name: str
    instance_id: str
    platform: str
    first_power: str
    last_power: str
    missing_before: int
    missing_after: int
    outcome: str
    verdict: str
    error: str
    cause: str
    minutes_out_of_service: float | None
    images: tuple[ImageOutcome, ...]
    interrupted_installs: int
    is_given_back: bool
    messages: int
    aws_calls: int
    transitions: int
    executions: tuple[ExecutionOutcome, ...]
    result: Mapping[str, Any]
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class MessageOutcome:
    """A message that people would get."""

    at: datetime
    topic: str
    subject: str
    body: str
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class RehearsalOutcome:
    """All that a rehearsal showed. Real seconds are the only thing that differs from run to run."""

    fleet: FleetFile
    seed: int
    began: datetime
    ended: datetime
    real_seconds: float
    machines: tuple[MachineOutcome, ...]
    messages: tuple[MessageOutcome, ...]
    calls: Mapping[str, int]
    function_invocations: int
    transitions: int
    differences: tuple[str, ...]

    @property
    def is_as_expected(self) -> bool:
        """Say whether every machine ended as its entry expects, and every fault struck."""
        return not self.differences and not any(machine.differences for machine in self.machines)

    @property
    def aws_calls(self) -> int:
        """Return how many AWS calls Drydock's functions made."""
        return sum(self.calls.values())


def rehearse(
    fleet_file: FleetFile, seed: int | None = None, watch: Callable[[Change], None] | None = None
) -> RehearsalOutcome:
    """Rehearse a fleet and return what came of it; `watch` hears of every change as it happens."""
    real_start = time.perf_counter()
    used_seed = fleet_file.seed if seed is None else seed
    options: dict[str, Any] = {"start": fleet_file.begins, "limits": fleet_file.throttling}
    with EmbeddedAccount(seed=used_seed, **options) as account, Fleet(account) as fleet:
        stack = account.deploy(fleet_file.parameters)
        for machine in fleet_file.machines:
            fleet.add(machine.spec)
        for document in fleet_file.documents:
            fleet.add_document(document.name, platforms=document.platforms)
        if fleet_file.policy:
            account.client("ssm").put_parameter(
                Name=stack.outputs["PolicyParameterName"],
                Value=json.dumps(fleet_file.policy),
                Type="String",
                Overwrite=True,
            )
        tell = watch or (lambda change: None)
        recorder = _Recorder(account, fleet, tell)
        account.observers.append(recorder)
        strikes = [_arm(fault, account, fleet, tell) for fault in fleet_file.faults]
        _plan_starts(account, fleet, fleet_file)
        table = stack.resource("StateTable")
        problems = _run(account, table, fleet_file.limit)
        problems += [f"a fault never struck: {describe(one.fault)}" for one in strikes if not one.count]
        return _collect(
            account, fleet, fleet_file, recorder, table, tuple(problems), used_seed, time.perf_counter() - real_start
        )


def _arm(fault: Fault, account: EmbeddedAccount, fleet: Fleet, tell: Callable[[Change], None]) -> Strikes:
    """Arm a fault and tell when it strikes, unless it is one that strikes all the time."""
    strikes = fault.arm(account, fleet)
    if not isinstance(fault, EventFault):
        strikes.heard = lambda: tell(Change(account.clock.now(), "", describe(fault), is_fault=True))
    return strikes


def _plan_starts(account: EmbeddedAccount, fleet: Fleet, fleet_file: FleetFile) -> None:
    ids = {machine.spec.name: machine.instance_id for machine in fleet.machines}
    for number, start in enumerate(fleet_file.starts, 1):
        given = {"instanceId": ids[start.machine], **start.input}
        name = f"{start.machine}-{number}"

        def begin(given: Mapping[str, Any] = given, name: str = name) -> None:
            account.start_execution(MACHINE, given, name)

        account.clock.call_later(start.at.total_seconds(), begin)


def _run(account: EmbeddedAccount, table: str, limit: timedelta) -> list[str]:
    """Run until nothing happens any more and nothing is left for Drydock's schedules to find."""
    try:
        account.run_until_quiet(limit)
        end = account.clock.now() + SETTLING
        while account.clock.now() < end and _is_unfinished(account, table):
            again = account.clock.now() + _LOOK_AGAIN
            account.clock.call_at(again, lambda: None)
            account.run_until_quiet(limit)
    except TimeLimitError as error:
        return [f"the rehearsal was {error}"]
    return []


def _is_unfinished(account: EmbeddedAccount, table: str) -> bool:
    items = _scan(account, table)
    return any(item["sk"] == "LEASE" or item.get("lookup") == "UNTOLD" for item in items)


def _scan(account: EmbeddedAccount, table: str) -> list[dict[str, Any]]:
    deserialize = TypeDeserializer().deserialize
    pages = account.client("dynamodb").get_paginator("scan").paginate(TableName=table)
    return [
        _plain({key: deserialize(value) for key, value in item.items()}) for page in pages for item in page["Items"]
    ]


def _plain(value: Any) -> Any:
    """Return a DynamoDB value with whole numbers as int."""
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, set):
        return sorted(value)
    if hasattr(value, "to_integral_value"):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


class _Recorder(Observer):
    """Writes down which execution went where, and passes the changes on."""

    def __init__(self, account: EmbeddedAccount, fleet: Fleet, watch: Callable[[Change], None]) -> None:
        self.states: dict[str, list[tuple[datetime, str]]] = {}
        self.machines: dict[str, str] = {}
        self.invocations = 0
        self._account = account
        self._names = {machine.instance_id: machine.spec.name for machine in fleet.machines}
        self._watch = watch

    def state_entered(self, execution_arn: str, state: str) -> None:
        """Note the state."""
        self._note(execution_arn)
        now = self._account.clock.now()
        self.states[execution_arn].append((now, state))
        if state.endswith("?") or state in ("Succeed", "Fail"):
            return  # decisions take no time
        self._watch(Change(now, self.machines[execution_arn], state))

    def execution_changed(self, arn: str, status: str) -> None:
        """Note the execution, and its end."""
        self._note(arn)
        if status != "RUNNING":
            self._watch(Change(self._account.clock.now(), self.machines[arn], status.lower(), is_over=True))

    def function_invoked(self, name: str, event: Any, outcome: Any) -> None:
        """Count the invocations."""
        self.invocations += 1

    def _note(self, arn: str) -> None:
        if arn not in self.states:
            given = self._account.execution(arn).input
            self.states[arn] = []
            self.machines[arn] = self._names.get(given.get("instanceId", ""), arn.rsplit(":", 1)[-1])


def _collect(
    account: EmbeddedAccount,
    fleet: Fleet,
    fleet_file: FleetFile,
    recorder: _Recorder,
    table: str,
    problems: tuple[str, ...],
    seed: int,
    real_seconds: float,
) -> RehearsalOutcome:
    items = _scan(account, table)
    messages = tuple(
        MessageOutcome(
            message.at, message.topic.rsplit(":", 1)[-1], message.subject or "", message.body, dict(message.attributes)
        )
        for message in account.messages
    )
    calls = [call for call in account.calls.calls if call.caller.kind == "function"]
    counts: dict[str, int] = {}
    by_execution: dict[str, int] = {}
    for call in calls:
        key = f"{call.service}:{call.operation}"
        counts[key] = counts.get(key, 0) + 1
        execution = call.caller.execution or ""
        by_execution[execution] = by_execution.get(execution, 0) + 1
    executions: dict[str, list[str]] = {}
    for arn, name in recorder.machines.items():
        executions.setdefault(name, []).append(arn)
    views = {arn: _describe_execution(account, arn, recorder.states[arn]) for arn in recorder.machines}
    outcomes = []
    # Where somebody cuts the power, Drydock cannot help that an installation is cut short.
    meddled = {fault.instance for fault in fleet_file.faults if isinstance(fault, StopInstance | TerminateInstance)}
    for entry, machine in zip(fleet_file.machines, fleet.machines, strict=True):
        arns = executions.get(entry.spec.name, [])
        outcome = _describe_machine(
            fleet,
            machine,
            [item for item in items if item["pk"] == f"INSTANCE#{machine.instance_id}"],
            tuple(views[arn] for arn in arns),
            sum(machine.instance_id in message.body for message in messages),
            sum(by_execution.get(arn, 0) for arn in arns),
        )
        differences = list(_differences(entry, outcome))
        if outcome.interrupted_installs and entry.spec.name not in meddled:
            differences.append("installation: it was interrupted by a change of power")
        outcomes.append(replace(outcome, differences=tuple(differences)))
    return RehearsalOutcome(
        fleet=fleet_file,
        seed=seed,
        began=fleet_file.begins.astimezone(UTC),
        ended=account.clock.now(),
        real_seconds=real_seconds,
        machines=tuple(outcomes),
        messages=messages,
        calls=dict(sorted(counts.items())),
        function_invocations=recorder.invocations,
        transitions=sum(view.transitions for view in views.values()),
        differences=problems,
    )


def _describe_execution(account: EmbeddedAccount, arn: str, states: list[tuple[datetime, str]]) -> ExecutionOutcome:
    view = account.execution(arn)
    return ExecutionOutcome(
        name=arn.rsplit(":", 1)[-1],
        status=view.status,
        started=view.started,
        stopped=view.stopped,
        error=view.error or "",
        cause=view.cause or "",
        states=tuple(states),
        transitions=view.transitions,
    )


def _describe_machine(
    fleet: Fleet,
    machine: Machine,
    items: list[dict[str, Any]],
    executions: tuple[ExecutionOutcome, ...],
    messages: int,
    aws_calls: int,
) -> MachineOutcome:
    results = sorted((item for item in items if item["sk"].startswith("RESULT#")), key=lambda item: item["endedAt"])
    # What an execution found that was refused because another one was at work is not news of the machine.
    carried_out = [item for item in results if item["outcome"] != "refused"]
    result = (carried_out or results or [{}])[-1]
    failure = result.get("failure") or {}
    images = [image for image in fleet.images.by_id.values() if image.machine is machine]
    return MachineOutcome(
        name=machine.spec.name,
        instance_id=machine.instance_id,
        platform=machine.spec.platform,
        first_power=machine.spec.power,
        last_power=machine.power,
        missing_before=len(machine.spec.missing),
        missing_after=len(machine.missing),
        outcome=result.get("outcome", "none"),
        verdict=result.get("verdict", "none"),
        error=failure.get("error", ""),
        cause=failure.get("cause", ""),
        minutes_out_of_service=_minutes_out_of_service(machine),
        images=tuple(ImageOutcome(image.image_id, image.name, image.state) for image in images),
        interrupted_installs=len(machine.interrupted_installs),
        is_given_back=not any(item["sk"] == "LEASE" for item in items),
        messages=messages,
        aws_calls=aws_calls,
        transitions=sum(execution.transitions for execution in executions),
        executions=executions,
        result=result,
    )


def _minutes_out_of_service(machine: Machine) -> float | None:
    """Return the minutes in which a machine that was found running, and still runs, was down."""
    if machine.spec.power != "running" or machine.power != "running":
        return None
    down = timedelta(0)
    since: datetime | None = None
    for at, serves in [*machine.service_log, (machine.account.clock.now(), True)]:
        if not serves and since is None:
            since = at
        elif serves and since is not None:
            down += at - since
            since = None
    return round(down.total_seconds() / 60, 1)


def _differences(entry: FleetMachine, outcome: MachineOutcome) -> Iterator[str]:
    """Compare a machine's end with what its entry expects."""
    expect = entry.expect
    usable = sum(image.state == "available" for image in outcome.images)
    pairs = (
        ("outcome", expect.outcome, outcome.outcome),
        ("verdict", expect.verdict, outcome.verdict),
        ("power", expect.power, outcome.last_power),
        ("images", expect.images, usable),
        ("missing patches", expect.missing, outcome.missing_after),
        ("error", expect.error, outcome.error or "none"),
        ("messages", expect.messages, outcome.messages),
    )
    for what, expected, got in pairs:
        if expected is not None and expected != got:
            yield f"{what}: expected {expected}, got {got}"
    if not outcome.is_given_back:
        yield "lease: expected none at the end, but Drydock still holds one"
    if outcome.verdict == "compliant" and outcome.missing_after and expect.missing is None:
        yield f"verdict: compliant, but {outcome.missing_after} patches are missing"
