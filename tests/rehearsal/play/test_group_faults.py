"""What a fleet file lets go wrong around an Auto Scaling group, and what the report says of it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from rehearsal.play.fleet_file import read_fleet
from rehearsal.play.fleet_shape import FLEETS, FleetFileError
from rehearsal.play.reports.console import print_report, to_json
from rehearsal.play.run import RehearsalOutcome, rehearse

ROLL = """
policy: {{backup: {{before: {{take: false}}, after: {{take: false}}}}}}
instances:
  - {{name: shop, count: 2, group: shop, missing: 1}}
groups:
  - name: shop
    min: 1
    max: 3
    faults: [{fault}]
    expect: {{sizes: {sizes}}}
rolls: [{{group: shop}}]
"""


def rehearsed(text: str) -> RehearsalOutcome:
    return rehearse(read_fleet(text, Path("fleet.yaml")))


def shown(outcome: RehearsalOutcome) -> str:
    out = io.StringIO()
    print_report(Console(file=out, width=120), outcome)
    return out.getvalue()


def test_a_scaling_policy_in_mid_roll_can_be_rehearsed_and_the_report_says_that_it_struck() -> None:
    fault = "{scalingPolicy: {adjustment: 1, state: Patch Member, after: 1m}}"
    outcome = rehearsed(ROLL.format(fault=fault, sizes="[1, 3, 3]"))

    assert outcome.is_as_expected, shown(outcome)
    (scaled,) = outcome.faults
    assert scaled.count == 1
    assert [one["struck"] for one in json.loads(to_json(outcome))["faults"]] == [1]
    assert scaled.first is not None
    first = scaled.first.astimezone(outcome.fleet.zone)
    assert f"at {first:%H:%M:%S}  shop: scaled by a policy in state 'Patch Member'" in shown(outcome)


def test_a_fault_of_a_group_that_never_struck_is_told() -> None:
    fault = "{scalingPolicy: {adjustment: 1, state: Remove Surge}}"
    outcome = rehearsed(ROLL.format(fault=fault, sizes="[1, 2, 3]"))

    told = "shop: scaled by a policy in state 'Remove Surge'"
    assert outcome.differences == (f"a fault never struck: {told}",)
    assert f"never struck  {told}" in shown(outcome)


EVERY_KIND = """
start: []
instances:
  - {name: web, count: 3, group: web}
  - {name: leaver, group: web, expect: {power: terminated}}
  - {name: shop, count: 2, group: shop, expect: {power: terminated}}
groups:
  - name: web
    min: 1
    max: 9
    expect: {outcome: none, sizes: [1, 5, 8]}
    faults:
      - changeGroup: {max: 8, suspend: [AZRebalance], at: 10s}
      - scalingPolicy: {adjustment: 1, at: 20s}
      - scheduledAction: {min: 1, desired: 6, at: 20m}
      - terminateMember: {instance: leaver, decrement: true, at: 40m}
      - failHealthChecks: {instance: web, at: 1h}
  - name: shop
    max: 3
    expect: {outcome: none, sizes: [2, 3, 3]}
    faults:
      - pendingUpdate: {for: 20s, at: 5s}
      - loseCapacity: {zones: [a, c], for: 10m, at: 30s}
      - scalingPolicy: {adjustment: 1, at: 1m}
      - instanceRefresh: {preferences: {minHealthyPercentage: 50, standbyInstances: Ignore}, at: 30m}
"""


def test_every_kind_of_fault_of_a_group_can_be_written_and_strikes() -> None:
    schema = json.loads((FLEETS / "fleet.schema.json").read_text(encoding="utf-8"))
    assert all(f"- {kind}: " in EVERY_KIND for kind in schema["$defs"]["groupFault"]["properties"])

    outcome = rehearsed(EVERY_KIND)

    assert outcome.is_as_expected, shown(outcome)
    assert [fault.count for fault in outcome.faults] == [1] * 9
    assert [fault.what.partition(" after")[0] for fault in outcome.faults] == [
        "web: changed by somebody",
        "web: scaled by a policy",
        "web: scaled by a scheduled action",
        "web: a member terminated by somebody",
        "web: unhealthy for the load balancer",
        "shop: a pending update",
        "shop: no capacity",
        "shop: scaled by a policy",
        "shop: refreshed by somebody",
    ]


@pytest.mark.parametrize(
    ("fault", "mistake"),
    [
        ("scalingPolicy: {at: 1m}", "groups[0].faults[0].scalingPolicy has no 'adjustment'"),
        (
            "scalingPolicy: {adjustment: 1}",
            "groups[0].faults[0].scalingPolicy: expected either 'state' or 'at'",
        ),
        (
            "scalingPolicy: {adjustment: 1, state: Patch Membr}",
            "groups[0].faults[0].scalingPolicy.state: no state machine has a state 'Patch Membr'; "
            "did you mean 'Patch Member'?",
        ),
        (
            "scalePolicy: {adjustment: 1, at: 1m}",
            "unknown key 'groups[0].faults[0].scalePolicy'; did you mean 'scalingPolicy'?",
        ),
        (
            "terminateMember: {instance: db, at: 1m}",
            "groups[0].faults[0].terminateMember.instance: the group has no machine 'db'; known: shop-1, shop-2",
        ),
        (
            "failHealthChecks: {instance: all, at: 1m}",
            "groups[0].faults[0].failHealthChecks.instance: the group has no machine 'all'; known: shop-1, shop-2",
        ),
        (
            "loseCapacity: {zones: [d], at: 1m}",
            "groups[0].faults[0].loseCapacity.zones: the group is in a, c, not in d",
        ),
        (
            "instanceRefresh: {preferences: {standbyInstances: Keep}, at: 1m}",
            "groups[0].faults[0].instanceRefresh.preferences.standbyInstances: expected one of Terminate, Ignore, "
            'Wait, got "Keep"',
        ),
        (
            "changeGroup: {suspend: [Everything], at: 1m}",
            "groups[0].faults[0].changeGroup.suspend[0]: expected one of AddToLoadBalancer, AlarmNotification, "
            "AZRebalance, HealthCheck, InstanceRefresh, Launch, ReplaceUnhealthy, ScheduledActions, Terminate, "
            'got "Everything"',
        ),
        ("pendingUpdate: {at: 1m}", "groups[0].faults[0].pendingUpdate has no 'for'"),
    ],
)
def test_a_mistake_about_a_fault_of_a_group_is_told_with_file_and_line(fault: str, mistake: str) -> None:
    machines = "instances: [{name: shop, count: 2, group: shop}, {name: db}]"
    text = f"{machines}\ngroups:\n  - name: shop\n    faults:\n      - {fault}\n"
    with pytest.raises(FleetFileError) as caught:
        read_fleet(text, Path("fleet.yaml"))
    told = [one for one in caught.value.mistakes if "expected exactly one of" not in one]
    assert told == [f"fleet.yaml:5: {mistake}"]
