"""The target groups of an embedded account: targets are registered, checked, and drained when they leave."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rehearsal.engine.answers import AWSError, Parameters
from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.engine.clock import Timer
from rehearsal.engine.host import Host
from rehearsal.world.machines import Machine

TargetState = Literal["initial", "healthy", "unhealthy", "draining", "unused"]
Listener = Callable[[str], None]
"""Hears, by instance id, that a target's state has changed."""

_PAGE = 400
_GONE = ("shutting-down", "terminated")
_REASONS: Mapping[str, tuple[str, str]] = {
    "initial": ("Elb.RegistrationInProgress", "Target registration is in progress"),
    "unhealthy": ("Target.FailedHealthChecks", "Health checks failed"),
    "draining": ("Target.DeregistrationInProgress", "Target deregistration is in progress"),
}


@dataclass(frozen=True)
class TargetGroupSpec:
    """A target group as its fleet describes it; times in seconds.

    One passed check makes a new target healthy. `unhealthy_threshold` failed ones make a target unhealthy, and
    `healthy_threshold` passed ones make it healthy again. Without a load balancer nothing is ever checked.
    """

    name: str
    deregistration_delay: int = 300
    health_check_interval: int = 30
    healthy_threshold: int = 5
    unhealthy_threshold: int = 2
    port: int = 80
    load_balancer: bool = True


class Target:
    """An instance in a target group."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.state: TargetState = "initial"
        self.timer: Timer | None = None


class TargetGroup:
    """A target group and its targets."""

    def __init__(self, spec: TargetGroupSpec, account: Host) -> None:
        self.spec = spec
        self.targets: dict[str, Target] = {}
        self.listeners: list[Listener] = []
        self._clock = account.clock
        self._sick: set[str] = set()
        self._all_sick = False
        number = hashlib.sha256(spec.name.encode()).hexdigest()
        prefix = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
        self.arn = f"{prefix}:targetgroup/{spec.name}/{number[:16]}"
        self.load_balancer = f"{prefix}:loadbalancer/app/{spec.name}/{number[16:32]}"

    def state(self, instance_id: str) -> TargetState:
        """Return the state of a target; `unused` for an instance that is none."""
        target = self.targets.get(instance_id)
        return target.state if target and self.spec.load_balancer else "unused"

    def register(self, machine: Machine, *, long_ago: bool = False) -> None:
        """Register an instance, unless it is gone. `long_ago`: it has been healthy for a while."""
        if machine.state in _GONE:
            return
        target = Target(machine)
        before = self.targets.get(machine.instance_id)
        if before is not None and before.timer is not None:
            before.timer.cancel()
        self.targets[machine.instance_id] = target
        if self.notice not in machine.when_changed:
            machine.when_changed.append(self.notice)
        if long_ago:
            target.state = "healthy" if self._passes(target) else "unhealthy"
        else:
            self._tell(target)
            self._check_later(target)

    def deregister(self, instance_id: str, then: Callable[[], None] = lambda: None) -> None:
        """Let a target drain for the deregistration delay, and do something afterwards."""
        target = self.targets.get(instance_id)
        if target is None:
            then()
            return

        def finish() -> None:
            if self.targets.get(instance_id) is target:
                del self.targets[instance_id]
                self._tell(target)
            then()

        if not self.spec.load_balancer:
            finish()
            return
        self._change(target, "draining")
        target.timer = self._clock.call_later(self.spec.deregistration_delay, finish)

    def fail_checks(self, instance_id: str | None = None) -> None:
        """Let an instance, or every one, fail its health checks from now on, whatever it does."""
        if instance_id is None:
            self._all_sick = True
        else:
            self._sick.add(instance_id)
        self._check_all()

    def pass_checks(self) -> None:
        """Let health checks tell the truth again."""
        self._all_sick = False
        self._sick.clear()
        self._check_all()

    def notice(self, machine: Machine) -> None:
        """Notice that an instance changed: the next health checks may see it."""
        target = self.targets.get(machine.instance_id)
        if target is None or target.state == "draining":
            return
        if machine.state in _GONE:
            # The load balancer drops an instance that is gone by itself.
            del self.targets[machine.instance_id]
            self._tell(target)
        elif target.state != "initial":
            self._check_later(target)

    def _check_all(self) -> None:
        for target in list(self.targets.values()):
            if target.state in ("healthy", "unhealthy"):
                self._check_later(target)

    def _passes(self, target: Target) -> bool:
        sick = self._all_sick or target.machine.instance_id in self._sick
        return target.machine.serves and not sick

    def _check_later(self, target: Target) -> None:
        """Change a target's state once as many checks as it takes have passed or failed."""
        if target.timer is not None:
            target.timer.cancel()
            target.timer = None
        settled = target.state != "initial" and (target.state == "healthy") == self._passes(target)
        if settled or not self.spec.load_balancer:
            return
        checks = {"initial": 1, "healthy": self.spec.unhealthy_threshold}.get(target.state, self.spec.healthy_threshold)

        def judge() -> None:
            target.timer = None
            self._change(target, "healthy" if self._passes(target) else "unhealthy")

        target.timer = self._clock.call_later(checks * self.spec.health_check_interval, judge)

    def _change(self, target: Target, state: TargetState) -> None:
        if target.timer is not None:
            target.timer.cancel()
            target.timer = None
        if target.state != state:
            target.state = state
            self._tell(target)

    def _tell(self, target: Target) -> None:
        for listener in list(self.listeners):
            listener(target.machine.instance_id)

    def describe(self) -> dict[str, Any]:
        """Return the group as DescribeTargetGroups does."""
        return {
            "TargetGroupArn": self.arn,
            "TargetGroupName": self.spec.name,
            "Protocol": "HTTP",
            "Port": self.spec.port,
            "HealthCheckEnabled": True,
            "HealthCheckIntervalSeconds": self.spec.health_check_interval,
            "HealthyThresholdCount": self.spec.healthy_threshold,
            "UnhealthyThresholdCount": self.spec.unhealthy_threshold,
            "LoadBalancerArns": [self.load_balancer] if self.spec.load_balancer else [],
            "TargetType": "instance",
        }

    def describe_target(self, instance_id: str) -> dict[str, Any]:
        """Return the health of an instance as DescribeTargetHealth does, also of one that is no target."""
        target = self.targets.get(instance_id)
        described: dict[str, Any] = {"Target": {"Id": instance_id, "Port": self.spec.port}}
        health: dict[str, Any] = {"State": target.state if target else "unused"}
        if target is None:
            health |= {
                "Reason": "Target.NotRegistered",
                "Description": "Target is not registered to the target group",
            }
        elif target.state == "draining":
            health |= _explain("draining")
        elif not self.spec.load_balancer:
            health = {
                "State": "unused",
                "Reason": "Target.NotInUse",
                "Description": "Target group is not configured to receive traffic from the load balancer",
            }
        elif target.machine.state in ("stopping", "stopped"):
            health = {
                "State": "unused",
                "Reason": "Target.InvalidState",
                "Description": "Target is in the stopped state",
            }
        elif target.state != "healthy":
            health |= _explain(target.state)
        if target is not None:
            described["HealthCheckPort"] = str(self.spec.port)
        return {**described, "TargetHealth": health}


class LoadBalancers:
    """The target groups, and one method for each ELBv2 operation on them, named as in boto3."""

    def __init__(self, account: Host) -> None:
        self._account = account
        self._groups: dict[str, TargetGroup] = {}

    def add(self, spec: TargetGroupSpec) -> TargetGroup:
        """Add a target group."""
        group = TargetGroup(spec, self._account)
        self._groups[group.arn] = group
        return group

    def named(self, name: str) -> TargetGroup:
        """Return the target group of a name. Raises KeyError when there is none."""
        for group in self._groups.values():
            if group.spec.name == name:
                return group
        raise KeyError(name)

    def describe_target_groups(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeTargetGroups."""
        if "LoadBalancerArn" in parameters:
            raise NotImplementedError("DescribeTargetGroups of a load balancer is not simulated")
        arns, names = parameters.get("TargetGroupArns", []), parameters.get("Names", [])
        found = [self._find(arn) for arn in arns]
        for name in names:
            try:
                found.append(self.named(name))
            except KeyError as error:
                raise _not_found() from error
        if not arns and not names:
            found = list(self._groups.values())
        start = int(parameters.get("Marker") or 0)
        end = start + int(parameters.get("PageSize") or _PAGE)
        marker = str(end) if end < len(found) else None
        return {"TargetGroups": [group.describe() for group in found[start:end]], "NextMarker": marker}

    def describe_target_group_attributes(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeTargetGroupAttributes, of which only the deregistration delay means something here."""
        group = self._find(parameters["TargetGroupArn"])
        delay = str(group.spec.deregistration_delay)
        return {"Attributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": delay}]}

    def describe_target_health(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeTargetHealth: of all targets, or of those that are named."""
        group = self._find(parameters["TargetGroupArn"])
        named = [target["Id"] for target in parameters.get("Targets", [])]
        ids = named or list(group.targets)
        return {"TargetHealthDescriptions": [group.describe_target(instance_id) for instance_id in ids]}

    def _find(self, arn: str) -> TargetGroup:
        if arn not in self._groups:
            raise _not_found()
        return self._groups[arn]


def _explain(state: str) -> dict[str, str]:
    reason, description = _REASONS[state]
    return {"Reason": reason, "Description": description}


def _not_found() -> AWSError:
    return AWSError("TargetGroupNotFound", "One or more target groups not found")
