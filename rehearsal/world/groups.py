"""Auto Scaling groups of simulated machines: capacity, standby, health, balance, launches and terminations.

Everything that a group does takes virtual time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rehearsal.engine.answers import AWSError
from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.engine.clock import Timer
from rehearsal.world.group_members import Change, Member
from rehearsal.world.group_specs import PROCESSES, ZONES, GroupSpec
from rehearsal.world.instances import Instances
from rehearsal.world.launch_templates import LaunchTemplate
from rehearsal.world.load_balancers import TargetGroup
from rehearsal.world.machines import Machine, MachineSpec
from rehearsal.world.scaling_activities import Activities, Activity, print_time

_COUNTED = ("Pending", "Pending:Wait", "Pending:Proceed", "InService")


class Group:
    """An Auto Scaling group. `log` holds all that happened to it; `listeners` hear of it at once."""

    def __init__(self, spec: GroupSpec, instances: Instances, machines: Sequence[MachineSpec]) -> None:
        self.spec = spec
        self.instances = instances
        self.name = spec.name
        self.zones = (
            [f"{REGION}{letter}" for letter in ZONES[: spec.zones]] if isinstance(spec.zones, int) else [*spec.zones]
        )
        self.min = spec.min
        self.desired = 0
        self.cooldown = spec.cooldown
        self.grace = spec.grace
        self.health_check_type = spec.health_check_type
        self.protect_new = spec.protect_new
        self.template_version = spec.template_version
        self.tags = dict(spec.tags)
        self.suspended: dict[str, str] = {}
        self.members: dict[str, Member] = {}
        self.log: list[Change] = []
        self.listeners: list[Callable[[Change], None]] = []
        self.tokens: dict[str, tuple[Mapping[str, Any], dict[str, Any]]] = {}
        """The request and the answer of LaunchInstances, by client token."""
        self.zones_without_capacity: set[str] = set()
        self.launch_error = "InsufficientInstanceCapacity"
        """The code by which LaunchInstances says why it launches none there."""
        self.contended = False
        """While true, every call that would change the group finds a pending update."""
        names = [spec.target_group] if isinstance(spec.target_group, str) else list(spec.target_group)
        self.target_groups: list[TargetGroup] = [instances.target_group(name) for name in names]
        self.template: LaunchTemplate | None = None
        if spec.launch_configuration is None:
            templates = instances.launch_templates
            self.template = (
                templates.find(name=spec.launch_template) if spec.launch_template else templates.add(spec.name)
            )
        identifier = instances.account.make_uuid()
        prefix = f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup"
        self.arn = f"{prefix}:{identifier}:autoScalingGroupName/{spec.name}"
        self.activities = Activities(instances.account, spec.name, self.arn)
        self.refreshing = False
        """Whether an instance refresh is at work."""
        self.created = instances.account.clock.now()
        self._clock = instances.account.clock
        serving = [machine for machine in machines if machine.lifecycle_state == "InService"]
        first = serving[0] if serving else MachineSpec(name=spec.name)
        # What is wrong with a machine does not come with its image.
        self._launched = spec.launched or replace(first, wrong=(), pending_reboot=False)
        self._launches = 0
        self._extra: set[str] = set()
        """Members launched for the balance, until one elsewhere is terminated for them."""
        self._causes: list[str] = []
        self._timer: Timer | None = None
        self._scaled_at = -math.inf
        for number, machine in enumerate(machines):
            self._add_old(machine, number)
        warm = [member.state for member in self.members.values() if member.warm]
        self.pool_state = warm[0].removeprefix("Warmed:") if warm else "Stopped"
        """What the members of the warm pool are kept as: Stopped, Running or Hibernated."""
        for number in range((spec.warm_pool or 0) - len(warm)):
            name = f"{self.name}-warm-{number + 1}"
            self._add_old(replace(self._launched, name=name, power="stopped", lifecycle_state="Warmed:Stopped"), number)
        self.desired = self.capacity if spec.desired is None else spec.desired
        self.max = max(self.desired, len(serving)) if spec.max is None else spec.max
        if spec.min > self.max or not spec.min <= self.desired <= self.max:
            raise ValueError(f"{spec.name}: desired capacity {self.desired} is not between {spec.min} and {self.max}")
        if spec.suspended:
            self.suspend(spec.suspended)
        for target_group in self.target_groups:
            target_group.listeners.append(self._notice_target)
        if self.capacity != self.desired:
            self._reconsider()

    @property
    def capacity(self) -> int:
        """Return the capacity that counts: members in service or on the way there, each with its weight."""
        return sum(member.weight for member in self.members.values() if member.state in _COUNTED)

    @property
    def in_service(self) -> list[Member]:
        """Return the members in service, healthy or not."""
        return [member for member in self.members.values() if member.state == "InService"]

    def is_healthy(self, member: Member) -> bool:
        """Say whether a member is in service, healthy, and healthy in all target groups."""
        return (
            member.state == "InService"
            and member.health == "Healthy"
            and member.machine.state == "running"
            and all(
                group.state(member.instance_id) == "healthy" for group in self.target_groups if group.spec.load_balancer
            )
        )

    def count_healthy(self) -> int:
        """Return how many members are in service and healthy."""
        return sum(map(self.is_healthy, self.members.values()))

    def find(self, instance_id: str) -> Member:
        """Return a member. Raises AWSError when the instance is none."""
        if instance_id not in self.members:
            raise _invalid(f"The instance {instance_id} is not part of Auto Scaling group {self.name}.")
        return self.members[instance_id]

    def enter_standby(self, ids: Sequence[str], decrement: bool) -> list[Activity]:
        """Let members leave service; all or none. Raises AWSError as EnterStandby does."""
        members = [self.find(instance_id) for instance_id in dict.fromkeys(ids)]
        for member in members:
            if member.state != "InService":
                raise _invalid(f"The instance {member.instance_id} is not in InService.")
        if self.refreshing and self.spec.unconfirmed.refresh_refuses_standby:
            raise _invalid(f"An instance refresh of Auto Scaling group {self.name} is in progress.")
        before, units = self.desired, self._units(members)
        if decrement and before - units < self.min:
            raise _invalid(
                f"Currently, desiredSize is {before} and minSize is {self.min}. Moving {units} of capacity to standby "
                "without replacement will violate group's min size constraint. Either set "
                "shouldDecrementDesiredCapacity flag to false or lower group's min size."
            )
        activities = []
        for member in members:
            after = self.desired - (self._units([member]) if decrement else 0)
            shrinking = f", shrinking the capacity from {self.desired} to {after}" if decrement else ""
            self.desired = after
            activity = self.activities.begin(
                f"Moving EC2 instance to Standby: {member.instance_id}",
                self.activities.explain(
                    f"instance {member.instance_id} was moved to standby in response to a user request{shrinking}."
                ),
                member.zone,
                progress=50,
            )
            activities.append(replace(activity))
            self._start_standby(member, activity)
        self._reconsider()
        return activities

    def exit_standby(self, ids: Sequence[str]) -> list[Activity]:
        """Let members return to service; all or none. Raises AWSError as ExitStandby does."""
        members = [self.find(instance_id) for instance_id in dict.fromkeys(ids)]
        for member in members:
            if member.state != "Standby":
                raise _invalid(f"The instance {member.instance_id} is not in Standby.")
        if "Launch" in self.suspended:
            raise _invalid(f"The Launch process of Auto Scaling group {self.name} is suspended.")
        units = self._units(members)
        if self.desired + units > self.max:
            raise _invalid(
                f"Currently, desiredSize is {self.desired} and maxSize is {self.max}. Moving {units} of capacity out "
                "of standby will violate group's max size constraint."
            )
        activities = []
        for member in members:
            before, self.desired = self.desired, self.desired + self._units([member])
            activity = self.activities.begin(
                f"Moving EC2 instance out of Standby: {member.instance_id}",
                self.activities.explain(
                    f"instance {member.instance_id} was moved out of standby in response to a user request, "
                    f"increasing the capacity from {before} to {self.desired}."
                ),
                member.zone,
                code="PreInService",
                progress=30,
            )
            activities.append(replace(activity))
            self._end_standby(member, activity)
        self._reconsider()
        return activities

    def _start_standby(self, member: Member, activity: Activity) -> None:
        member.activity = activity
        self._set_state(member, "EnteringStandby")

        def arrive() -> None:
            if member.state == "EnteringStandby":
                activity.end("Successful", self._clock.now())
                self._set_state(member, "Standby")

        drains = any(member.instance_id in group.targets for group in self.target_groups)
        waits = drains and not self.spec.unconfirmed.standby_when_idle
        if drains:
            activity.code = "WaitingForELBConnectionDraining"
            self._drain(member, arrive if waits else lambda: None)
        if not waits:
            self._clock.call_later(self.spec.pace.standby, arrive)

    def _end_standby(self, member: Member, activity: Activity) -> None:
        member.activity = activity
        self._set_state(member, "Pending")

        def arrive() -> None:
            if member.state == "Pending":
                self._put_in_service(member, register=self.spec.unconfirmed.exit_registers)
                activity.end("Successful", self._clock.now())
                if self.spec.unconfirmed.standby_events:
                    self.activities.tell_launch(activity, member.instance_id)

        self._clock.call_later(self.spec.pace.in_service, arrive)

    def update(self, smallest: int | None = None, largest: int | None = None, desired: int | None = None) -> None:
        """Change the bounds and the desired capacity, as UpdateAutoScalingGroup does. Raises AWSError."""
        new_min = self.min if smallest is None else smallest
        new_max = self.max if largest is None else largest
        if new_min > new_max:
            raise _invalid(f"Max bound, {new_max}, must be greater than or equal to min bound, {new_min}")
        wanted = desired
        if wanted is None:
            # A bound that is changed takes the desired capacity along.
            wanted = max(self.desired, new_min) if smallest is not None else self.desired
            wanted = min(wanted, new_max) if largest is not None else wanted
        if not new_min <= wanted <= new_max:
            raise _invalid(
                f"Desired capacity:{wanted} must be between the specified min size:{new_min} and max size:{new_max}"
            )
        before = self.desired
        self.min, self.max, self.desired = new_min, new_max, wanted
        self._note("", "size")
        if before != wanted:
            self._because(
                f"a user request update of AutoScalingGroup constraints to min: {new_min}, max: {new_max}, desired: "
                f"{wanted} changing the desired capacity from {before} to {wanted}."
            )
        self._reconsider()

    def set_desired(self, desired: int, honor_cooldown: bool = False) -> None:
        """Change the desired capacity, as SetDesiredCapacity does. Raises AWSError."""
        if desired > self.max:
            raise _invalid(
                f"New SetDesiredCapacity value {desired} is above max value {self.max} for the AutoScalingGroup."
            )
        if desired < self.min:
            raise _invalid(
                f"New SetDesiredCapacity value {desired} is below min value {self.min} for the AutoScalingGroup."
            )
        if honor_cooldown and self._clock.time() < self._scaled_at + self.cooldown:
            raise AWSError("ScalingActivityInProgress", "Scaling activity is in progress and blocks this action")
        self._change_desired(
            desired,
            f"a user request explicitly set group desired capacity changing the desired capacity from "
            f"{self.desired} to {desired}.",
        )

    def follow_policy(self, adjustment: int, policy: str = "load") -> bool:
        """Scale as a scaling policy does, within the bounds; false when its process is suspended or it cools down."""
        if "AlarmNotification" in self.suspended or self._clock.time() < self._scaled_at + self.cooldown:
            return False
        wanted = min(max(self.desired + adjustment, self.min), self.max)
        self._change_desired(
            wanted,
            f"a monitor alarm {policy} in state ALARM triggered policy {policy} changing the desired capacity from "
            f"{self.desired} to {wanted}.",
        )
        return True

    def follow_schedule(
        self, smallest: int | None = None, largest: int | None = None, desired: int | None = None
    ) -> bool:
        """Change what a scheduled action changes; false when its process is suspended."""
        if "ScheduledActions" in self.suspended:
            return False
        self.update(smallest, largest, desired)
        return True

    def terminate(self, member: Member, decrement: bool) -> Activity:
        """Terminate a member on request. Raises AWSError as TerminateInstanceInAutoScalingGroup does."""
        if member.leaving:
            raise AWSError("ScalingActivityInProgress", f"Instance {member.instance_id} is already being terminated.")
        waits = member.state in ("Standby", "EnteringStandby")
        counted = not waits or self.spec.unconfirmed.standby_counts_when_terminated
        counts = counted and not member.warm and not member.retained
        before = self.desired
        if decrement and counts:
            if before - member.weight < self.min:
                raise _invalid(
                    f"Currently, desiredSize equals minSize ({self.min}). Terminating instance without replacement "
                    "will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to "
                    "false or lower group's min size."
                )
            self.desired -= member.weight
        shrinking = f", shrinking the capacity from {before} to {self.desired}" if before != self.desired else ""
        activity = self.take_out(
            member,
            self.activities.explain(
                f"instance {member.instance_id} was taken out of service in response to a user request{shrinking}."
            ),
        )
        return replace(activity, code="InProgress")

    def launch_now(self, count: int, zone: str | None, retry: bool) -> tuple[list[Member], bool]:
        """Launch instances at once and raise the desired capacity by them; with `retry`, later if not now.

        Returns the new members, and whether the zone had the capacity.
        """
        chosen = zone or self.zones[0]
        if chosen in self.zones_without_capacity:
            if retry:
                self.desired += count
                self._reconsider()
            return [], False
        launched = []
        for _ in range(count):
            before = self.desired
            cause = self.activities.explain(
                "an instance was started in response to a LaunchInstances request, increasing the capacity from "
                f"{before} to {before + 1}."
            )
            member = self._launch(cause, chosen)
            assert member is not None
            self.desired += member.weight
            launched.append(member)
        self._note("", "size")
        return launched, True

    def _change_desired(self, desired: int, cause: str) -> None:
        if desired != self.desired:
            self._because(cause)
            self.desired = desired
            self._scaled_at = self._clock.time()
            self._note("", "size")
        self._reconsider()

    def _units(self, members: Sequence[Member]) -> int:
        in_units = self.spec.unconfirmed.standby_in_units
        return sum(member.weight if in_units else 1 for member in members)

    def suspend(self, processes: Sequence[str]) -> None:
        """Suspend these processes. Raises AWSError for an unknown one."""
        at = print_time(self._clock.now())
        for process in _check_processes(processes):
            self.suspended.setdefault(process, f"User suspended at {at}")
        self._note("", "processes")

    def resume(self, processes: Sequence[str]) -> None:
        """Resume these processes. Raises AWSError for an unknown one."""
        for process in _check_processes(processes):
            self.suspended.pop(process, None)
        self._note("", "processes")
        for member in self.in_service:
            self._judge(member)
        self._reconsider()

    def _reconsider(self) -> None:
        """Look after a while whether there are as many members as there should be."""
        if self._timer is None:
            self._timer = self._clock.call_later(self.spec.pace.reaction, self._reconcile)

    def _reconcile(self) -> None:
        self._timer = None
        self._extra &= {member.instance_id for member in self.members.values() if member.state != "InService"}
        extra = sum(self.members[one].weight for one in self._extra)
        if self.capacity < self.desired:
            if "Launch" not in self.suspended:
                self._launch_missing()
        elif self.capacity - extra > self.desired:
            if "Terminate" not in self.suspended:
                self._terminate_surplus(extra)
        elif not extra:
            self._rebalance()
        self._refill_warm_pool()

    def _launch_missing(self) -> None:
        while self.capacity < self.desired:
            before = self.capacity
            cause = " ".join(
                [
                    *self._causes,
                    self.activities.explain(
                        "an instance was started in response to a difference between desired and actual capacity, "
                        f"increasing the capacity from {before} to {min(before + 1, self.desired)}."
                    ),
                ]
            )
            if self._launch(cause) is None:
                break
        self._causes.clear()

    def _terminate_surplus(self, extra: int) -> None:
        while self.capacity - extra > self.desired:
            victim = self._choose_victim()
            if victim is None:
                activity = self.activities.begin(
                    "Could not scale to desired capacity because all remaining instances are protected from scale-in.",
                    " ".join([*self._causes, self.activities.explain("there is nothing that may be terminated.")]),
                    self.zones[0],
                )
                activity.end("Cancelled", self._clock.now())
                break
            before = self.capacity
            cause = [
                *self._causes,
                self.activities.explain(
                    "an instance was taken out of service in response to a difference between desired and actual "
                    f"capacity, shrinking the capacity from {before} to {before - victim.weight}."
                ),
                self.activities.explain(f"instance {victim.instance_id} was selected for termination."),
            ]
            self.take_out(victim, " ".join(cause))
        self._causes.clear()

    def _choose_victim(self) -> Member | None:
        """Choose as the default termination policy does: the fullest zone, the oldest template, the oldest member."""
        candidates = [member for member in self.in_service if not member.protected]
        counts = self._count_zones()
        return min(
            candidates,
            key=lambda member: (
                -counts[member.zone],
                int(member.source.get("Version", 0)),
                member.machine.launch_time,
                member.machine.number,
            ),
            default=None,
        )

    def _rebalance(self) -> None:
        if {"AZRebalance", "Launch", "Terminate"} & set(self.suspended) or len(self.zones) < 2:
            return
        counts = self._count_zones()
        emptiest = min(self.zones, key=lambda zone: counts[zone])
        fullest = max(self.zones, key=lambda zone: counts[zone])
        if counts[fullest] - counts[emptiest] < 2:
            return
        cause = self.activities.explain(
            f"an instance was launched to aid in balancing the group's zones: {fullest} has {counts[fullest]}, "
            f"{emptiest} has {counts[emptiest]}."
        )
        member = self._launch(cause, emptiest)
        if member is not None:
            self._extra.add(member.instance_id)

    def _count_zones(self) -> Counter[str]:
        return Counter(member.zone for member in self.members.values() if member.state in _COUNTED)

    def _refill_warm_pool(self) -> None:
        waiting = sum(member.warm for member in self.members.values())
        for _ in range((self.spec.warm_pool or 0) - waiting if "Launch" not in self.suspended else 0):
            member = self._make(min(self.zones, key=lambda zone: self._count_zones()[zone]))
            self._set_state(member, "Warmed:Pending")

    def _launch(self, cause: str, zone: str | None = None) -> Member | None:
        counts = self._count_zones()
        able = [one for one in self.zones if one not in self.zones_without_capacity]
        chosen = zone or min(able or self.zones, key=lambda one: counts[one])
        if chosen in self.zones_without_capacity:
            self._fail_launch(cause, chosen)
            return None
        ready = f"Warmed:{self.pool_state}"
        warm = next((one for one in self.members.values() if one.state == ready), None)
        member = warm if warm is not None and zone is None else self._make(chosen)
        if member.machine.state == "stopped":
            member.machine.start()
        elif member is warm:
            self._clock.call_later(1, lambda: self._notice_machine(member.machine))
        member.activity = self.activities.begin(
            f"Launching a new EC2 instance: {member.instance_id}", cause, member.zone, progress=30
        )
        self._set_state(member, "Pending")
        return member

    def _fail_launch(self, cause: str, zone: str) -> None:
        activity = self.activities.begin("Launching a new EC2 instance", cause, zone)
        _, _, instance_type = self._read_source(self._launches)
        activity.end(
            "Failed",
            self._clock.now(),
            f"We currently do not have sufficient {instance_type} capacity in the Availability Zone you requested "
            f"({zone}). Launching EC2 instance failed.",
        )
        self.activities.tell_launch(activity, None)
        # As long as it fails this goes on for ever, which is no reason for a rehearsal to.
        self._clock.call_later(self.spec.pace.retry, self._reconsider, background=True)

    def _make(self, zone: str) -> Member:
        self._launches += 1
        source, image_id, instance_type = self._read_source(self._launches)
        missing = self._launched.missing
        image = self.instances.images.by_id.get(image_id)
        if image is not None and not image.machine.missing:
            missing = ()
        spec = replace(
            self._launched,
            name=f"{self.name}-new-{self._launches}",
            group=self.name,
            zone=zone,
            power="running",
            hibernated=False,
            lifecycle_state="InService",
            missing=missing,
            image_id=image_id,
            instance_type=instance_type,
        )
        machine = self.instances.machine(self.instances.launch(spec))
        return self._add(Member(machine, "Pending", source, self._weigh(instance_type), protected=self.protect_new))

    def _add_old(self, spec: MachineSpec, number: int) -> None:
        """Add the n-th member that was there before, counted from 0."""
        zone, state = self.zones[number % len(self.zones)], spec.lifecycle_state
        source, image_id, instance_type = self._read_source(number)
        own = replace(spec, group=self.name, zone=zone, image_id=image_id, instance_type=instance_type)
        machine = self.instances.machine(self.instances.add(own))
        member = self._add(Member(machine, state, source, self._weigh(instance_type), protected=self.protect_new))
        member.in_service_at = self._clock.time() - 86_400
        if state == "InService":
            for group in self.target_groups:
                group.register(machine, long_ago=True)

    def _add(self, member: Member) -> Member:
        self.members[member.instance_id] = member
        self.instances.tags(member.instance_id).update(self.tags)
        member.machine.when_changed.append(self._notice_machine)
        return member

    @property
    def configured_image(self) -> str:
        """The image that the group's launch configuration names."""
        return self._launched.image_id

    def _read_source(self, number: int) -> tuple[Mapping[str, str], str, str]:
        """Return what a launch comes from now: the template's version or the configuration, the image, the type.

        Of a mixed instances policy the n-th launch takes the n-th override.
        """
        if self.template is None:
            name = str(self.spec.launch_configuration)
            return {"LaunchConfigurationName": name}, self._launched.image_id, self._launched.instance_type
        overrides = self.spec.mixed.overrides if self.spec.mixed else ()
        override: Mapping[str, Any] = overrides[number % len(overrides)] if overrides else {}
        template, text = self.template, self.template_version
        other = override.get("LaunchTemplateSpecification")
        if other is not None:
            template = self.instances.launch_templates.find(
                other.get("LaunchTemplateId"), other.get("LaunchTemplateName")
            )
            text = other.get("Version", "$Default")
        version = template.version(text)
        source = {
            "LaunchTemplateId": template.template_id,
            "LaunchTemplateName": template.name,
            "Version": str(version.number),
        }
        image_id = str(override.get("ImageId") or version.image_id or self._launched.image_id)
        return source, image_id, str(override.get("InstanceType") or version.instance_type)

    def _weigh(self, instance_type: str) -> int:
        overrides = self.spec.mixed.overrides if self.spec.mixed else ()
        weights = [one.get("WeightedCapacity", "1") for one in overrides if one.get("InstanceType") == instance_type]
        return int(weights[0]) if weights else 1

    def _notice_machine(self, machine: Machine) -> None:
        member = self.members.get(machine.instance_id)
        if member is None:
            return
        if member.leaving or member.retained:
            if machine.state == "terminated" and member.state != "Terminating:Wait":
                self._remove(member)
        elif member.state == "Pending" and member.activity and member.activity.code == "InProgress":
            if machine.serves:
                self._finish_launch(member)
            elif machine.state not in ("pending", "running"):
                self.take_out(member, self.activities.explain("an instance did not come up."))
        elif member.state == "Warmed:Pending" and machine.serves and self.pool_state == "Running":
            self._set_state(member, "Warmed:Running")
        elif member.state == "Warmed:Pending" and machine.serves:
            machine.stop()
        elif member.state == "Warmed:Pending" and machine.state == "stopped":
            self._set_state(member, f"Warmed:{self.pool_state}")
        elif member.state == "InService":
            self._note(member.instance_id, "serves" if machine.serves else "serves not")
            self._check_later(member)

    def _finish_launch(self, member: Member) -> None:
        activity = member.activity
        assert activity is not None

        def arrive() -> None:
            if member.state.startswith("Pending"):
                self._put_in_service(member)
                self.activities.tell_launch(activity, member.instance_id)
                activity.end("Successful", self._clock.now())
                self._reconsider()

        hook = self.spec.hooks.get("launching")
        if hook is None:
            arrive()
        else:
            activity.code = "MidLifecycleAction"
            self._wait_for_hook(member, "Pending", "launch", hook, arrive)

    def _wait_for_hook(self, member: Member, state: str, kind: str, seconds: float, then: Callable[[], None]) -> None:
        self._set_state(member, f"{state}:Wait")
        launching = kind == "launch"
        self.activities.announce(
            f"EC2 Instance-{kind} Lifecycle Action",
            {
                "LifecycleActionToken": self.instances.account.make_uuid(),
                "LifecycleHookName": f"{self.name}-{kind}",
                "EC2InstanceId": member.instance_id,
                "LifecycleTransition": f"autoscaling:EC2_INSTANCE_{'LAUNCHING' if launching else 'TERMINATING'}",
                "Origin": "EC2" if launching else "AutoScalingGroup",
                "Destination": "AutoScalingGroup" if launching else "EC2",
            },
        )

        def proceed() -> None:
            if member.state == f"{state}:Wait":
                self._set_state(member, f"{state}:Proceed")
                then()

        self._clock.call_later(seconds, proceed)

    def _put_in_service(self, member: Member, register: bool = False) -> None:
        member.in_service_at = self._clock.time()
        if register or "AddToLoadBalancer" not in self.suspended:
            for group in self.target_groups:
                group.register(member.machine)
        self._set_state(member, "InService")
        self._judge(member)

    def take_out(self, member: Member, cause: str) -> Activity:
        """Terminate a member, after it has drained and its hook is over."""
        if member.activity is not None:
            member.activity.end("Cancelled", self._clock.now())
        activity = self.activities.begin(
            f"Terminating EC2 instance: {member.instance_id}", cause, member.zone, progress=0
        )
        member.activity = activity
        self._set_state(member, "Terminating")

        def end() -> None:
            if member.state not in ("Terminating", "Terminating:Proceed"):
                return
            if member.machine.state == "terminated":
                self._remove(member)
            elif member.machine.state != "shutting-down":
                member.machine.terminate()

        def leave() -> None:
            if member.state != "Terminating":
                return
            hook = self.spec.hooks.get("terminating")
            if hook is None:
                end()
            else:
                activity.code = "MidLifecycleAction"
                self._wait_for_hook(member, "Terminating", "terminate", hook, end)

        if any(member.instance_id in group.targets for group in self.target_groups):
            activity.code = "WaitingForELBConnectionDraining"
            self._drain(member, leave)
        else:
            self._clock.call_later(1, leave)
        self._reconsider()
        return activity

    def _remove(self, member: Member) -> None:
        del self.members[member.instance_id]
        member.machine.when_changed.remove(self._notice_machine)
        activity = member.activity
        if activity is not None:
            self.activities.tell_termination(activity, member.instance_id)
            activity.end("Successful", self._clock.now())
        member.state = "Terminated"
        self._note(member.instance_id, "Terminated")
        self._reconsider()

    def _drain(self, member: Member, then: Callable[[], None]) -> None:
        """Deregister a member everywhere, and do something when the last target group has let it go."""
        left = [group for group in self.target_groups if member.instance_id in group.targets]
        waiting = len(left)

        def count() -> None:
            nonlocal waiting
            waiting -= 1
            if waiting == 0:
                then()

        for group in left:
            group.deregister(member.instance_id, count)

    def _notice_target(self, instance_id: str) -> None:
        member = self.members.get(instance_id)
        if member is not None:
            self._note(instance_id, " ".join(["target", *(group.state(instance_id) for group in self.target_groups)]))
            if member.state == "InService":
                self._check_later(member)

    def _check_later(self, member: Member) -> None:
        """Judge a member at the next check of its health, if it does not look healthy now."""
        if member.check is not None or not self._looks_unhealthy(member):
            return
        interval = self.spec.pace.health_check
        now = self._clock.time()

        def check() -> None:
            member.check = None
            self._judge(member)

        member.check = self._clock.call_later(interval - now % interval, check)

    def _looks_unhealthy(self, member: Member) -> bool:
        return member.machine.state != "running" or (
            self.health_check_type == "ELB"
            and any(group.state(member.instance_id) == "unhealthy" for group in self.target_groups)
        )

    def _judge(self, member: Member) -> None:
        """Mark a member in service that is unhealthy, and replace it. Only stopped machines get no grace."""
        if member.state != "InService":
            return
        if "HealthCheck" not in self.suspended and member.health == "Healthy" and self._looks_unhealthy(member):
            graceful = member.in_service_at + self.grace - self._clock.time()
            if member.machine.state == "running" and graceful > 0:
                self._clock.call_later(graceful, lambda: self._judge(member))
                return
            self.mark_unhealthy(member)
            return
        self._replace(member)

    def mark_unhealthy(self, member: Member) -> None:
        """Take it that a member is unhealthy: it is replaced unless that is suspended."""
        member.health = "Unhealthy"
        self._note(member.instance_id, "Unhealthy")
        self._replace(member)

    def _replace(self, member: Member) -> None:
        if member.health == "Healthy" or member.state != "InService":
            return
        if not {"ReplaceUnhealthy", "Terminate"} & set(self.suspended):
            gone = member.machine.state != "running"
            check = (
                "an EC2 health check indicating it has been terminated or stopped."
                if gone
                else "an ELB system health check failure."
            )
            self.take_out(
                member, self.activities.explain(f"an instance was taken out of service in response to {check}")
            )

    def _set_state(self, member: Member, state: str) -> None:
        member.state = state
        self._note(member.instance_id, state)

    def _note(self, instance_id: str, what: str) -> None:
        change = Change(self._clock.now(), instance_id, what)
        self.log.append(change)
        for listener in list(self.listeners):
            listener(change)

    def _because(self, text: str) -> None:
        self._causes.append(self.activities.explain(text))


def _check_processes(processes: Sequence[str]) -> Sequence[str]:
    unknown = [process for process in processes if process not in PROCESSES]
    if unknown:
        raise _invalid(f"Invalid scaling process type: {', '.join(unknown)}")
    return processes


def _invalid(message: str) -> AWSError:
    return AWSError("ValidationError", message)
