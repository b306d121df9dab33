from __future__ import annotations

from typing import Any

import pytest

from rehearsal.play.faults import FailCall
from rehearsal.world.machines import PING_INTERVAL
from rehearsal.world.ssm_documents import NEWEST_AGENT, NEWEST_CLOUDWATCH_AGENT
from tests.scenarios.machine.scenario import Scenario, assert_given_back, assert_untouched

UPDATE: dict[str, Any] = {"operation": "UpdateAgents"}
OLD, OLD_CLOUDWATCH = "3.2.985.0", "1.300049.1b929"
SSM_DOCUMENT, CLOUDWATCH_DOCUMENT = "AWS-UpdateSSMAgent", "AWS-ConfigureAWSPackage"
PROBE = "drydock-Probe"
MACHINES = {
    "linux-running": {"platform": "Linux", "power": "running"},
    "windows-stopped": {"platform": "Windows", "power": "stopped"},
}
each_machine = pytest.mark.parametrize("spec", list(MACHINES.values()), ids=list(MACHINES))


def _updates(scene: Scenario, machine: Any) -> dict[str, tuple[str, str, str]]:
    """The versions of each agent before and after, and the verdict on it, as the result has them."""
    return {
        update["agent"]: (update["before"], update["after"], update["verdict"])
        for update in scene.result(machine)["agents"]
    }


@each_machine
def test_both_agents_are_updated_and_their_versions_prove_it(scene: Scenario, spec: dict[str, Any]) -> None:
    tags = {"DrydockState": "Parked"}
    machine = scene.machine(f"both-{spec['platform']}", agent_version=OLD, tags=tags, **spec)

    execution = scene.patch(machine, UPDATE)

    assert execution.status == "SUCCEEDED"
    assert execution.output["verdict"] == "updated"
    assert (machine.agent.version, machine.cloudwatch_agent_version) == (NEWEST_AGENT, NEWEST_CLOUDWATCH_AGENT)
    assert scene.commands(machine) == [PROBE, SSM_DOCUMENT, CLOUDWATCH_DOCUMENT, PROBE]
    result = scene.result(machine)
    assert (result["outcome"], result["verdict"], result["operation"]) == ("succeeded", "updated", "UpdateAgents")
    assert _updates(scene, machine) == {
        "AmazonSSMAgent": (OLD, NEWEST_AGENT, "updated"),
        "AmazonCloudWatchAgent": (OLD_CLOUDWATCH, NEWEST_CLOUDWATCH_AGENT, "updated"),
    }
    assert result["agentVersions"] == {"before": OLD, "after": NEWEST_AGENT}
    assert (len(machine.missing), result["patches"]["installed"], result["rebooted"]) == (2, [], False)
    assert scene.images(machine) == []
    assert scene.tags(machine) == {"Name": machine.name, **tags}
    (message,) = scene.told(machine)
    assert f"SSM Agent {OLD} → {NEWEST_AGENT} CloudWatch" in message.said
    assert "Missing patches" not in message.said
    assert_given_back(scene, machine, spec["power"])


def test_the_commands_have_the_parameters_that_bring_the_newest_versions(scene: Scenario) -> None:
    machine = scene.machine("parameters")

    scene.patch(machine, UPDATE)

    sent = {command["document"]: command["parameters"] for command in scene.result(machine)["commands"]}
    assert sent[SSM_DOCUMENT] == {"allowDowngrade": "false"}
    assert sent[CLOUDWATCH_DOCUMENT] == {
        "action": "Install",
        "installationType": "Uninstall and reinstall",
        "name": "AmazonCloudWatchAgent",
    }


@pytest.mark.parametrize(
    ("agents", "documents"),
    [(["AmazonSSMAgent"], [SSM_DOCUMENT]), (["AmazonCloudWatchAgent"], [CLOUDWATCH_DOCUMENT])],
    ids=["ssm", "cloudwatch"],
)
def test_only_the_agents_that_the_policy_names_are_updated(
    scene: Scenario, agents: list[str], documents: list[str]
) -> None:
    machine = scene.machine(agents[0], agent_version=OLD)

    execution = scene.patch(machine, {**UPDATE, "agents": agents})

    assert execution.status == "SUCCEEDED"
    assert scene.commands(machine) == [PROBE, *documents, PROBE]
    assert list(_updates(scene, machine)) == agents


def test_no_command_is_sent_before_the_updated_agent_has_called_in_again(scene: Scenario) -> None:
    machine = scene.machine("calls-in", agent_version=OLD)

    scene.patch(machine, UPDATE)

    commands = scene.fleet.run_command.list_visible(None, machine.instance_id)
    sent = {command.document.name: command for command in commands}
    updated = sent[SSM_DOCUMENT].invocations[0].finished
    assert updated is not None
    # The agent called in when it came back, just before the command ended, and calls in again after this time.
    assert (sent[CLOUDWATCH_DOCUMENT].requested - updated).total_seconds() > PING_INTERVAL - 2


def test_agents_that_have_the_newest_versions_are_up_to_date(scene: Scenario) -> None:
    machine = scene.machine(
        "newest", agent_version=NEWEST_AGENT, cloudwatch_agent_version=NEWEST_CLOUDWATCH_AGENT, power="stopped"
    )

    execution = scene.patch(machine, UPDATE)

    assert execution.status == "SUCCEEDED"
    assert scene.result(machine)["verdict"] == "up_to_date"
    (message,) = scene.told(machine)
    assert f"SSM Agent {NEWEST_AGENT} CloudWatch Agent {NEWEST_CLOUDWATCH_AGENT}" in message.said
    assert_given_back(scene, machine, "stopped")


def test_one_agent_that_was_old_makes_it_an_update(scene: Scenario) -> None:
    machine = scene.machine("one-old", agent_version=NEWEST_AGENT)

    scene.patch(machine, UPDATE)

    assert scene.result(machine)["verdict"] == "updated"
    assert _updates(scene, machine)["AmazonSSMAgent"][2] == "up_to_date"


def test_a_machine_without_the_cloudwatch_agent_gets_it(scene: Scenario) -> None:
    machine = scene.machine("without", cloudwatch_agent_version="")

    execution = scene.patch(machine, {**UPDATE, "agents": ["AmazonCloudWatchAgent"]})

    assert execution.status == "SUCCEEDED"
    assert scene.result(machine)["verdict"] == "updated"
    assert f"CloudWatch Agent not installed → {NEWEST_CLOUDWATCH_AGENT}" in scene.told(machine)[0].said


@each_machine
@pytest.mark.parametrize("agent", ["AmazonSSMAgent", "AmazonCloudWatchAgent"])
def test_an_update_that_fails_fails_the_flow_and_the_other_agent_is_updated(
    scene: Scenario, spec: dict[str, Any], agent: str
) -> None:
    wrong = (f"agent_update_fails:{agent}",)
    machine = scene.machine(f"fails-{agent}-{spec['platform']}", agent_version=OLD, wrong=wrong, **spec)

    execution = scene.patch(machine, UPDATE)

    assert (execution.status, execution.error) == ("FAILED", "AgentUpdateFailedError")
    result = scene.result(machine)
    assert (result["outcome"], result["verdict"]) == ("failed", "failed")
    verdicts = {name: verdict for name, (_, _, verdict) in _updates(scene, machine).items()}
    assert verdicts.pop(agent) == "failed"
    assert list(verdicts.values()) == ["updated"]
    (message,) = scene.told(machine)
    assert "an agent could not be updated" in " ".join(message.said.split())
    assert "the update failed; its version is" in message.said
    assert "an agent could not be updated" in message.said
    assert_given_back(scene, machine, spec["power"])


def test_a_policy_may_not_mind_updates_that_fail(scene: Scenario) -> None:
    machine = scene.machine("unminded", wrong=("agent_update_fails",))

    execution = scene.patch(machine, {**UPDATE, "failOn": []})

    assert execution.status == "SUCCEEDED"
    assert scene.result(machine)["verdict"] == "failed"


@pytest.mark.parametrize("agent", ["AmazonSSMAgent", "AmazonCloudWatchAgent"])
def test_a_new_version_counts_although_its_command_reported_failure(scene: Scenario, agent: str) -> None:
    wrong = (f"agent_update_reports_failure:{agent}",)
    machine = scene.machine(f"reports-{agent}", agent_version=OLD, wrong=wrong)

    execution = scene.patch(machine, UPDATE)

    assert execution.status == "SUCCEEDED"
    result = scene.result(machine)
    assert (result["outcome"], result["verdict"]) == ("succeeded", "updated_reported_failed")
    assert "agents were updated, although a command reported failure" in scene.told(machine)[0].said


@each_machine
def test_an_agent_that_does_not_come_back_after_its_update_is_unreachable(
    scene: Scenario, spec: dict[str, Any]
) -> None:
    machine = scene.machine(f"lost-{spec['platform']}", agent_version=OLD, wrong=("agent_lost",), **spec)

    execution = scene.patch(machine, {**UPDATE, "deadlines": {"startSeconds": 900}})

    assert (execution.status, execution.error) == ("FAILED", "AgentUnreachableError")
    assert scene.commands(machine) == [PROBE, SSM_DOCUMENT]
    result = scene.result(machine)
    assert (result["verdict"], result["agents"]) == ("unknown", [])
    assert "it is not known which agents are installed" in scene.told(machine)[0].said
    assert_given_back(scene, machine, spec["power"])


def test_an_update_whose_end_is_lost_is_given_up_at_its_deadline_and_the_power_waits_for_it(scene: Scenario) -> None:
    machine = scene.machine("endless", power="stopped", wrong=("never_ends",))

    execution = scene.patch(machine, {**UPDATE, "deadlines": {"agentSeconds": 300}})

    assert (execution.status, execution.error) == ("FAILED", "CommandTimedOutError")
    assert scene.commands(machine) == [PROBE, SSM_DOCUMENT, PROBE], "the last one proves that nothing installs"
    assert scene.result(machine)["verdict"] == "unknown"
    assert_given_back(scene, machine, "stopped")


def test_an_update_that_never_reaches_the_machine_has_updated_nothing(scene: Scenario) -> None:
    machine = scene.machine("undelivered", wrong=(f"delivery_timeout:{SSM_DOCUMENT}",))

    execution = scene.patch(machine, {**UPDATE, "deadlines": {"agentSeconds": 1200}})

    assert (execution.status, execution.error) == ("FAILED", "CommandNotDeliveredError")
    assert scene.result(machine)["verdict"] == "not_patched"
    assert "no agent was updated" in scene.told(machine)[0].said
    assert_given_back(scene, machine, "running")


def test_a_throttled_send_is_repeated_and_the_update_is_sent_once(scene: Scenario) -> None:
    machine = scene.machine("throttled", agent_version=OLD)
    scene.given(FailCall("ssm:SendCommand", "ThrottlingException", instance="throttled", times=3))

    execution = scene.patch(machine, UPDATE)

    assert execution.status == "SUCCEEDED"
    assert scene.commands(machine) == [PROBE, SSM_DOCUMENT, CLOUDWATCH_DOCUMENT, PROBE]


def test_the_health_probe_runs_after_an_update_and_no_hook_does(scene: Scenario) -> None:
    scene.fleet.add_document("Is-Well-After-Update")
    hooks = {"preInstall": "No-Such", "postInstall": "No-Such", "onExit": "No-Such"}
    machine = scene.machine("health", wrong=("health_fails",))

    execution = scene.patch(machine, {**UPDATE, "hooks": hooks, "healthProbe": "Is-Well-After-Update"})

    assert (execution.status, execution.error) == ("FAILED", "HealthCheckFailedError")
    assert scene.commands(machine)[-2:] == [PROBE, "Is-Well-After-Update"]
    assert scene.result(machine)["hooks"] == {}
    assert_given_back(scene, machine, "running")


def test_agents_are_updated_on_linux_whatever_document_patches_windows(scene: Scenario) -> None:
    machine = scene.machine("any-document")

    execution = scene.patch(machine, {**UPDATE, "document": "AWS-InstallWindowsUpdates"})

    assert execution.status == "SUCCEEDED"


def test_an_update_of_no_agent_is_refused(scene: Scenario) -> None:
    machine = scene.machine("no-agent")

    execution = scene.patch(machine, {**UPDATE, "agents": []})

    assert (execution.status, execution.error) == ("FAILED", "InvalidPolicyError")
    assert "policy.agents" in scene.messages[-1].said
    assert_untouched(scene, machine)


@pytest.mark.parametrize("state", ["Update Agent SSM", "Wait Until Reachable After Update", "Verify Patches"])
def test_an_execution_that_is_stopped_in_the_middle_gives_the_machine_back(scene: Scenario, state: str) -> None:
    machine = scene.machine(f"stopped in {state}", power="stopped", agent_version=OLD)
    execution = scene.start(machine, UPDATE)
    scene.run_until(execution, state, seconds=2)

    scene.account.stop_execution(execution)
    scene.settle()

    assert scene.result(machine)["operation"] == "UpdateAgents"
    assert len(scene.told(machine)) == 1
    assert_given_back(scene, machine, "stopped")


def test_a_command_that_somebody_sends_while_the_agent_updates_itself_is_lost(scene: Scenario) -> None:
    machine = scene.machine("careless", agent_version=OLD)
    execution = scene.start(machine, UPDATE)
    scene.run_until(execution, "Update Agent SSM", seconds=20)
    sent = scene.account.client("ssm").send_command(InstanceIds=[machine.instance_id], DocumentName=PROBE)
    command = scene.fleet.run_command.get(sent["Command"]["CommandId"])
    assert command is not None

    scene.run_for(30)

    assert command.status == ("InProgress", "InProgress")
    assert scene.account.execution(execution).status == "SUCCEEDED"
