"""The account that is asked, as the credentials of whoever asks see it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

POLL_SECONDS = 5


class SmokeError(Exception):
    """Raised for what keeps the smoke from beginning, or from going on."""


@dataclass(frozen=True)
class Instance:
    """The instance that is scanned."""

    instance_id: str
    platform: str
    """Windows, Linux or MacOS."""
    image_id: str
    instance_type: str
    zone: str
    subnet_id: str


@dataclass(frozen=True)
class Account:
    """An account and a Region, and the stack that is asked about."""

    stack: str
    region: str | None = None

    @cached_property
    def session(self) -> boto3.Session:
        """The session of whoever asks."""
        # boto3 does not read AWS_REGION.
        return boto3.Session(region_name=self.region or os.environ.get("AWS_REGION") or None)

    def client(self, service: str, credentials: Mapping[str, str] | None = None) -> Any:
        """Return a client of boto3, of somebody else with the credentials of AssumeRole."""
        if credentials is None:
            return self.session.client(service)  # type: ignore[call-overload]
        return self.session.client(  # type: ignore[call-overload]
            service,
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
        )

    @cached_property
    def caller(self) -> str:
        """The ARN of whoever asks; raises SmokeError without credentials or a Region."""
        if not self.session.region_name:
            raise SmokeError("there is no Region: name it with --region, AWS_REGION, or in the profile")
        try:
            return str(self.client("sts").get_caller_identity()["Arn"])
        except (BotoCoreError, ClientError) as error:
            raise SmokeError(f"there are no credentials that AWS takes: {error}") from error

    @property
    def number(self) -> str:
        """The account's number."""
        return self.caller.split(":")[4]

    @property
    def partition(self) -> str:
        """`aws`, `aws-cn` or `aws-us-gov`."""
        return self.caller.split(":")[1]

    @property
    def own_region(self) -> str:
        """The Region that is asked."""
        return str(self.session.region_name)

    @property
    def leftover(self) -> str:
        """What the name begins with of all that is made for a question, and removed after it."""
        return f"{self.stack}-smoke"

    def outputs(self) -> dict[str, str]:
        """Return the outputs of the stack; raises SmokeError when there is none."""
        found = self.find_stack()
        if found is None:
            raise SmokeError(f"there is no stack {self.stack} in {self.own_region}")
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}

    def find_stack(self) -> Mapping[str, Any] | None:
        """Return the stack as CloudFormation describes it; None when there is none."""
        try:
            found: Mapping[str, Any] = self.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"][0]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":
                return None
            raise
        return found

    def find_instance(self, instance_id: str) -> Instance:
        """Return the instance, which runs and whose agent is online; raises SmokeError otherwise."""
        try:
            (reservation,) = self.client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"]
        except (ClientError, ValueError) as error:
            raise SmokeError(f"there is no instance {instance_id} in {self.own_region}: {error}") from error
        (found,) = reservation["Instances"]
        state = found["State"]["Name"]
        if state != "running":
            raise SmokeError(f"{instance_id} is {state}: name one that runs")
        listed = self.client("ssm").describe_instance_information(
            Filters=[{"Key": "InstanceIds", "Values": [instance_id]}]
        )["InstanceInformationList"]
        if not listed or listed[0]["PingStatus"] != "Online":
            raise SmokeError(f"Systems Manager does not reach {instance_id}: name one whose agent is online")
        return Instance(
            instance_id=instance_id,
            platform=listed[0]["PlatformType"],
            image_id=found["ImageId"],
            instance_type=found["InstanceType"],
            zone=found["Placement"]["AvailabilityZone"],
            subnet_id=found.get("SubnetId", ""),
        )


def wait_for(look: Callable[[], Any], seconds: float, every: float = POLL_SECONDS) -> Any:
    """Return what `look` returns once that is something, or what it returned last when the seconds are over."""
    waited = 0.0
    while not (found := look()) and waited < seconds:
        time.sleep(every)
        waited += every
    return found
