from __future__ import annotations

from typing import Any

import pytest

from drydock.request.policy import DEFAULTS
from tests.scenarios.machine.scenario import Scenario, assert_given_back, assert_untouched

GROUP_TAG = "aws:autoscaling:groupName"
UPDATE = "AWS-InstallWindowsUpdates"
WINDOWS_UPDATE = {"document": UPDATE}


@pytest.mark.parametrize(
    ("spec", "policy", "error", "words"),
    [
        pytest.param(
            {"tags": {"DrydockExclude": "licence server"}}, {}, "InstanceExcludedError", "licence server", id="excluded"
        ),
        pytest.param(
            {"tags": {"DrydockExclude": ""}}, {}, "InstanceExcludedError", "DrydockExclude", id="excluded-untold"
        ),
        pytest.param({"group": "web-asg"}, {}, "InstanceInGroupError", "web-asg", id="group-member"),
        pytest.param(
            {"lifecycle": "spot", "power": "stopped"}, {}, "InstanceNotPatchableError", "Spot", id="stopped-spot"
        ),
        pytest.param(
            {"root_device": "instance-store"}, {}, "InstanceNotPatchableError", "instance store", id="instance-store"
        ),
        pytest.param(
            {"stop_protection": True, "power": "stopped"},
            {},
            "InstanceNotPatchableError",
            "stop-protected",
            id="stop-protected-and-stopped",
        ),
        pytest.param({"managed": False}, {}, "InstanceUnmanagedError", "AmazonSSMManagedInstanceCore", id="unmanaged"),
        pytest.param(
            {"wrong": ("agent_never_online",)}, {}, "InstanceUnmanagedError", "check the SSM Agent", id="agent-offline"
        ),
        pytest.param({}, WINDOWS_UPDATE, "InstanceNotPatchableError", "the instance runs Linux", id="update-of-linux"),
    ],
)
def test_a_machine_that_must_not_be_patched_is_refused_before_anything_is_touched(
    scene: Scenario,
    request: pytest.FixtureRequest,
    spec: dict[str, Any],
    policy: dict[str, Any],
    error: str,
    words: str,
) -> None:
    machine = scene.machine(request.node.callspec.id, **spec)

    execution = scene.patch(machine, policy)

    assert (execution.status, execution.error) == ("FAILED", error)
    result = scene.result(machine)
    assert (result["outcome"], result["failure"]["error"]) == ("refused", error)
    (message,) = scene.told(machine)
    assert message.attributes["outcome"] == "refused"
    assert words in message.said
    assert "Nothing was touched." in message.said
    assert_untouched(scene, machine)


def test_a_group_that_is_named_without_holding_a_lease_admits_nobody(scene: Scenario) -> None:
    machine = scene.machine("no-lease", group="web-asg")

    execution = scene.patch(machine, group="web-asg")

    assert execution.error == "InstanceInGroupError"
    assert_untouched(scene, machine)


@pytest.mark.parametrize("named", [True, False], ids=["this-member", "another-member"])
def test_a_group_whose_lease_names_a_member_admits_this_member_alone(scene: Scenario, named: bool) -> None:
    machine = scene.machine(f"member-{named}", group=f"leased-{named}")
    member = machine.instance_id if named else "i-0123456789abcdef0"
    key = {"pk": {"S": f"GROUP#leased-{named}"}, "sk": {"S": "LEASE"}}
    table = {"TableName": scene.stack.resource("StateTable")}
    dynamodb = scene.account.client("dynamodb")
    facts = {"owner": "arn:aws:states:ap-northeast-1:123456789012:execution:drydock-RollGroup:roll", "phase": "ACTIVE"}
    times = dict.fromkeys(("startedAt", "since", "phaseSince"), "2026-01-13T00:00:00.000Z")
    lease = {name: {"S": value} for name, value in (facts | times).items()} | {"redriveCount": {"N": "0"}}
    members = {"M": {member: {"M": {"at": {"S": "2026-01-13T00:00:00.000Z"}}}}}
    journal = {"M": {"runId": {"S": ""}}}
    dynamodb.put_item(Item={**key, **lease, "members": members, "journal": journal}, **table)

    # A Scan leaves the member in service: whom the lease admits is all that this is about.
    given = {"instanceId": machine.instance_id, "group": f"leased-{named}", "policy": {"operation": "Scan"}}
    arn = scene.account.start_execution("PatchInstance", given, f"roll-{machine.instance_id}")
    scene.account.run_until_quiet()
    dynamodb.delete_item(Key=key, **table)
    execution = scene.account.execution(arn)

    if named:
        assert execution.status == "SUCCEEDED"
        assert_given_back(scene, machine, "running")
    else:
        assert execution.error == "InstanceInGroupError"
        assert_untouched(scene, machine)


@pytest.mark.parametrize("spec", [{"lifecycle": "spot"}, {"stop_protection": True}], ids=["spot", "stop-protected"])
def test_what_stands_against_a_stopped_machine_does_not_stand_against_a_running_one(
    scene: Scenario, request: pytest.FixtureRequest, spec: dict[str, Any]
) -> None:
    machine = scene.machine(f"running-{request.node.callspec.id}", **spec)

    execution = scene.patch(machine)

    assert execution.status == "SUCCEEDED"
    assert machine.missing == []
    assert_given_back(scene, machine, "running")


def test_an_instance_that_does_not_exist_is_refused(scene: Scenario) -> None:
    execution = scene.patch("i-00000000000000abc")

    assert (execution.status, execution.error) == ("FAILED", "InstanceNotFoundError")
    (message,) = [message for message in scene.messages if "i-00000000000000abc" in message.said]
    assert message.attributes["outcome"] == "refused"


def test_an_instance_that_is_gone_is_refused(scene: Scenario) -> None:
    machine = scene.machine("gone")
    scene.fleet.terminate_behind_the_back(machine.instance_id)
    scene.run_for(minutes=5)

    execution = scene.patch(machine)

    assert (execution.status, execution.error) == ("FAILED", "InstanceNotFoundError")
    assert scene.lease(machine) is None
    assert scene.commands(machine) == []


@pytest.mark.parametrize(
    ("policy", "mistakes"),
    [
        pytest.param(
            {"reboot": "maybe"},
            ["policy.reboot: 'maybe' is not one of RebootIfNeeded, WhenNeeded, Later, NoReboot"],
            id="value",
        ),
        pytest.param({"reeboot": "NoReboot"}, ["policy.reeboot: unknown; did you mean reboot?"], id="key"),
        pytest.param(
            {"backup": {"after": {"take": "yes"}}}, ["policy.backup.after.take: 'yes' is not true or false"], id="type"
        ),
        pytest.param(["Install"], ["policy: ['Install'] is not an object"], id="not-an-object"),
        pytest.param(
            {
                "operation": "Instal",
                "hooks": {"preinstall": "A-Hook"},
                "deadlines": {"patchSeconds": 5, "stopSeconds": "60"},
                "windowsUpdate": {"severityLevels": ["Critical", "Worst"], "includeKbs": "KB5034001"},
                "failOn": ["compliant"],
                "installOverrideList": "ftp://list",
            },
            [
                "policy.operation: 'Instal'",
                "policy.hooks.preinstall: unknown",
                "policy.deadlines.patchSeconds: 5 is not a whole number from 60 to",
                "policy.deadlines.stopSeconds: '60'",
                "policy.windowsUpdate.severityLevels[1]: 'Worst'",
                "policy.windowsUpdate.includeKbs: 'KB5034001' is not a list",
                "policy.failOn[0]: 'compliant'",
                "policy.installOverrideList: unknown",
            ],
            id="all-at-once",
        ),
        pytest.param(
            {
                "document": UPDATE,
                "windowsUpdate": {"includeKbs": ["KB5034001"], "excludeKbs": ["KB5034001"]},
            },
            ["KB5034001 stands in includeKbs and in excludeKbs"],
            id="impossible-together",
        ),
        pytest.param(
            {"document": UPDATE, "windowsUpdate": {"includeKbs": ["5034001"], "excludeKbs": ["KB5034001"]}},
            ["KB5034001 stands in includeKbs and in excludeKbs"],
            id="impossible-in-two-spellings",
        ),
    ],
)
def test_a_wrong_policy_is_refused_with_all_mistakes_by_name_before_anything_is_touched(
    scene: Scenario, request: pytest.FixtureRequest, policy: Any, mistakes: list[str]
) -> None:
    machine = scene.machine(f"policy-{request.node.callspec.id}")

    execution = scene.patch(machine, policy)

    assert (execution.status, execution.error) == ("FAILED", "InvalidPolicyError")
    (message,) = scene.told(machine)
    cause = scene.result(machine)["failure"]["cause"]
    assert [mistake for mistake in mistakes if mistake not in cause or mistake not in message.said] == []
    assert_untouched(scene, machine)


@pytest.mark.parametrize(
    ("given", "mistakes"),
    [
        pytest.param({"snapshotId": "latest"}, ["input.snapshotId: 'latest' is not a GUID"], id="snapshot"),
        pytest.param({"runId": "run 1", "when": "now"}, ["input.runId: 'run 1'", "input.when: unknown"], id="keys"),
        pytest.param(
            {"group": 7, "policy": {"notify": "never"}},
            ["input.group: 7", "policy.notify: 'never' is not one of each, failures, summary"],
            id="input-and-policy",
        ),
    ],
)
def test_a_wrong_input_is_refused_with_all_mistakes_by_name_before_anything_is_touched(
    scene: Scenario, request: pytest.FixtureRequest, given: dict[str, Any], mistakes: list[str]
) -> None:
    machine = scene.machine(f"input-{request.node.callspec.id}")

    execution = scene.patch(machine, **given)

    assert (execution.status, execution.error) == ("FAILED", "InvalidInputError")
    (message,) = scene.told(machine)
    assert [mistake for mistake in mistakes if mistake not in message.said] == []
    assert_untouched(scene, machine)


@pytest.mark.parametrize(
    "given",
    [{}, {"instanceId": "web-1"}, {"instanceId": 17}, {"instance": "i-0123456789abcdef0"}],
    ids=["nothing", "a-name", "a-number", "another-key"],
)
def test_an_execution_without_an_instance_id_fails_and_people_hear_of_it_once(
    scene: Scenario, given: dict[str, Any]
) -> None:
    before = len(scene.messages)

    arn = scene.account.start_execution("PatchInstance", given)
    scene.settle()

    execution = scene.account.execution(arn)
    assert (execution.status, execution.error) == ("FAILED", "InvalidInputError")
    (message,) = scene.messages[before:]
    assert "input.instanceId" in message.said
    assert not [item for item in scene.items() if item["sk"] == "LEASE" or "lookup" in item]


class TestSettings:
    @pytest.fixture(autouse=True)
    def _reset(self, scene: Scenario) -> Any:
        scene.settings({})
        yield
        scene.settings(None)

    @pytest.mark.parametrize(
        ("settings", "mistake"),
        [
            pytest.param("reboot: NoReboot", "not JSON", id="not-json"),
            pytest.param('{"notify": "never"}', "policy.notify: 'never'", id="value"),
            pytest.param('["Install"]', "is not an object", id="not-an-object"),
        ],
    )
    def test_wrong_settings_are_refused_by_the_name_of_the_parameter_before_anything_is_touched(
        self, scene: Scenario, request: pytest.FixtureRequest, settings: str, mistake: str
    ) -> None:
        machine = scene.machine(f"settings-{request.node.callspec.id}")
        scene.settings(settings)

        execution = scene.patch(machine)

        assert (execution.status, execution.error) == ("FAILED", "InvalidPolicyError")
        (message,) = scene.told(machine)
        assert "/drydock/policy" in message.said
        assert mistake in message.said
        assert_untouched(scene, machine)

    def test_without_settings_the_defaults_hold(self, scene: Scenario) -> None:
        machine = scene.machine("no-settings")
        scene.settings(None)

        execution = scene.patch(machine)

        scene.settings({})
        assert execution.status == "SUCCEEDED"
        assert scene.result(machine)["policy"] == DEFAULTS
        assert_given_back(scene, machine, "running")

    def test_mistakes_of_settings_and_input_are_named_together(self, scene: Scenario) -> None:
        machine = scene.machine("settings-and-input")
        scene.settings({"backup": {"before": 1}})

        execution = scene.patch(machine, {"reboot": "maybe"}, runId="?")

        assert execution.error == "InvalidInputError"
        cause = scene.result(machine)["failure"]["cause"]
        assert "input.runId" in cause
        assert "policy.backup.before: 1" in cause
        assert "policy.reboot: 'maybe'" in cause
        assert_untouched(scene, machine)

    def test_the_input_wins_over_the_settings_and_these_over_the_defaults(self, scene: Scenario) -> None:
        machine = scene.machine("precedence")
        scene.settings({"backup": {"after": {"take": False}, "deprecateAfterDays": 7}, "failOn": ["failed"]})

        execution = scene.patch(machine, {"backup": {"deprecateAfterDays": 14}})

        assert execution.status == "SUCCEEDED"
        policy = scene.result(machine)["policy"]
        after = {"take": False, "reboot": False}
        assert policy["backup"] == {**DEFAULTS["backup"], "after": after, "deprecateAfterDays": 14}
        assert (policy["failOn"], policy["operation"]) == (["failed"], "Install")
        assert [image.no_reboot for image in scene.images(machine)] == [False]
        assert_given_back(scene, machine, "running")
