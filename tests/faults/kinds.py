"""The kinds of machines that the scenarios of faults put through everything, and how each of them goes undisturbed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from rehearsal.engine.calls import Call
from rehearsal.world.fleet import Machine
from tests.scenarios.machine.scenario import Scenario, scenario

HOOKS = {"preInstall": "leave-cluster", "postInstall": "check-packages", "onExit": "join-cluster"}
HEALTH = "check-health"


@dataclass(frozen=True)
class Kind:
    """A machine, and the policy it is patched by."""

    name: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.name)


RUNNING = Kind("running")
STOPPED = Kind("stopped", {"platform": "Windows", "power": "stopped"})
HOOKED = Kind("hooked", policy={"hooks": HOOKS, "healthProbe": HEALTH})
FAILING = Kind("failing", {"power": "stopped", "wrong": ("hook_fails:leave-cluster",)}, {"hooks": HOOKS})
"""Its first hook fails, so nothing is installed, and what follows a failure is done."""

KINDS = (RUNNING, STOPPED, HOOKED, FAILING)


@dataclass(frozen=True)
class CleanRun:
    """How a machine of a kind goes when nothing goes wrong around it."""

    status: str
    states: tuple[str, ...]
    calls: tuple[Call, ...]
    """What functions called on its behalf, in order."""
    commands: tuple[str, ...]
    images: int
    outcome: str
    verdict: str
    error: str
    """The name of the failure, if there is one."""
    missing: int


@contextmanager
def account_with_hooks(**options: Any) -> Iterator[Scenario]:
    """An account in which the documents stand that the kinds' policies name.

    The clean runs are made before, because there is one account at a time.
    """
    for kind in KINDS:
        clean_run(kind)
    with scenario(**options) as scene:
        _add_documents(scene)
        yield scene


def _add_documents(scene: Scenario) -> None:
    for document in (*HOOKS.values(), HEALTH):
        scene.fleet.add_document(document)


def add(scene: Scenario, kind: Kind, name: str = "") -> Machine:
    """A machine of a kind."""
    return scene.machine(name or kind.name, **kind.spec)


@cache
def clean_run(kind: Kind) -> CleanRun:
    """Patch a machine of this kind with nothing going wrong around it."""
    with scenario() as scene:
        _add_documents(scene)
        machine = add(scene, kind)
        execution = scene.patch(machine, kind.policy)
        result = scene.result(machine)
        return CleanRun(
            status=execution.status,
            states=tuple(scene.states(execution.arn)),
            calls=tuple(
                call
                for call in scene.account.calls.calls
                if call.caller.kind == "function" and call.caller.execution == execution.arn
            ),
            commands=tuple(scene.commands(machine)),
            images=len(scene.images(machine)),
            outcome=result["outcome"],
            verdict=result["verdict"],
            error=execution.error or "",
            missing=len(machine.missing),
        )


def assert_went_as_ever(
    scene: Scenario, kind: Kind, machine: Machine, execution: str, *, most_messages: int = 1
) -> None:
    """All that was done to the machine was done once, and people heard of it once, as in a clean run."""
    clean = clean_run(kind)
    seen = scene.account.execution(execution)
    assert (seen.status, seen.error, seen.cause) == (clean.status, *_failure_of(scene, machine, clean)), machine.name
    result = scene.result(machine)
    assert (result["outcome"], result["verdict"]) == (clean.outcome, clean.verdict), machine.name
    assert tuple(scene.commands(machine)) == clean.commands, machine.name
    assert [image.state for image in scene.images(machine)] == ["available"] * clean.images, machine.name
    assert len(machine.missing) == clean.missing, machine.name
    assert_is_given_back(scene, kind, machine)
    assert 1 <= len(scene.told(machine)) <= most_messages, machine.name


def assert_is_given_back(scene: Scenario, kind: Kind, machine: Machine) -> None:
    """The machine has the power it came with, nobody holds it or waits for it, and nothing was cut short."""
    assert machine.power == kind.spec.get("power", "running"), machine.name
    assert scene.lease(machine) is None, machine.name
    assert machine.interrupted == [], machine.name


def _failure_of(scene: Scenario, machine: Machine, clean: CleanRun) -> tuple[Any, Any]:
    """An execution ends with the failure of its result."""
    failure = scene.result(machine).get("failure") if clean.status == "FAILED" else None
    return (failure["error"], failure["cause"]) if failure else (None, None)
