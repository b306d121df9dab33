from __future__ import annotations

import pytest

from rehearsal.play.faults import DelayEvents, DoubleEvents, Fault, LoseEvents
from tests.faults.kinds import KINDS, RUNNING, account_with_hooks, add, assert_went_as_ever
from tests.proved import proved
from tests.scenarios.machine.scenario import assert_given_back, scenario

MISHAPS = pytest.mark.parametrize(
    "fault",
    [
        pytest.param(LoseEvents(), id="lost"),
        pytest.param(DoubleEvents(again=60), id="twice, a minute apart"),
        proved(DoubleEvents(), id="twice"),
        proved(DelayEvents(by=1200), id="twenty minutes late"),
    ],
)


@MISHAPS
def test_machines_are_patched_as_ever_whatever_becomes_of_all_events(fault: Fault) -> None:
    with account_with_hooks() as scene:
        (strikes,) = scene.given(fault)
        machines = {kind: add(scene, kind) for kind in KINDS}

        executions = {kind: scene.start(machine, kind.policy) for kind, machine in machines.items()}
        scene.settle()

        assert strikes.count > 0
        for kind, machine in machines.items():
            assert_went_as_ever(scene, kind, machine, executions[kind])


@pytest.mark.parametrize("name", ["States.Timeout", "States.HeartbeatTimeout"])
def test_a_lost_event_costs_one_heartbeat_whatever_that_is_called(name: str) -> None:
    with scenario() as clean:
        undisturbed = clean.patch(add(clean, RUNNING))
    with scenario(heartbeat_error=name) as scene:
        scene.given(LoseEvents(detail_type="EC2 AMI State Change"))

        execution = scene.patch(add(scene, RUNNING))

        assert undisturbed.stopped and execution.stopped
        late = (execution.stopped - execution.started) - (undisturbed.stopped - undisturbed.started)
        # The image before takes five minutes; a heartbeat of fifteen finds it ready. Nobody waits for the one after.
        assert 9 * 60 < late.total_seconds() < 11 * 60


@MISHAPS
def test_a_failed_machine_is_told_of_once_whatever_becomes_of_all_events(fault: Fault) -> None:
    with scenario() as scene:
        scene.given(fault)
        web = scene.machine(wrong=("install_error",))

        execution = scene.patch(web)

        assert execution.status == "FAILED"
        assert len(scene.told(web)) == 1
        assert_given_back(scene, web, "running")


@MISHAPS
def test_a_killed_execution_is_told_of_once_whatever_becomes_of_all_events(fault: Fault) -> None:
    with scenario() as scene:
        scene.given(fault)
        win = scene.machine(platform="Windows", power="stopped")
        execution = scene.start(win)
        scene.run_until(execution, "Wait Until Reachable", seconds=5)

        scene.account.stop_execution(execution, error="Operator", cause="not today")
        scene.settle()

        result = scene.result(win)
        assert (result["outcome"], result["failure"]) == ("failed", {"error": "Operator", "cause": "not today"})
        assert len(scene.told(win)) == 1
        assert_given_back(scene, win, "stopped")


@MISHAPS
def test_a_refused_machine_is_told_of_once_whatever_becomes_of_all_events(fault: Fault) -> None:
    with scenario() as scene:
        scene.given(fault)
        web = scene.machine(tags={"DrydockExclude": "month end"})

        execution = scene.patch(web)

        assert (execution.status, execution.error) == ("FAILED", "InstanceExcludedError")
        assert scene.result(web)["outcome"] == "refused"
        assert len(scene.told(web)) == 1
        assert (scene.commands(web), scene.images(web), scene.tags(web).get("DrydockState")) == ([], [], None)
        assert_given_back(scene, web, "running")


def test_a_rehearsal_with_the_same_seed_gives_the_same_history_event_for_event() -> None:
    def rehearse(seed: int) -> list[object]:
        with account_with_hooks(seed=seed) as scene:
            scene.given(DoubleEvents(detail_type="EC2 Command*"))
            executions = [scene.start(add(scene, kind), kind.policy) for kind in KINDS]
            scene.run_for(20)
            scene.account.stop_execution(executions[0])
            scene.settle()
            return [
                *(event for execution in executions for event in scene.account.execution(execution).events),
                *scene.account.bus.events,
                *scene.messages,
                *((call.at, call.caller.name, call.operation) for call in scene.account.calls.calls),
            ]

    first, second, other = rehearse(7), rehearse(7), rehearse(8)

    assert len(first) > 1000
    assert next((pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]), None) is None
    assert any(one != another for one, another in zip(first, other, strict=False))
