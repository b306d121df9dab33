"""Updates of agents: which command brings the newest version, and what the versions before and after prove."""

from __future__ import annotations

from typing import Any

import pytest

from drydock.machine.agents import judge_agent, update_command, verify_agents
from tests.unit.world import World

SSM, CLOUDWATCH = "AmazonSSMAgent", "AmazonCloudWatchAgent"
BEFORE = {"bootId": "boot-1", "agentVersion": "3.2", "cloudWatchAgentVersion": "1.2"}
AFTER = {"bootId": "boot-1", "agentVersion": "3.3", "cloudWatchAgentVersion": "1.3"}
SUCCESS, FAILURE = {"succeeded": True}, {"succeeded": False}


def verify(world: World, before: dict[str, str], after: dict[str, str], **updates: Any) -> dict[str, Any]:
    data = {
        "probeBefore": {**BEFORE, **before},
        "probeAfter": {**AFTER, **after},
        "updates": {SSM: SUCCESS, CLOUDWATCH: SUCCESS, **updates},
    }
    return verify_agents(world.step(data=data))


@pytest.mark.parametrize(
    ("agent", "before", "after", "succeeded", "verdict"),
    [
        (SSM, "3.2", "3.3", True, "updated"),
        (SSM, "3.2", "3.3", False, "updated_reported_failed"),
        (SSM, "3.3", "3.3", True, "up_to_date"),
        (SSM, "3.2", "3.2", False, "failed"),
        (SSM, "3.2", "", True, "unknown"),
        (SSM, "3.2", "", False, "failed"),
        (SSM, "", "3.3", True, "unknown"),
        (SSM, "", "3.3", False, "failed"),
        (CLOUDWATCH, "", "1.3", True, "updated"),
        (CLOUDWATCH, "", "1.3", False, "updated_reported_failed"),
        (CLOUDWATCH, "1.2", "", False, "failed"),
        (CLOUDWATCH, "1.2", "", True, "unknown"),
        (CLOUDWATCH, "", "", True, "unknown"),
        (CLOUDWATCH, "", "", False, "failed"),
    ],
)
def test_the_versions_decide_and_the_command_only_where_they_cannot(
    agent: str, before: str, after: str, succeeded: bool, verdict: str
) -> None:
    assert judge_agent(agent, before, after, succeeded=succeeded) == verdict


@pytest.mark.parametrize(
    ("after", "updates", "verdict"),
    [
        ({}, {}, "updated"),
        ({"agentVersion": "3.2", "cloudWatchAgentVersion": "1.2"}, {}, "up_to_date"),
        ({"agentVersion": "3.2"}, {}, "updated"),
        ({}, {SSM: FAILURE}, "updated_reported_failed"),
        ({"cloudWatchAgentVersion": ""}, {SSM: FAILURE}, "unknown"),
        ({"agentVersion": "3.2", "cloudWatchAgentVersion": ""}, {SSM: FAILURE}, "failed"),
    ],
    ids=["both", "none", "one", "one reported failure", "one is not known", "one failed"],
)
def test_a_machine_has_the_worst_verdict_of_its_agents(
    world: World, after: dict[str, str], updates: dict[str, Any], verdict: str
) -> None:
    assert verify(world, {}, after, **updates)["verdict"] == verdict


def test_only_agents_whose_command_ended_are_judged(world: World) -> None:
    data = {"probeBefore": BEFORE, "probeAfter": BEFORE, "updates": {CLOUDWATCH: SUCCESS}}

    verified = verify_agents(world.step(data=data))

    assert verified["agents"] == [
        {"agent": CLOUDWATCH, "name": "CloudWatch Agent", "before": "1.2", "after": "1.2", "verdict": "up_to_date"}
    ]


@pytest.mark.parametrize(
    ("before", "after", "updates", "error", "cause"),
    [
        (
            {},
            {"agentVersion": "3.2"},
            {SSM: FAILURE},
            "AgentUpdateFailedError",
            "SSM Agent: the update failed; its version is 3.2",
        ),
        (
            {},
            {"agentVersion": "3.2", "cloudWatchAgentVersion": ""},
            {SSM: FAILURE, CLOUDWATCH: FAILURE},
            "AgentUpdateFailedError",
            "SSM Agent: the update failed; its version is 3.2; CloudWatch Agent: the update failed; 1.2 is gone",
        ),
        (
            {"cloudWatchAgentVersion": ""},
            {"cloudWatchAgentVersion": ""},
            {CLOUDWATCH: FAILURE},
            "AgentUpdateFailedError",
            "CloudWatch Agent: the update failed; it is not installed",
        ),
        (
            {},
            {"cloudWatchAgentVersion": ""},
            {},
            "AgentVersionUnknownError",
            "CloudWatch Agent: its version cannot be told, although the update reported success",
        ),
    ],
    ids=["failed", "both failed", "never there", "not known"],
)
def test_a_failure_names_every_agent_that_it_is_about(
    world: World, before: dict[str, str], after: dict[str, str], updates: dict[str, Any], error: str, cause: str
) -> None:
    assert verify(world, before, after, **updates)["failure"] == {"error": error, "cause": cause}


@pytest.mark.parametrize("updates", [{}, {SSM: FAILURE}], ids=["updated", "reported failure"])
def test_an_agent_with_another_version_is_no_failure(world: World, updates: dict[str, Any]) -> None:
    assert verify(world, {}, {}, **updates)["failure"] is None


def test_a_policy_may_not_mind_a_verdict(world: World) -> None:
    world.set_policy(failOn=["unknown"])

    verified = verify(world, {}, {"agentVersion": "3.2"}, **{SSM: FAILURE})

    assert (verified["verdict"], verified["failure"]) == ("failed", None)


def test_a_machine_that_came_up_anew_was_rebooted(world: World) -> None:
    assert verify(world, {}, {"bootId": "boot-2"})["rebooted"] is True
    assert verify(world, {}, {})["rebooted"] is False


def test_the_step_that_verifies_looks_at_agents_where_these_were_updated(world: World) -> None:
    world.set_policy(operation="UpdateAgents")
    data = {"probeBefore": BEFORE, "probeAfter": AFTER, "updates": {SSM: SUCCESS}, "scan": None, "installs": []}

    verified = world.run("verify_patches", world.event("Verify Patches", data))

    assert (verified["verdict"], [update["agent"] for update in verified["agents"]]) == ("updated", [SSM])


@pytest.mark.parametrize(
    ("agent", "document", "parameters"),
    [
        (SSM, "AWS-UpdateSSMAgent", {"allowDowngrade": "false"}),
        (
            CLOUDWATCH,
            "AWS-ConfigureAWSPackage",
            {"action": "Install", "installationType": "Uninstall and reinstall", "name": CLOUDWATCH},
        ),
    ],
)
def test_an_agent_is_updated_to_the_newest_version_which_is_none_by_name(
    agent: str, document: str, parameters: dict[str, str]
) -> None:
    command = update_command(agent)

    assert (command.document, command.parameters) == (document, parameters)


def test_each_agent_has_an_intent_of_its_own() -> None:
    assert update_command(SSM).intent != update_command(CLOUDWATCH).intent
