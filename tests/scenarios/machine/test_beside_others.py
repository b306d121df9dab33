"""Two runs of AWS-RunPatchBaseline on one machine, at once or shortly after one another, whoever makes them.

AWS's document refuses the second: "Another patching operation is in progress". That says nothing of the machine.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from rehearsal.account import ExecutionView
from rehearsal.play.faults import Moment, RunAssociation
from rehearsal.world.machines import Machine
from tests.scenarios.machine.scenario import Scenario, assert_given_back

BARE = {"backup": {"before": {"take": False}, "after": {"take": False}}}
SCAN = {"operation": "Scan"}

BESIDE = {
    "at-once": RunAssociation("", Moment(state="Probe Instance At First")),
    "as-it-is-scanned": RunAssociation("", Moment(state="Scan Patches At First")),
    "before-it-installs": RunAssociation("", Moment(after=113, state="Wait Before Install")),
    "as-it-installs": RunAssociation("", Moment(state="Install Patches")),
    "in-the-pause": RunAssociation("", Moment(state="Wait Before Scan")),
    "at-the-pause's-end": RunAssociation("", Moment(after=112, state="Wait Before Scan")),
    "as-it-is-proved": RunAssociation("", Moment(after=1, state="Scan Patches")),
}
"""When a State Manager association scans a machine on which Drydock is at work."""

INSTALLS = RunAssociation("", Moment(state="Probe Instance At First"), "Install")


class Night:
    """One night in which machines are patched, and others patch them, too."""

    def __init__(self, scene: Scenario) -> None:
        self.scene = scene
        self.machines: dict[str, Machine] = {}
        self.executions: dict[str, list[ExecutionView]] = {}

    def add(self, name: str, beside: RunAssociation | None = None, **spec: object) -> None:
        """Add a machine, and an association that patches it."""
        self.machines[name] = self.scene.machine(name, **spec)
        self.executions[name] = []
        if beside is not None:
            self.scene.given(RunAssociation(name, beside.moment, beside.operation))

    def work(self, policy: Mapping[str, object]) -> None:
        """Work on all machines at once, until everything has ended."""
        begun = {name: self.scene.start(machine, {**BARE, **policy}) for name, machine in self.machines.items()}
        self.scene.settle()
        for name, arn in begun.items():
            self.executions[name].append(self.scene.account.execution(arn))

    def scans(self, name: str) -> list[str]:
        """The intents for which a machine was scanned, of all its executions."""
        results = self.scene.results(self.machines[name])
        return [one["step"] for result in results for one in result["commands"] if "scan" in one["step"]]


@pytest.fixture(scope="module")
def again(scene: Scenario) -> Night:
    """Machines that are worked on four times, one execution at the heels of the other."""
    night = Night(scene)
    night.add("again")
    night.add("behind", clock_skew_seconds=-7200)
    night.add("ahead", clock_skew_seconds=7200)
    for policy in ({}, SCAN, {}, SCAN):
        night.work(policy)
    return night


@pytest.fixture(scope="module")
def beside(scene: Scenario) -> Night:
    night = Night(scene)
    for name, association in BESIDE.items():
        night.add(name, association)
    night.add("patched-by-others", INSTALLS)
    night.add("locked", INSTALLS, wrong=("never_ends",))
    night.work({})
    return night


def test_an_execution_waits_for_the_pause_that_the_last_one_has_left_behind(again: Night) -> None:
    results = again.scene.results(again.machines["again"])

    assert [(one.status, one.error) for one in again.executions["again"]] == [("SUCCEEDED", None)] * 4
    assert [one["outcome"] for one in results] == ["succeeded", "succeeded", "already_compliant", "succeeded"]
    # The patch state says when the last one ended, so that nothing is sent in vain.
    assert again.scans("again") == ["scanFirst", "scanAfter", "scanAfter", "scanFirst", "scanAfter"]
    assert_given_back(again.scene, again.machines["again"], "running")


@pytest.mark.parametrize("name", ["behind", "ahead"])
def test_where_a_wrong_clock_hides_the_pause_the_machine_itself_says_so(again: Night, name: str) -> None:
    assert [one.status for one in again.executions[name]] == ["SUCCEEDED"] * 4
    assert again.scans(name)[2:4] == ["scanAfter", "scanAfterAgain2"]


@pytest.mark.parametrize("name", BESIDE)
def test_what_an_association_scans_beside_is_done_after_it(beside: Night, name: str) -> None:
    (execution,) = beside.executions[name]

    assert (execution.status, beside.scene.result(beside.machines[name])["verdict"]) == ("SUCCEEDED", "compliant")
    assert beside.machines[name].missing == []
    assert_given_back(beside.scene, beside.machines[name], "running")


def test_an_installation_that_found_another_at_work_is_sent_once_more(beside: Night) -> None:
    result = beside.scene.result(beside.machines["before-it-installs"])

    installs = [one["step"] for one in result["commands"] if one["step"].startswith("install")]
    assert installs == ["install", "installAgain2", "installAgain3"]


def test_what_others_install_meanwhile_is_waited_for_and_found(beside: Night) -> None:
    assert beside.scene.result(beside.machines["patched-by-others"])["outcome"] == "already_compliant"


def test_what_patches_beside_without_end_is_told_and_nothing_is_installed(beside: Night) -> None:
    (execution,) = beside.executions["locked"]

    assert (execution.status, execution.error) == ("FAILED", "PatchingNotReadyError")
    assert "Another patching operation is in progress" in (execution.cause or "")
    assert beside.scene.result(beside.machines["locked"])["verdict"] == "not_patched"
    assert_given_back(beside.scene, beside.machines["locked"], "running")
