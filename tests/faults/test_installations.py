"""The watch of the crash matrix sees what may not happen to a machine while something installs."""

from __future__ import annotations

from rehearsal.engine.calls import Call, Caller
from rehearsal.proof.installations import InstallationWatch
from tests.scenarios.group.scenario import QUICKLY, roll_scenario


def test_a_lease_that_goes_and_a_member_that_goes_while_something_installs_are_seen() -> None:
    with roll_scenario() as scene:
        group, _ = scene.group("web", [{}, {}], min=1)
        watch = InstallationWatch(scene.account, scene.fleet, scene.stack)
        watch.watch_group(group)
        scene.start_roll(group, QUICKLY)
        scene.account.clock.run(until=lambda: any(job.installs for one in scene.fleet.machines for job in one.jobs))
        (machine,) = [one for one in scene.fleet.machines if one.jobs]
        assert watch.violations == []

        key = {"pk": {"S": f"INSTANCE#{machine.instance_id}"}, "sk": {"S": "LEASE"}}
        deletion = {"TableName": scene.stack.resource("StateTable"), "Key": key}
        call = Call(
            Caller("function", "release_instance"), "dynamodb", "DeleteItem", deletion, 1, scene.account.clock.now()
        )
        for observe in scene.account.calls.observers:
            observe(call)
        scene.account.client("dynamodb").delete_item(**deletion)
        scene.run_for(0.1)
        scene.account.client("autoscaling").exit_standby(
            AutoScalingGroupName=group.name, InstanceIds=[machine.instance_id]
        )

    seen = [violation.partition(f"{machine.instance_id}: ")[2] for violation in watch.violations]
    assert seen == ["released while something installs", "Pending while something installs"]
