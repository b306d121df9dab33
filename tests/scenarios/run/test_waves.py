"""In which order machines come, how many at once, and how many may fail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from rehearsal.world.fleet import Durations, Machine
from tests.proved import proved
from tests.scenarios.machine.scenario import assert_given_back, assert_untouched
from tests.scenarios.run.scenario import FAILING, QUICKLY, RunScenario, RunView, assert_patched, run_scenario


@pytest.fixture(scope="module")
def scene() -> Iterator[RunScenario]:
    with run_scenario() as opened:
        yield opened


def assert_waves_in_turn(run: RunView) -> None:
    """No machine of a wave began before all of the wave before had ended."""
    for earlier, later in zip(run.waves, run.waves[1:], strict=False):
        assert max(run.ended[name] for name in earlier) <= min(run.began[name] for name in later), later


# Order and waves.


def test_the_canary_is_the_first_wave_and_the_others_follow_when_it_is_done(scene: RunScenario) -> None:
    machines = scene.machines("canary", 5)

    run = scene.run("canary", {**QUICKLY, "canary": {"count": 2}, "maxConcurrency": 5})

    assert run.outcome == "succeeded"
    assert run.waves == [["canary-1", "canary-2"], ["canary-3", "canary-4", "canary-5"]]
    assert [wave["isCanary"] for wave in run.plan["waves"]] == [True, False]
    assert_waves_in_turn(run)
    assert run.most_in_work == 3
    assert_patched(scene, *machines)


@pytest.mark.parametrize(
    ("count", "expected"), [("20%", 2), ("15%", 1), ("1%", 1), ("0%", 0), ("100%", 10)], ids=lambda value: str(value)
)
def test_a_canary_may_be_a_share_of_the_machines(scene: RunScenario, count: str, expected: int) -> None:
    group = f"share-{count[:-1]}"
    scene.machines(group, 10)

    run = scene.run(group, {"canary": {"count": count}}, planOnly=True)

    canaries = sum(wave["count"] for wave in run.plan["waves"] if wave["isCanary"])
    assert canaries == expected
    assert len(run.planned) == 10


@pytest.mark.parametrize("tag", ["Canary", "Canary=yes"], ids=["by-key", "by-value"])
def test_the_canary_may_be_the_machines_with_a_tag(scene: RunScenario, tag: str) -> None:
    group = f"tagged-{len(tag)}"
    scene.member(group, f"{group}-1")
    scene.member(group, f"{group}-2", tags={"Canary": "yes", "DrydockOrder": "9"})
    scene.member(group, f"{group}-3")

    run = scene.run(group, {**QUICKLY, "canary": {"tag": tag}, "maxConcurrency": 3})

    assert run.waves == [[f"{group}-2"], [f"{group}-1", f"{group}-3"]]
    assert_waves_in_turn(run)


def test_a_canary_tag_that_no_machine_has_is_a_warning_in_plan_and_message(scene: RunScenario) -> None:
    scene.machines("lost-canary", 2)

    run = scene.run("lost-canary", {**QUICKLY, "canary": {"tag": "Kanarie"}})

    assert run.waves == [["lost-canary-1", "lost-canary-2"]]
    assert run.plan["warnings"] == ["policy.canary.tag: no planned machine has the tag Kanarie"]
    assert run.plan["warnings"][0] in run.summary.said


def test_the_canary_stands_for_its_soak_time_before_the_others_follow(scene: RunScenario) -> None:
    scene.machines("soak", 3)

    run = scene.run("soak", {**QUICKLY, "canary": {"count": 1}, "soakMinutes": 30})

    soaked = run.began["soak-2"] - run.ended["soak-1"]
    assert timedelta(minutes=30) <= soaked < timedelta(minutes=31)
    assert run.began["soak-3"] - run.ended["soak-2"] < timedelta(minutes=1), "only the canary soaks"


def test_a_canary_of_several_orders_soaks_once_after_the_last_of_them(scene: RunScenario) -> None:
    for number, order in ((1, "1"), (2, "2"), (3, "3")):
        scene.member("soaks", f"soaks-{number}", tags={"DrydockOrder": order})

    run = scene.run("soaks", {**QUICKLY, "canary": {"count": 2}, "soakMinutes": 30})

    assert run.waves == [["soaks-1"], ["soaks-2"], ["soaks-3"]]
    assert run.began["soaks-2"] - run.ended["soaks-1"] < timedelta(minutes=1)
    assert run.began["soaks-3"] - run.ended["soaks-2"] >= timedelta(minutes=30)


def test_a_run_that_is_all_canary_does_not_soak(scene: RunScenario) -> None:
    scene.machines("all-canary", 1)

    run = scene.run("all-canary", {**QUICKLY, "canary": {"count": 1}, "soakMinutes": 600})

    assert run.outcome == "succeeded"
    assert "Soak" not in scene.states(run.arn)


def test_waves_have_the_size_that_the_policy_says(scene: RunScenario) -> None:
    scene.machines("wave", 5)

    run = scene.run("wave", {**QUICKLY, "waveSize": "40%", "maxConcurrency": 5})

    assert run.waves == [["wave-1", "wave-2"], ["wave-3", "wave-4"], ["wave-5"]]
    assert run.most_in_work == 2
    assert_waves_in_turn(run)


def test_a_machine_of_a_later_order_never_begins_before_all_of_the_earlier_have_ended(scene: RunScenario) -> None:
    orders = {"db": "1", "db-standby": "1", "app": "2", "web": "30", "tool": "", "odd": "soon"}
    for name, order in orders.items():
        slow = Durations(install=3000 if name == "db-standby" else 300)
        scene.member("ordered", name, durations=slow, tags={"DrydockOrder": order} if order else {})

    run = scene.run("ordered", {**QUICKLY, "maxConcurrency": 10})

    assert run.waves == [["db", "db-standby"], ["app"], ["web"], ["odd", "tool"]]
    assert_waves_in_turn(run)
    (warning,) = run.plan["warnings"]
    assert "DrydockOrder is not a whole number" in warning
    assert "odd" in warning


# How many at once.


@pytest.mark.parametrize(
    ("given", "expected"),
    [("3", 3), proved(100, 8), proved("5%", 1)],
    ids=lambda value: str(value),
)
def test_never_more_machines_are_in_work_than_the_policy_allows(
    scene: RunScenario, given: int | str, expected: int
) -> None:
    group = f"at-once-{str(given).replace('%', 'percent')}"
    machines = scene.machines(group, 8)

    run = scene.run(group, {**QUICKLY, "maxConcurrency": given})

    assert run.outcome == "succeeded"
    assert run.most_in_work == expected
    assert_patched(scene, *machines)


# How many may fail.


def failing(scene: RunScenario, group: str, count: int, bad: Sequence[int]) -> list[Machine]:
    """So many machines, of which those with these numbers fail."""
    return [
        scene.member(group, f"{group}-{number:02}", **(FAILING if number in bad else {}))
        for number in range(1, count + 1)
    ]


@pytest.mark.parametrize(
    ("allowed", "attempted"),
    [
        proved(0, 1, id="0"),
        pytest.param("25%", 3, id="25-percent-of-10"),
        proved("100%", 10, id="100-percent"),
    ],
)
def test_a_run_ends_when_more_have_failed_than_the_policy_allows(
    scene: RunScenario, request: pytest.FixtureRequest, allowed: int | str, attempted: int
) -> None:
    group = f"budget-{request.node.callspec.id}"
    machines = failing(scene, group, 10, range(1, 11))

    run = scene.run(group, {**QUICKLY, "maxErrors": allowed, "notify": "summary"})

    assert run.report["counts"]["failed"] == attempted
    assert run.report["counts"]["not_attempted"] == 10 - attempted
    assert (run.status, run.outcome) == ("FAILED", "failed")
    for machine in machines[attempted:]:
        assert_untouched(scene, machine)
    if attempted < 10:
        assert "No machine began any more: more machines failed than the error budget allows." in run.summary.said
        assert f"drydock run --resume {run.run_id} --minutes " in run.summary.said


def test_a_budget_that_the_canary_spends_keeps_all_others_from_being_touched(scene: RunScenario) -> None:
    machines = failing(scene, "spent", 5, [1])

    run = scene.run("spent", {**QUICKLY, "canary": {"count": 1}, "soakMinutes": 60, "maxConcurrency": 5})

    assert run.outcome == "failed"
    assert run.outcomes["spent-01"] == "failed"
    assert set(run.errors.values()) == {run.errors["spent-01"], "BudgetSpentError"}
    for machine in machines[1:]:
        assert_untouched(scene, machine)


def test_machines_in_work_finish_properly_when_the_budget_is_spent(scene: RunScenario) -> None:
    slow = Durations(install=2400)
    bad = scene.member("finish", "finish-1", **FAILING)
    in_work = [scene.member("finish", f"finish-{number}", durations=slow, power="stopped") for number in (2, 3)]
    waiting = scene.member("finish", "finish-4")

    run = scene.run("finish", {**QUICKLY, "maxConcurrency": 3})

    assert run.outcomes == {
        "finish-1": "failed",
        "finish-2": "succeeded",
        "finish-3": "succeeded",
        "finish-4": "not_attempted",
    }
    assert run.ended["finish-2"] > run.ended["finish-1"]
    assert_given_back(scene, bad, "running")
    assert_patched(scene, *in_work, power="stopped")
    assert_untouched(scene, waiting)
