"""Nodes of clusters that the policy includes: drained before anything reboots them, and put back to work after it."""

from __future__ import annotations

import pytest

from rehearsal.play.run import RehearsalOutcome
from tests.scenarios.run.nights import assert_ended_as_expected, play_night, states_of

NIGHT = """
description: Nodes of a cluster that the policy includes, and one of a cluster that it does not.
parameters: {WindowDurationHours: 8, TimeZone: UTC, HookDocumentPrefix: Acme-}
policy:
  maxConcurrency: 4
  maxErrors: 3
  include: [eks]
  minHealthy: 0
  backup: {after: {reboot: true}}
  hooks: {beforeAnything: Acme-Drain, onExit: Acme-Uncordon}
documents: [{name: Acme-Drain, platforms: [Linux]}, {name: Acme-Uncordon, platforms: [Linux]}]
window: {executions: [{expect: {outcome: failed, counts: {succeeded: 3, failed: 3, alreadyCompliant: 1}, leftOut: 1}}]}
groups: [{name: workers, min: 0, max: 1, loadBalancer: false}]
instances:
  - {name: worker, group: workers, missing: 2, tags: &node {WinUpdate: "ON", "eks:cluster-name": prod}}
  - {name: alone, missing: 2, tags: *node, expect: {verdict: compliant, images: 2}}
  - {name: stopped, power: stopped, missing: 2, tags: *node, expect: {verdict: compliant, images: 2}}
  - {name: unimaged, wrong: [image_fails], missing: 2, tags: *node, expect: {run: failed, error: ImageFailedError}}
  - {name: failing, wrong: [install_error], missing: 2, tags: *node, expect: {run: failed, verdict: failed}}
  - {name: cordoned, wrong: [install_error, "hook_fails:Acme-Uncordon"], missing: 2, tags: *node, expect: {run: failed}}
  - {name: well, tags: *node, expect: {run: already_compliant}}
  - {name: spark, missing: 2, tags: {WinUpdate: "ON", "aws:elasticmapreduce:job-flow-id": j-1}, expect: {run: left_out}}
"""


KILLED = """
description: Executions of drained nodes are killed.
parameters: {WindowDurationHours: 8, TimeZone: UTC, HookDocumentPrefix: Acme-}
policy:
  maxConcurrency: 4
  maxErrors: 4
  include: [eks]
  hooks: {beforeAnything: Acme-Drain, onExit: Acme-Uncordon}
documents: [{name: Acme-Drain, platforms: [Linux]}, {name: Acme-Uncordon, platforms: [Linux]}]
window: {executions: [{expect: {outcome: failed, counts: {failed: 4}}}]}
instances:
  - {name: killed, missing: 2, tags: &node {WinUpdate: "ON", "eks:cluster-name": prod}, expect: &failed {run: failed}}
  - {name: unsure, wrong: ["hook_fails:Acme-Uncordon"], missing: 2, tags: *node, expect: *failed}
  - {name: stopped, missing: 2, tags: *node, expect: {run: failed, power: stopped}}
  - {name: undrained, missing: 2, tags: *node, expect: *failed}
faults:
  - stopExecution: {instance: killed, state: Install Patches, after: 1m}
  - stopExecution: {instance: unsure, state: Install Patches, after: 1m}
  - stopExecution: {instance: stopped, state: Back Up Before, after: 10s}
  - stopInstance: {instance: stopped, state: Back Up Before, after: 20s}
  - stopExecution: {instance: undrained, state: Wait Before Leaving}
"""


def test_a_node_whose_execution_is_killed_works_again_or_people_are_told_how() -> None:
    outcome = play_night(KILLED)

    assert_ended_as_expected(outcome)
    by_name = {machine.name: machine for machine in outcome.machines}
    sent = {
        name: [one["document"] for one in machine.result["commands"]].count("Acme-Uncordon")
        for name, machine in by_name.items()
    }
    assert sent == {"killed": 1, "unsure": 1, "stopped": 0, "undrained": 0}
    said = {name: " ".join(machine.result["problems"]) for name, machine in by_name.items()}
    assert said["killed"] == ""
    command = "aws ssm send-command --document-name Acme-Uncordon --instance-ids i-"
    assert "whether Acme-Uncordon, which lets it work again, did its work is not known" in said["unsure"]
    assert "Acme-Drain was sent, and Acme-Uncordon, which lets it work again, was not" in said["stopped"]
    assert "drained" not in said["undrained"]
    for name in ("unsure", "stopped"):
        first, second = [" ".join(one.body.split()) for one in outcome.messages if f" {name} (i-" in one.subject]
        assert "It was drained: Drydock sends Acme-Uncordon" in first
        assert "it may be drained still" in second and command in second.replace("\\ ", "")


@pytest.fixture(scope="module")
def night() -> RehearsalOutcome:
    return play_night(NIGHT)


def test_the_night_ends_as_it_should(night: RehearsalOutcome) -> None:
    assert_ended_as_expected(night)


@pytest.mark.parametrize("name", ["worker", "alone", "unimaged", "failing"])
def test_a_node_is_drained_before_whatever_reboots_it_and_works_again_after_the_last(
    night: RehearsalOutcome, name: str
) -> None:
    states = states_of(night, name)
    reboots = [state for state in ("Back Up Before", "Install Patches", "Back Up After") if state in states]
    [drained] = [index for index, state in enumerate(states) if state == "Run Hook Before Anything"]
    [back] = [index for index, state in enumerate(states) if state.startswith("Run Hook On Exit")]

    assert drained < min(map(states.index, reboots)) <= max(map(states.index, reboots)) < back


def test_a_node_that_is_started_is_drained_before_the_installation(night: RehearsalOutcome) -> None:
    states = states_of(night, "stopped")

    assert states.index("Start Instance") < states.index("Run Hook Before Anything") < states.index("Install Patches")
    assert states.index("Run Hook On Exit") < states.index("Restore Power")


def test_a_node_on_which_nothing_is_missing_is_not_drained(night: RehearsalOutcome) -> None:
    [well] = [machine for machine in night.machines if machine.name == "well"]

    assert not any(state.startswith("Run Hook") for state in states_of(night, "well"))
    assert well.result["hooks"] == {"beforeAnything": "not_needed", "onExit": "not_needed"}


def test_a_node_that_its_hook_did_not_let_work_again_is_named_with_the_command_though_something_else_had_failed(
    night: RehearsalOutcome,
) -> None:
    [mail] = [one for one in night.messages if "cordoned (i-" in one.subject]
    [summary] = [one for one in night.messages if one.attributes.get("kind") == "run"]

    assert mail.subject.startswith("Drydock, act now: cordoned (i-") and "may be drained still" in mail.subject
    for body in (" ".join(one.body.split()).replace("\\ ", "") for one in (mail, summary)):
        assert "whether Acme-Uncordon, which lets it work again, did its work is not known" in body
        assert "aws ssm send-command --document-name Acme-Uncordon --instance-ids i-" in body
    assert summary.subject.startswith("Drydock, act now: ")
