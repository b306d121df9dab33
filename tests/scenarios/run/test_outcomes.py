"""What becomes of a run as a whole, and what people hear of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rehearsal.world.fleet import Machine
from tests.scenarios.machine.scenario import assert_given_back, assert_untouched
from tests.scenarios.run.scenario import FAILING, QUICKLY, RunScenario, assert_patched, run_scenario


@pytest.fixture(scope="module")
def scene() -> Iterator[RunScenario]:
    with run_scenario() as opened:
        yield opened


def test_every_machine_of_a_run_is_patched_and_people_hear_of_it_once(scene: RunScenario) -> None:
    machines = scene.machines("web", 3)

    run = scene.run("web")

    assert (run.status, run.outcome) == ("SUCCEEDED", "succeeded")
    assert run.outcomes == {"web-1": "succeeded", "web-2": "succeeded", "web-3": "succeeded"}
    assert run.report["counts"]["succeeded"] == 3
    assert run.summary.subject == f"Drydock: all 3 machines patched (run {run.run_id})"
    assert "Nothing to do: " in run.summary.said
    assert run.messages == [run.summary]
    assert run.most_in_work == 1
    assert [len(scene.images(machine)) for machine in machines] == [2, 2, 2]
    assert_patched(scene, *machines)


def test_what_a_run_ends_with_is_what_its_report_says(scene: RunScenario) -> None:
    scene.machines("output", 1)

    run = scene.run("output", QUICKLY)

    assert run.execution.output["outcome"] == "succeeded"
    assert run.execution.output["counts"] == run.report["counts"]
    assert run.execution.output["reportKey"] == run.item["reportKey"]
    assert run.item["reportKey"] in run.summary.said
    bucket, key = scene.stack.outputs["LogBucketName"], f"runs/{run.run_id}/report.html"
    found = scene.account.client("s3").get_object(Bucket=bucket, Key=key)
    assert found["ContentType"] == "text/html; charset=utf-8"
    page = found["Body"].read().decode()
    assert f"The only machine was patched (run {run.run_id})" in page
    assert "output-1" in page


def test_a_run_that_finds_nothing_to_do_says_so_and_succeeds(scene: RunScenario) -> None:
    run = scene.run("nobody")

    assert (run.status, run.outcome) == ("SUCCEEDED", "nothing_to_do")
    assert run.outcomes == {}
    assert "no machine was there to be patched" in run.summary.said
    assert run.messages == [run.summary]
    assert run.children == []


def test_machines_that_are_all_stopped_are_patched_and_stopped_again(scene: RunScenario) -> None:
    machines = scene.machines("cold", 2, power="stopped")

    run = scene.run("cold", QUICKLY)

    assert (run.status, run.outcome) == ("SUCCEEDED", "succeeded")
    assert [machine["managed"] for machine in run.plan["machines"]] == ["unknown", "unknown"]
    assert_patched(scene, *machines, power="stopped")


def test_the_first_failure_ends_a_run_that_allows_none(scene: RunScenario) -> None:
    machines = [scene.member("strict", "strict-1", **FAILING), *_more(scene, "strict", 2, 3)]

    run = scene.run("strict", QUICKLY)

    assert (run.status, run.execution.error, run.outcome) == ("FAILED", "MachinesFailedError", "failed")
    assert run.outcomes == {"strict-1": "failed", "strict-2": "not_attempted", "strict-3": "not_attempted"}
    assert run.errors["strict-2"] == "BudgetSpentError"
    assert "1 failed, and the policy allows 0 (maxErrors)" in run.causes["strict-3"]
    assert "Look tomorrow: " in run.summary.said
    assert "1 of 3 machines failed" in str(run.summary.subject)
    assert machines[0].instance_id in run.summary.said
    assert_given_back(scene, machines[0], "running")
    for machine in machines[1:]:
        assert_untouched(scene, machine)


def test_a_run_with_failures_that_it_allows_goes_on_and_ends_in_fail(scene: RunScenario) -> None:
    machines = [scene.member("lenient", "lenient-1", **FAILING), *_more(scene, "lenient", 2, 3)]

    run = scene.run("lenient", {**QUICKLY, "maxErrors": 1})

    assert (run.status, run.execution.error, run.outcome) == ("FAILED", "MachinesFailedError", "failed")
    assert run.outcomes == {"lenient-1": "failed", "lenient-2": "succeeded", "lenient-3": "succeeded"}
    assert_patched(scene, *machines[1:])


def _more(scene: RunScenario, group: str, first: int, last: int) -> list[Machine]:
    return [scene.member(group, f"{group}-{number}") for number in range(first, last + 1)]


# Who hears of what.


@pytest.mark.parametrize(
    ("notify", "expected"),
    [
        pytest.param("each", ["failed", "succeeded", "succeeded"], id="each"),
        pytest.param("failures", ["failed"], id="failures"),
        pytest.param("summary", [], id="summary"),
    ],
)
def test_the_policy_says_of_which_machines_people_are_told_besides_the_run(
    scene: RunScenario, notify: str, expected: list[str]
) -> None:
    group = f"notify-{notify}"
    scene.member(group, f"{group}-1", **FAILING)
    _more(scene, group, 2, 3)

    run = scene.run(group, {**QUICKLY, "maxErrors": 1, "notify": notify})

    told = [message.attributes["outcome"] for message in run.messages if message is not run.summary]
    assert sorted(told) == expected
    assert run.summary.attributes["outcome"] == "failed"
    assert run.messages[-1] == run.summary, "the summary comes last"


def test_each_message_of_a_run_serves_mail_and_chat(scene: RunScenario) -> None:
    scene.member("chat", "chat-1", **FAILING)

    run = scene.run("chat", QUICKLY)

    assert len(run.messages) == 2
    for message in run.messages:
        assert message.subject is not None
        assert message.chat["version"] == "1.0"
        assert message.chat["content"]["title"]
        assert not message.body.lstrip().startswith("{")


# Machines that are left out.

LEFT_OUT: dict[str, tuple[dict[str, Any], str, str]] = {
    "excluded": ({"tags": {"DrydockExclude": "licence server"}}, "InstanceExcludedError", "licence server"),
    "member": ({"group": "web-asg", "power": "stopped"}, "InstanceInGroupError", "stopped member of Auto Scaling"),
    "unmanaged": ({"managed": False}, "InstanceUnmanagedError", "SSM Agent"),
    "silent": ({"wrong": ("agent_never_online",)}, "InstanceUnmanagedError", "SSM Agent"),
    "spot": ({"lifecycle": "spot", "power": "stopped"}, "InstanceNotPatchableError", "Spot"),
    "store": ({"root_device": "instance-store"}, "InstanceNotPatchableError", "instance store"),
}


def test_machines_that_may_not_be_patched_are_left_out_each_with_its_reason(scene: RunScenario) -> None:
    machines = {name: scene.member("no", name, **spec) for name, (spec, _, _) in LEFT_OUT.items()}
    gone = scene.member("no", "gone")
    scene.fleet.terminate_behind_the_back(gone.instance_id)
    scene.run_for(minutes=5)

    run = scene.run("no")

    assert (run.status, run.outcome) == ("FAILED", "incomplete")
    expected = {name: error for name, (_, error, _) in LEFT_OUT.items()} | {"gone": "InstanceNotFoundError"}
    assert run.left_out == expected
    reasons = {left["instanceId"]: left["reason"] for left in run.report["leftOut"]}
    for name, (_, _, words) in LEFT_OUT.items():
        assert words in reasons[machines[name].instance_id]
        assert_untouched(scene, machines[name])
    assert "terminated" in reasons[gone.instance_id]
    assert f"excluded ({machines['excluded'].instance_id}): tag DrydockExclude says: licence server" in run.summary.said
    assert "Look tomorrow: " in run.summary.said, "somebody has to mend the agents"


def test_what_is_left_out_does_not_keep_the_others_from_being_patched(scene: RunScenario) -> None:
    ready = scene.member("mixed", "mixed-1")
    excluded = scene.member("mixed", "mixed-2", tags={"DrydockExclude": ""})

    run = scene.run("mixed", QUICKLY)

    assert run.outcomes == {"mixed-1": "succeeded"}
    assert run.left_out == {"mixed-2": "InstanceExcludedError"}
    assert "1 excluded by the tag DrydockExclude" in run.summary.said
    assert_patched(scene, ready)
    assert_untouched(scene, excluded)


def test_a_machine_that_another_execution_has_in_work_is_left_out(scene: RunScenario) -> None:
    held, free = scene.machines("held", 2)
    other = scene.start(held)
    scene.run_until(other, "Back Up Before")

    run = scene.run("held", QUICKLY)

    assert run.left_out == {"held-1": "InstanceBusyError"}
    assert run.outcomes == {"held-2": "succeeded"}
    assert scene.account.execution(other).status == "SUCCEEDED"
    assert_patched(scene, held, free)


def test_a_stopped_machine_is_left_out_of_a_scan(scene: RunScenario) -> None:
    stopped = scene.member("scan", "scan-off", power="stopped")
    running = scene.member("scan", "scan-on")

    run = scene.run("scan", operations=["Scan"])

    assert run.left_out == {"scan-off": "InstanceNotRunningError"}
    assert run.outcomes == {"scan-on": "succeeded"}
    assert len(running.missing) == 2
    assert "1 of 1 machine lacks patches" in str(run.summary.subject)
    assert_untouched(scene, stopped)


# What happens to machines between the plan and their turn.


@pytest.mark.parametrize(
    ("interfere", "outcome", "error"),
    [
        pytest.param(
            lambda scene, machine: scene.fleet.terminate_behind_the_back(machine.instance_id),
            "gone",
            "InstanceNotFoundError",
            id="terminated",
        ),
        pytest.param(
            lambda scene, machine: scene.fleet.tags(machine.instance_id).update(DrydockExclude="not today"),
            "skipped",
            "InstanceExcludedError",
            id="excluded",
        ),
        pytest.param(lambda scene, machine: scene.start(machine), "busy", "InstanceBusyError", id="taken-by-another"),
    ],
)
def test_a_machine_that_cannot_be_had_any_more_is_no_failure_and_spends_no_budget(
    scene: RunScenario,
    request: pytest.FixtureRequest,
    interfere: Callable[[RunScenario, Machine], Any],
    outcome: str,
    error: str,
) -> None:
    group = f"late-{request.node.callspec.id}"
    first, second, third = scene.machines(group, 3)
    arn = scene.start_run(group, QUICKLY)
    # The second machine's turn comes some ten minutes later: whoever takes it then has it for longer.
    scene.run_until(arn, "Carry Out Wave", seconds=600)

    interfere(scene, second)
    scene.settle()

    run = scene.view(arn)
    assert (run.status, run.outcome) == ("SUCCEEDED", "succeeded")
    assert run.outcomes == {first.name: "succeeded", second.name: outcome, third.name: "succeeded"}
    assert run.errors == {second.name: error}
    assert f"1 {outcome}" in run.summary.said
    assert_patched(scene, first, third)


def test_two_runs_of_one_name_are_one_run(scene: RunScenario) -> None:
    scene.machines("same-name", 1)
    first = scene.run("same-name", QUICKLY, name="monthly")

    with pytest.raises(scene.account.client("stepfunctions").exceptions.ExecutionAlreadyExists):
        scene.start_run("nobody", QUICKLY, name="monthly")

    scene.settle()
    assert scene.view(first.arn).report == first.report
    assert len(scene.view(first.arn).summaries) == 1
