"""What came of the machines of a rehearsal: what is true of them, and what Drydock recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rehearsal.account import EmbeddedAccount
from rehearsal.play.fleet_machines import FleetMachine
from rehearsal.world.fleet import Fleet, Machine


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
    lost_memory: bool
    is_given_back: bool
    messages: int
    aws_calls: int
    transitions: int
    executions: tuple[ExecutionOutcome, ...]
    result: Mapping[str, Any]
    differences: tuple[str, ...] = ()
    run: str = ""
    """What the last run that found the machine says of it: its outcome there, or 'left_out'."""


def describe_execution(account: EmbeddedAccount, arn: str, states: list[tuple[datetime, str]]) -> ExecutionOutcome:
    """Return what came of an execution that went through these states."""
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


def describe_machine(
    fleet: Fleet,
    machine: Machine,
    items: list[dict[str, Any]],
    executions: tuple[ExecutionOutcome, ...],
    messages: int,
    aws_calls: int,
) -> MachineOutcome:
    """Return what came of a machine. `items` are what Drydock's table holds of it."""
    results = sorted((item for item in items if item["sk"].startswith("RESULT#")), key=lambda item: item["endedAt"])
    # What an execution found that was refused because another one was at work is not news of the machine.
    carried_out = [item for item in results if item["outcome"] != "refused"]
    result = (carried_out or results or [{}])[-1]
    failure = result.get("failure") or {}
    images = fleet.images.of_machine(machine)
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
        minutes_out_of_service=minutes_out_of_service(machine),
        images=tuple(ImageOutcome(image.image_id, image.name, image.state) for image in images),
        interrupted_installs=len(machine.interrupted_installs),
        lost_memory=machine.lost_memory,
        is_given_back=not any(item["sk"] == "LEASE" for item in items),
        messages=messages,
        aws_calls=aws_calls,
        transitions=sum(execution.transitions for execution in executions),
        executions=executions,
        result=result,
    )


def minutes_out_of_service(machine: Machine) -> float | None:
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


def find_differences(entry: FleetMachine, outcome: MachineOutcome) -> Iterator[str]:
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
        ("run", expect.run, outcome.run),
    )
    for what, expected, got in pairs:
        if expected is not None and expected != got:
            yield f"{what}: expected {expected}, got {got}"
    if not outcome.is_given_back:
        yield "lease: expected none at the end, but Drydock still holds one"
    if outcome.lost_memory:
        yield "memory: it was hibernated, and what it held in memory is lost"
    if outcome.verdict == "compliant" and outcome.missing_after and expect.missing is None:
        yield f"verdict: compliant, but {outcome.missing_after} patches are missing"
