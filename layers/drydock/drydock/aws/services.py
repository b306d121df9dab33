"""Everything a step works with besides its own input: the clock, the environment, and AWS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from drydock.aws.autoscaling import AutoScaling
from drydock.aws.cloudwatch import CloudWatch
from drydock.aws.ec2 import Ec2
from drydock.aws.executions import Executions
from drydock.aws.objects import Objects
from drydock.aws.resource_groups import ResourceGroups
from drydock.aws.ssm import Ssm
from drydock.aws.table import Table
from drydock.aws.windows import Windows
from drydock.environment import Environment
from drydock.times import utc_now


@dataclass
class Services:
    environment: Environment = field(default_factory=Environment.read)
    now: Callable[[], datetime] = utc_now

    @cached_property
    def table(self) -> Table:
        return Table(self.environment.table)

    @cached_property
    def ec2(self) -> Ec2:
        return Ec2()

    @cached_property
    def ssm(self) -> Ssm:
        return Ssm()

    @cached_property
    def executions(self) -> Executions:
        return Executions()

    @cached_property
    def objects(self) -> Objects:
        return Objects(self.environment.log_bucket)

    @cached_property
    def resource_groups(self) -> ResourceGroups:
        return ResourceGroups()

    @cached_property
    def windows(self) -> Windows:
        return Windows()

    @cached_property
    def cloudwatch(self) -> CloudWatch:
        return CloudWatch()

    @cached_property
    def autoscaling(self) -> AutoScaling:
        return AutoScaling()
