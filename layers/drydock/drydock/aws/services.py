"""Everything a step works with besides its own input: the clock, the environment, and AWS."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from drydock.aws.autoscaling import AutoScaling
from drydock.aws.clients import make_clients
from drydock.aws.cloudwatch import CloudWatch
from drydock.aws.ec2 import Ec2
from drydock.aws.executions import Executions
from drydock.aws.objects import Objects
from drydock.aws.resource_groups import ResourceGroups
from drydock.aws.ssm import Ssm
from drydock.aws.table import Table
from drydock.aws.topics import Topics
from drydock.aws.windows import Windows
from drydock.environment import Environment
from drydock.times import utc_now

# Every handler imports this, and nothing else does so in a Lambda function.
make_clients(os.environ.get("AWS_LAMBDA_FUNCTION_NAME", ""))


@dataclass
class Services:
    """The clock, the environment, and AWS by service. What calls AWS is made when it is first needed."""

    environment: Environment = field(default_factory=Environment.read)
    now: Callable[[], datetime] = utc_now

    @cached_property
    def table(self) -> Table:
        """The stack's DynamoDB table: leases, results, runs and histories."""
        return Table(self.environment.table)

    @cached_property
    def ec2(self) -> Ec2:
        """EC2: the instances, images and launch templates of the function's own account and Region."""
        return Ec2()

    @cached_property
    def ssm(self) -> Ssm:
        """Systems Manager: commands, patches, parameters and calendars; `windows` has its maintenance windows."""
        return Ssm()

    @cached_property
    def executions(self) -> Executions:
        """Step Functions, to look at executions, stop them and answer their tokens."""
        return Executions()

    @cached_property
    def objects(self) -> Objects:
        """The stack's bucket, where plans, waves and reports stand."""
        return Objects(self.environment.log_bucket)

    @cached_property
    def resource_groups(self) -> ResourceGroups:
        """Resource Groups, which tell the members of a target."""
        return ResourceGroups()

    @cached_property
    def windows(self) -> Windows:
        """The maintenance windows of Systems Manager, out of which runs are started."""
        return Windows()

    @cached_property
    def cloudwatch(self) -> CloudWatch:
        """CloudWatch, which tells the states of the alarms that the policy names."""
        return CloudWatch()

    @cached_property
    def topics(self) -> Topics:
        """SNS, to see who is subscribed to the topics that people hear from."""
        return Topics()

    @cached_property
    def autoscaling(self) -> AutoScaling:
        """Auto Scaling, and the load balancers that its groups stand behind."""
        return AutoScaling()
