"""The scaling activities of an Auto Scaling group, and what EventBridge hears of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.engine.host import Host
from rehearsal.world.group_specs import find_subnet

_LONGEST_CAUSE = 1023


@dataclass
class Activity:
    """A scaling activity."""

    activity_id: str
    description: str
    cause: str
    zone: str
    started: datetime
    code: str
    progress: int
    ended: datetime | None = None
    message: str | None = None

    @property
    def details(self) -> dict[str, str]:
        """Return where the activity is."""
        return {"Subnet ID": find_subnet(self.zone), "Availability Zone": self.zone}

    def end(self, code: str, at: datetime, message: str | None = None) -> None:
        """Take it that the activity is over; only the first end counts."""
        if self.ended is None:
            self.code, self.progress, self.ended, self.message = code, 100, at, message


class Activities:
    """The activities of one group, oldest first."""

    def __init__(self, account: Host, name: str, arn: str) -> None:
        self.all: list[Activity] = []
        self._account = account
        self._name = name
        self._arn = arn

    def explain(self, text: str) -> str:
        """Return what happened as a cause says it, with the time."""
        return f"At {print_time(self._account.clock.now())} {text}"

    def begin(
        self, description: str, cause: str, zone: str, *, code: str = "InProgress", progress: int = 0
    ) -> Activity:
        """Begin an activity."""
        now = self._account.clock.now()
        cause = cause[:_LONGEST_CAUSE]
        activity = Activity(self._account.make_uuid(), description, cause, zone, now, code, progress)
        self.all.append(activity)
        return activity

    def tell_launch(self, activity: Activity, instance_id: str | None) -> None:
        """Tell EventBridge of a launch; it has no instance when it failed."""
        how = "Successful" if instance_id else "Unsuccessful"
        self._tell(activity, instance_id, f"EC2 Instance Launch {how}", "EC2", "AutoScalingGroup")

    def tell_termination(self, activity: Activity, instance_id: str) -> None:
        """Tell EventBridge of a termination."""
        self._tell(activity, instance_id, "EC2 Instance Terminate Successful", "AutoScalingGroup", "EC2")

    def announce(self, what: str, detail: Mapping[str, Any], resources: Sequence[str] = ()) -> None:
        """Emit an event of the group."""
        named = {"AutoScalingGroupName": self._name, **detail}
        self._account.bus.put("aws.autoscaling", what, named, [self._arn, *resources])

    def describe(self, activity: Activity) -> dict[str, Any]:
        """Return an activity as the API does."""
        described = {
            "ActivityId": activity.activity_id,
            "AutoScalingGroupName": self._name,
            "Description": activity.description,
            "Cause": activity.cause,
            "StartTime": activity.started,
            "EndTime": activity.ended,
            "StatusCode": activity.code,
            "StatusMessage": activity.message,
            "Progress": activity.progress,
            "Details": json.dumps(activity.details),
            "AutoScalingGroupARN": self._arn,
        }
        return {key: value for key, value in described.items() if value is not None}

    def _tell(self, activity: Activity, instance_id: str | None, what: str, origin: str, destination: str) -> None:
        detail: dict[str, Any] = {
            "StatusCode": "InProgress" if instance_id else "Failed",
            "Description": activity.description,
            "ActivityId": activity.activity_id,
            "Details": activity.details,
            "RequestId": activity.activity_id,
            "StatusMessage": activity.message or "",
            "EndTime": print_time(self._account.clock.now()),
            "EC2InstanceId": instance_id or "",
            "StartTime": print_time(activity.started),
            "Cause": activity.cause,
            "Origin": origin,
            "Destination": destination,
        }
        instance = [f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance_id}"] if instance_id else []
        self.announce(what, detail, instance)


def print_time(instant: datetime) -> str:
    """Return a time as Auto Scaling writes it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
