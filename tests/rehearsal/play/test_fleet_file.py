from __future__ import annotations

import dataclasses
import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from rehearsal.play.faults import (
    ChangeTags,
    FailCall,
    LoseCancellations,
    LoseEvents,
    Moment,
    RunAssociation,
    StopExecution,
    StopRun,
)
from rehearsal.play.fleet_file import DEFAULT_FLEET, FleetFile, load_fleet_file, read_fleet
from rehearsal.play.fleet_runs import AlarmSpec, CalendarSpec, Person, RunExpectation
from rehearsal.play.fleet_shape import FLEETS, FleetFileError, seconds
from rehearsal.world.group_specs import MixedPolicy
from rehearsal.world.machines import WRONGS, Durations

PAGE = Path(__file__).parents[3] / "docs" / "fleet-files.md"


def read(text: str) -> FleetFile:
    return read_fleet(text, Path("fleet.yaml"))


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(FleetFileError) as caught:
        read(text)
    return caught.value.mistakes


def test_the_default_fleet_is_readable_and_has_what_people_should_see() -> None:
    fleet = load_fleet_file(DEFAULT_FLEET)
    specs = [machine.spec for machine in fleet.machines]
    assert len(specs) >= 8
    assert {(spec.platform, spec.power) for spec in specs} == {
        (platform, power) for platform in ("Linux", "Windows") for power in ("running", "stopped")
    }
    assert any(isinstance(fault, StopExecution) for fault in fleet.faults)


def test_a_machine_needs_no_more_than_a_name() -> None:
    [machine] = read("instances: [{name: web}]").machines
    assert (machine.spec.platform, machine.spec.power, machine.spec.missing) == ("Linux", "running", ())
    assert machine.expect.outcome == "succeeded"
    assert machine.expect.power == "running"


def test_every_machine_is_started_at_once_when_the_file_does_not_say() -> None:
    starts = read("instances: [{name: a}, {name: b}]").starts
    assert [(start.machine, start.at) for start in starts] == [("a", timedelta(0)), ("b", timedelta(0))]


def test_machines_that_are_not_started_are_expected_to_be_left_alone() -> None:
    a, b = read("{instances: [{name: a}, {name: b, power: stopped}], start: [{instances: a}]}").machines
    assert (a.expect.outcome, b.expect.outcome, b.expect.power) == ("succeeded", "none", "stopped")


def test_an_entry_with_a_count_stands_for_many_machines_started_one_after_another() -> None:
    fleet = read("{instances: [{name: web, count: 10}], start: [{instances: [web], at: 1m, every: 30s}]}")
    assert [machine.spec.name for machine in fleet.machines][:2] == ["web-01", "web-02"]
    assert [start.at.total_seconds() for start in fleet.starts][:3] == [60, 90, 120]
    assert fleet.machines[9].entry == "web"


@pytest.mark.parametrize(
    ("platform", "first"), [("Linux", "openssl"), ("Windows", "KB5073001")], ids=["Linux", "Windows"]
)
def test_a_number_of_missing_patches_stands_for_that_many_different_ones(platform: str, first: str) -> None:
    [machine] = read(f"instances: [{{name: a, platform: {platform}, missing: 40}}]").machines
    assert len(set(machine.spec.missing)) == 40
    assert machine.spec.missing[0] == first


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("10m", 600), ("1h30m", 5400), (45, 45), ("2h", 7200)])
def test_durations_are_written_as_people_write_them(text: str | int, expected: int) -> None:
    assert seconds(text) == expected


def test_words_such_as_on_are_text_in_tags() -> None:
    [machine] = read("instances: [{name: a, tags: {WinUpdate: ON, Owner: no}}]").machines
    assert machine.spec.tags == {"WinUpdate": "ON", "Owner": "no"}


def test_shared_settings_may_be_written_once() -> None:
    text = """
instances:
  - &web {name: web-1, missing: 3}
  - {<<: *web, name: web-2}
"""
    assert [len(machine.spec.missing) for machine in read(text).machines] == [3, 3]


def test_faults_are_read() -> None:
    text = """
instances: [{name: web, count: 2}]
faults:
  - loseEvents: {detailType: "EC2 *"}
  - failCall: {call: ec2:CreateImage, occurrence: 2, error: RequestLimitExceeded, when: after}
  - stopExecution: {instance: web-2, state: Install Patches, after: 2m}
  - changeTags: {instance: web-2, tags: {Patch Group: database, Owner: null}, at: 5m}
  - runAssociation: {instance: web, state: Scan Patches}
"""
    assert read(text).faults == (
        LoseEvents(detail_type="EC2 *"),
        FailCall("ec2:CreateImage", "RequestLimitExceeded", occurrence=2, after_effect=True),
        StopExecution("web-2", Moment(after=120, state="Install Patches")),
        ChangeTags("web-2", Moment(after=300), {"Patch Group": "database", "Owner": None}),
        RunAssociation("web-1", Moment(state="Scan Patches")),
    )


def test_every_mistake_is_told_at_once_with_its_line_and_what_was_expected() -> None:
    text = """instances:
  - name: a
    power: off
    plattform: Linux
    durations: {install: soon}
  - power: stopped
bogus: 1
"""
    assert mistakes(text) == (
        'fleet.yaml:3: instances[0].power: expected one of running, stopped, got "off"',
        "fleet.yaml:4: unknown key 'instances[0].plattform'; did you mean 'platform'?",
        "fleet.yaml:5: instances[0].durations.install: expected a duration such as 90s, 10m, 1h30m, "
        'or a number of seconds, got "soon"',
        "fleet.yaml:6: instances[1] has no 'name'",
        "fleet.yaml:7: unknown key 'bogus'; known here: alarms, begins, calendars, description, documents, "
        "faults, groups, instances, limit, parameters, people, policy, resourceGroups, rolls, runs, seed, start, "
        "subscriptions, throttling, window, windows",
    )


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("instances: [{name: a}]\nseed: -1", "fleet.yaml:2: seed: expected at least 0, got -1"),
        ("instances: []", "fleet.yaml:1: instances: expected something here, got []"),
        ("- a", 'fleet.yaml:1: the file: expected keys and values, got ["a"]'),
        ("", "fleet.yaml:1: the file has no 'instances'"),
        ("instances:\n  - name: a\n    name: b", "fleet.yaml:3: 'name' is given twice"),
        ("instances:\n  - name: a\n  - name: a", "fleet.yaml:3: instances[1].name: 'a' is already taken"),
        (
            "instances: [{name: web}]\nstart:\n  - instances: wep",
            "fleet.yaml:3: start[0].instances: there is no machine 'wep'; did you mean 'web'?",
        ),
        (
            "instances: [{name: web}]\nfaults:\n  - runAssociation: {instance: web, operation: Look, at: 1m}",
            'fleet.yaml:3: faults[0].runAssociation.operation: expected one of Scan, Install, got "Look"',
        ),
        (
            "instances: [{name: web}]\nfaults:\n  - changeTags: {instance: web, tags: {Patch Group: 7}, at: 1m}",
            "fleet.yaml:3: faults[0].changeTags.tags.Patch Group: expected text or null, got 7",
        ),
        (
            "instances: [{name: web}]\nfaults:\n  - stopInstance: {instance: web}",
            "fleet.yaml:3: faults[0].stopInstance: expected either 'state' or 'at'",
        ),
        (
            "instances: [{name: web}]\nfaults:\n  - stopInstance:\n      instance: web\n      state: Instal Patches",
            "fleet.yaml:5: faults[0].stopInstance.state: no state machine has a state 'Instal Patches'; "
            "did you mean 'Install Patches'?",
        ),
        (
            "instances: [{name: web}]\nfaults:\n  - killFunction: {function: backup, call: 1}",
            "fleet.yaml:3: faults[0].killFunction.function: there is no function 'backup'; did you mean 'back_up'?",
        ),
        (
            "instances: [{name: web}]\nparameters:\n  Timezone: UTC",
            "fleet.yaml:3: parameters: the template has no 'Timezone'; did you mean 'TimeZone'?",
        ),
        (
            "instances: [{name: web}]\nparameters:\n  LogRetentionDays: 31",
            "fleet.yaml:3: parameters.LogRetentionDays: expected one of 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, "
            "1096, 1827, got 31",
        ),
        (
            "instances: [{name: web}]\nparameters:\n  NotificationEmail: me",
            'fleet.yaml:3: parameters.NotificationEmail: must be an e-mail address or empty, got "me"',
        ),
        (
            "instances: [{name: web}]\nfaults: [{loseEvents: {}, doubleEvents: {}}]",
            "fleet.yaml:2: faults[0]: expected exactly one of: cancelCommand, changeTags, delayEvents, doubleEvents, "
            "failCall, killFunction, loseCancellations, loseEvents, runAssociation, stopExecution, stopInstance, "
            "stopRun, terminateInstance",
        ),
        (
            "instances:\n  - name: web\n    hibernated: true\n    power: running",
            "fleet.yaml:4: instances[0].power: a hibernated machine is stopped",
        ),
        (
            "instances:\n  - name: web\n    wrong: [refuses_while_reboot_pending]",
            "fleet.yaml:3: instances[0].wrong: only Windows refuses_while_reboot_pending",
        ),
        (
            "instances:\n  - name: web\n    installFailure: {exitCode: 0}",
            "fleet.yaml:3: instances[0].installFailure.exitCode: expected an exit code other than 0, got 0",
        ),
        (
            "instances:\n  - name: web\n    installedRejected: [badlib Awful]",
            "fleet.yaml:3: instances[0].installedRejected[0]: expected NAME [SEVERITY] [CATEGORY] [YYYY-MM-DD], "
            'got "badlib Awful"',
        ),
        (
            "instances:\n  - name: web\n    operator: EKS",
            'fleet.yaml:3: instances[0].operator: expected a service such as eks.amazonaws.com, got "EKS"',
        ),
        (
            "instances:\n  - name: web\n    missing: [openssl Dangerous]",
            "fleet.yaml:3: instances[0].missing[0]: expected NAME [SEVERITY] [CATEGORY] [YYYY-MM-DD], "
            'got "openssl Dangerous"',
        ),
    ],
)
def test_a_mistake_is_explained(text: str, mistake: str) -> None:
    assert mistakes(text) == (mistake,)


RUNS = """
parameters: {ApprovalAuth: LINK}
instances:
  - {name: web, count: 2, order: 3, history: [20m, 900]}
  - {name: db, expect: {run: left_out}}
window:
  targets: [[{key: "resource-groups:Name", values: [shop]}]]
  executions: [{}, {expect: {outcome: incomplete, counts: {succeeded: 2, notAttempted: 1}, leftOut: 1}}]
runs:
  - name: by-hand
    at: 3h
    input: {targets: [{key: InstanceIds, values: [web]}], policy: {deadlineMinutes: 60}}
people:
  - {name: Yuki Tanaka, does: approve, after: 4m, reason: change 4711}
  - {name: Ben Ortiz, does: sleep, by: parameter, isApprover: false}
calendars: [{name: Quiet-Time, state: closed, changes: [{at: 1h, state: open}]}]
alarms: [{name: Errors, changes: [{at: 90s, state: ALARM}]}]
resourceGroups: [{name: shop, instances: [web]}, {name: rest, tags: {Shop: "no"}}]
faults: [{stopRun: {run: window, state: Soak}}, {loseCancellations: {}}]
"""


def test_a_window_and_runs_with_people_gates_and_groups_are_read() -> None:
    fleet = read(RUNS)
    assert fleet.starts == ()
    assert [machine.expect.run for machine in fleet.machines] == ["succeeded", "succeeded", "left_out"]
    assert [machine.expect.outcome for machine in fleet.machines] == [None, None, None]
    assert fleet.machines[0].spec.tags == {"DrydockOrder": "3"}
    assert fleet.machines[0].history == (timedelta(minutes=20), timedelta(minutes=15))
    assert fleet.faults == (StopRun("window", Moment(state="Soak")), LoseCancellations())
    runs = fleet.runs
    assert runs.window is not None
    assert runs.window.executions == (
        RunExpectation(),
        RunExpectation(
            outcome="incomplete",
            counts={
                "succeeded": 2,
                "failed": 0,
                "busy": 0,
                "gone": 0,
                "skipped": 0,
                "not_attempted": 1,
                "already_compliant": 0,
            },
            left_out=1,
        ),
    )
    assert [(run.name, run.at) for run in runs.by_hand] == [("by-hand", timedelta(hours=3))]
    assert runs.people == (
        Person("Yuki Tanaka", "approve", timedelta(minutes=4), "link", "change 4711"),
        Person("Ben Ortiz", "sleep", by="parameter", is_approver=False),
    )
    assert runs.calendars == (CalendarSpec("Quiet-Time", False, ((timedelta(hours=1), True),)),)
    assert runs.alarms == (AlarmSpec("Errors", "OK", ((timedelta(seconds=90), "ALARM"),)),)
    assert [(group.tags, group.machines) for group in runs.groups] == [
        (None, ("web-1", "web-2")),
        ({"Shop": "no"}, None),
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            "runs:\n  - name: a\n    input:\n      targets: [{key: InstanceIds, values: [wep]}]\n"
            "      policy: {deadlineMinutes: 60}",
            "fleet.yaml:5: runs[0].input: input.targets[0].values[0]: ",
        ),
        (
            "runs:\n  - name: a\n    input: {planOnly: true}",
            "fleet.yaml:4: runs[0].input: input: exactly one of targets, window, plan, resume says which machines",
        ),
        (
            "people: [{name: Eve, does: approve, by: link}]",
            'fleet.yaml:2: people[0].by: expected url or parameter while the parameter ApprovalAuth is IAM, got "link"',
        ),
        (
            "resourceGroups: [{name: a, instances: [wep]}]",
            "fleet.yaml:2: resourceGroups[0].instances: there is no machine 'wep'",
        ),
        (
            "subscriptions: [{topic: alarms, email: ops@example.com}]",
            'fleet.yaml:2: subscriptions[0].topic: expected one of results, approvals, got "alarms"',
        ),
        (
            "subscriptions: [{topic: results, email: ops}]",
            'fleet.yaml:2: subscriptions[0].email: expected an e-mail address, got "ops"',
        ),
        ("resourceGroups: [{name: a}]", "fleet.yaml:2: resourceGroups[0]: expected either 'tags' or 'instances'"),
        (
            "alarms:\n  - {name: a}\n  - {name: a}",
            "fleet.yaml:4: alarms[1].name: 'a' is already taken",
        ),
        (
            "faults: [{stopRun: {run: window, at: 1m}}]",
            "fleet.yaml:2: faults[0].stopRun.run: there is no run 'window'; known: ",
        ),
        (
            "windows:\n  - name: nightly\n    schedule: cron(0 25 ? * SUN *)\n    durationHours: 2\n"
            "    targets: [[{key: InstanceIds, values: [web]}]]",
            "fleet.yaml:4: windows[0].schedule: ",
        ),
        (
            "windows:\n  - name: nightly\n    schedule: cron(0 2 ? * SUN *)\n    durationHours: 2\n"
            "    targets: [[{key: InstanceIds, values: [web]}]]\n    timeZone: Mars/Olympus",
            "fleet.yaml:7: windows[0].timeZone: not a time zone: Mars/Olympus",
        ),
        (
            "windows:\n  - name: nightly\n    schedule: rate(1 day)\n    durationHours: 2\n"
            "    targets: [[{key: InstanceIds, values: [web]}]]\n    input:\n      policy: {maxErrors: many}",
            "fleet.yaml:8: windows[0].input: policy.maxErrors: ",
        ),
        (
            "windows: [{name: nightly, schedule: daily, durationHours: 2, targets: [[{key: a, values: []}]]}]",
            'fleet.yaml:2: windows[0].schedule: expected cron(…), rate(…) or at(…), got "daily"',
        ),
        ("window: {executions: []}", "fleet.yaml:2: window.executions: expected something here, got []"),
        (
            "people: [{name: Eve, does: shout}]",
            'fleet.yaml:2: people[0].does: expected one of approve, reject, sleep, got "shout"',
        ),
        ("parameters: {TimeZone: Asia/Tokio}", "fleet.yaml:2: parameters.TimeZone: expected an IANA time zone"),
    ],
)
def test_a_mistake_about_runs_is_explained(text: str, mistake: str) -> None:
    assert mistakes(f"instances: [{{name: web}}]\n{text}")[0].startswith(mistake)


GROUP = "instances: [{name: web, count: 2, group: shop}, {name: db}]\n"


def test_a_group_has_the_machines_that_name_it_and_is_rolled_through_when_somebody_starts_that() -> None:
    fleet = read(f"{GROUP}groups: [{{name: shop, max: 4, drain: 2m}}]\nrolls: [{{group: shop, at: 5m}}]")

    (group,) = fleet.groups
    assert (group.name, group.members, group.drain_seconds) == ("shop", ("web-1", "web-2"), 120)
    assert group.settings == {"min": 2, "max": 4, "zones": 2, "suspended": (), "hooks": {}, "mixed": None}
    assert group.expect.outcome == "succeeded"
    assert [(roll.group, roll.at) for roll in fleet.rolls] == [("shop", timedelta(minutes=5))]
    assert fleet.starts == ()
    assert [machine.expect.outcome for machine in fleet.machines] == ["succeeded", "succeeded", "none"]
    assert fleet.promise_of(group) == (1, None)


@pytest.mark.parametrize(("policy", "least"), [("{minHealthy: 1}", 1), ("{minHealthy: 100%}", 2), ("{batch: 1}", None)])
def test_how_many_stay_healthy_is_what_the_policy_says_or_else_follows_what_is_wanted_of_the_group(
    policy: str, least: int | None
) -> None:
    fleet = read(f"policy: {policy}\n{GROUP}groups: [{{name: shop, max: 4}}]\nrolls: [{{group: shop}}]")

    assert fleet.promise_of(fleet.groups[0])[1] == least


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("groups: [{name: shop}, {name: shop}]", "fleet.yaml:2: groups[1].name: 'shop' is already taken"),
        ("groups: [{name: shp}]", "fleet.yaml:2: groups[0].name: no machine has 'group: shp'"),
        ("rolls: [{group: shop}]", "fleet.yaml:2: rolls[0].group: there is no group 'shop'"),
        (
            "groups: [{name: shop}]\nrolls: [{group: shop, input: {policy: {batch: 0}}}]",
            "fleet.yaml:3: policy.batch: 0 is not",
        ),
        (
            "groups:\n  - name: shop\n    hooks: {booting: 1m}",
            "fleet.yaml:4: unknown key 'groups[0].hooks.booting'; known here: launching, terminating",
        ),
        (
            "groups:\n  - name: shop\n    mixed: {types: [{type: large}]}",
            "fleet.yaml:4: groups[0].mixed.types[0].type: expected a type of instance such as c5.large",
        ),
        ("groups: [{name: shop, zones: 4}]", "fleet.yaml:2: groups[0].zones: expected at most 3, got 4"),
    ],
)
def test_a_mistake_about_groups_is_explained(text: str, mistake: str) -> None:
    assert mistakes(f"{GROUP}{text}")[0].startswith(mistake)


MIXED = """
instances:
  - {name: web, count: 2, group: shop}
  - {name: spare, group: shop, lifecycleState: "Warmed:Hibernated"}
  - {name: kept, group: shop, lifecycleState: "Terminating:Retained"}
groups:
  - name: shop
    hooks: {launching: 2m, terminating: 90s}
    mixed: {types: [{type: c5.large}, {type: m5.large}], onDemandBase: 1, onDemandPercentage: 50}
"""


def test_a_group_may_have_warmed_and_retained_members_hooks_and_several_types() -> None:
    fleet = read(MIXED)

    (group,) = fleet.groups
    assert (len(group.members), group.serving) == (4, 2)
    assert group.settings["hooks"] == {"launching": 120, "terminating": 90}
    assert group.settings["mixed"] == MixedPolicy([{"InstanceType": "c5.large"}, {"InstanceType": "m5.large"}], 1, 50)
    assert (group.settings["min"], group.settings["warm_pool"]) == (2, 1)
    specs = {machine.spec.name: machine.spec for machine in fleet.machines}
    assert (specs["spare"].power, specs["spare"].hibernated) == ("stopped", True)
    assert (specs["kept"].power, specs["kept"].lifecycle_state) == ("running", "Terminating:Retained")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            "instances:\n  - name: web\n    lifecycleState: Warmed:Stopped",
            "fleet.yaml:3: instances[0].lifecycleState: only a member of a group has one",
        ),
        (
            "instances:\n  - name: web\n    group: shop\n    lifecycleState: Warmed:Stopped\n    power: running",
            "fleet.yaml:5: instances[0].power: a member that is Warmed:Stopped is not running",
        ),
        (
            "instances:\n  - name: web\n    group: shop\n    hibernated: true",
            "fleet.yaml:3: instances[0].group: no member of a group can be hibernated",
        ),
        (
            "instances: [{name: web, group: shop}, {name: spare, group: shop, lifecycleState: Warmed:Running}]\n"
            "groups:\n  - name: shop\n    mixed: {types: [{type: c5.large, weight: 2}]}",
            "fleet.yaml:4: groups[0].mixed: a group with weights has no warm pool",
        ),
    ],
)
def test_a_member_that_cannot_be_so_is_told(text: str, mistake: str) -> None:
    assert mistakes(text) == (mistake,)


def test_an_input_that_is_expected_to_be_refused_may_be_wrong() -> None:
    text = "{instances: [{name: web}], runs: [{name: a, input: {targets: 7}, expect: {outcome: refused}}]}"
    assert read(text).runs.by_hand[0].input == {"targets": 7}


def test_the_policy_is_checked_as_drydock_checks_it_with_its_line() -> None:
    text = """instances: [{name: web}]
policy:
  reboot: maybe
start:
  - instances: all
    input:
      policy:
        backup:
          befor: {take: false}
"""
    first, second = mistakes(text)
    assert first.startswith("fleet.yaml:3: policy.reboot: ")
    assert second.startswith("fleet.yaml:9: policy.backup.befor")


def test_a_file_that_is_not_yaml_is_refused_with_the_line() -> None:
    [mistake] = mistakes("instances:\n  - {name: a\n")
    assert mistake.startswith("fleet.yaml:3: not YAML: ")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FleetFileError, match="cannot be read: No such file"):
        load_fleet_file(tmp_path / "none.yaml")


def keys_of(schema: object) -> set[str]:
    """Every key that a schema knows, at any depth."""
    if isinstance(schema, dict):
        own = set(schema["properties"]) if isinstance(schema.get("properties"), dict) else set()
        return own.union(*(keys_of(value) for value in schema.values()))
    return set().union(*map(keys_of, schema)) if isinstance(schema, list) else set()


def test_every_key_of_the_schema_and_every_trouble_is_explained_in_the_page_about_fleet_files() -> None:
    page = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"[A-Za-z_]+", " ".join(re.findall(r"`([^`\n]+)`", page))))
    schema = json.loads((FLEETS / "fleet.schema.json").read_text(encoding="utf-8"))
    assert {*keys_of(schema), *WRONGS} - named == set()


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
def test_the_examples_in_the_page_about_fleet_files_can_be_read(example: str) -> None:
    assert read(example).machines


def test_the_schema_knows_the_durations_and_the_troubles_of_machines() -> None:
    schema = json.loads((FLEETS / "fleet.schema.json").read_text())
    entry = schema["properties"]["instances"]["items"]["properties"]
    durations = {field.name.replace("_r", "R") for field in dataclasses.fields(Durations)}
    assert set(entry["durations"]["properties"]) == durations
    wrong = entry["wrong"]["items"]
    for name in WRONGS:
        examples = [f"{name}:preInstall"] if name == "hook_fails" else [name]
        assert all(re.match(wrong["pattern"], example) for example in examples), name
        assert name in wrong["expected"]
    assert re.match(wrong["pattern"], "agent_update_fails:AmazonCloudWatchAgent")
