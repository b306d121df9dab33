"""The steps that only look: Wait Until Reachable, Read Patches Before, Verify Patches."""

from __future__ import annotations

import pytest

from drydock.errors import AgentNotReadyError, PatchStateNotReadyError
from tests.unit.fakes import patch_state
from tests.unit.world import INSTANCE, SNAPSHOT, World

SCAN = {"operationEndedBefore": "", "succeeded": True}
PROBE = {"bootId": "boot-1", "reboot": "not_needed", "rebootReasons": []}


def test_a_machine_is_waited_for_by_retries(world: World) -> None:
    event = world.event("Wait Until Reachable", {"pingAfter": None})
    agents = dict(world.ssm.agents)
    world.ssm.agents.clear()
    with pytest.raises(AgentNotReadyError):
        world.run("wait_until_reachable", event)

    world.ssm.agents = agents

    assert world.run("wait_until_reachable", event) is None


def test_what_the_scan_before_found_is_read_once_it_is_fresh(world: World) -> None:
    event = world.event("Read Patches Before", {"scan": SCAN, "probe": PROBE})
    with pytest.raises(PatchStateNotReadyError):
        world.run("read_patches", event)
    world.ssm.patch_states[INSTANCE] = patch_state(snapshot_id=SNAPSHOT, missing=1)
    world.ssm.patches = {(INSTANCE, "Missing"): ["KB1"]}

    read = world.run("read_patches", event)

    assert (read["isAnythingMissing"], read["patches"]["missingPatches"]) == (True, ["KB1"])
    assert world.run("read_patches", event) == read


def test_a_machine_is_judged_the_same_however_often(world: World) -> None:
    world.ssm.patch_states[INSTANCE] = patch_state(snapshot_id=SNAPSHOT)
    data = {"scan": SCAN, "probeBefore": PROBE, "probeAfter": {**PROBE, "bootId": "boot-2"}, "installs": []}
    event = world.event("Verify Patches", data)

    verified = world.run("verify_patches", event)

    assert (verified["verdict"], verified["failure"], verified["rebooted"]) == ("compliant", None, True)
    assert world.run("verify_patches", event) == verified


def test_steps_that_only_look_need_no_lease_and_change_nothing(world: World) -> None:
    world.ssm.patch_states[INSTANCE] = patch_state(snapshot_id=SNAPSHOT)

    world.run("wait_until_reachable", world.event("Wait Until Reachable"))
    world.run("read_patches", world.event("Read Patches Before", {"scan": SCAN, "probe": PROBE}))

    assert world.lease is None
    assert set(world.ec2.faults.made) <= {"look_at_status", "describe_instance"}
    assert world.ssm.sent == []
