"""Which clients a function makes while its module is imported, before its first event.

What is done there is done once for each sandbox, and outside of the invocation that somebody waits for: "Initialize SDK
clients and database connections outside of the function handler"
(https://docs.aws.amazon.com/lambda/latest/dg/best-practices.html). A client that a function needs only when people ask
for something special (KMS, Lambda, CloudWatch's alarms) is made when it is first used.
"""

from __future__ import annotations

from collections.abc import Mapping

from drydock.aws.calls import client

CLIENTS: Mapping[str, tuple[str, ...]] = {
    "admit_group": ("autoscaling", "dynamodb", "ec2", "elbv2", "ssm", "stepfunctions"),
    "admit_instance": ("autoscaling", "dynamodb", "ec2", "ssm", "stepfunctions"),
    "admit_machine": ("dynamodb", "ssm", "stepfunctions"),
    "admit_restore": ("autoscaling", "dynamodb", "ec2", "ssm", "stepfunctions"),
    "alert_failure": ("dynamodb", "ec2", "sns", "ssm"),
    "ask_for_approval": ("dynamodb", "s3", "sns", "ssm", "stepfunctions"),
    "await_in_service": ("autoscaling", "dynamodb", "elbv2"),
    "await_standby": ("autoscaling", "dynamodb"),
    "back_up": ("dynamodb", "ec2", "stepfunctions"),
    "check_gates": ("dynamodb", "s3", "ssm", "stepfunctions"),
    "check_health": ("dynamodb", "ec2", "ssm", "stepfunctions"),
    "decide_run": ("dynamodb", "s3", "sns", "ssm", "stepfunctions"),
    "enter_standby": ("autoscaling", "dynamodb", "ec2", "elbv2", "ssm"),
    "finish_install": ("dynamodb", "ec2", "ssm", "stepfunctions"),
    "follow_image": ("dynamodb", "ec2"),
    "give_back": ("autoscaling", "dynamodb", "ec2", "elbv2", "ssm", "stepfunctions"),
    "install_patches": ("dynamodb", "ec2", "ssm", "stepfunctions"),
    "launch_surge": ("autoscaling", "dynamodb", "ec2", "elbv2"),
    "make_room": ("autoscaling", "dynamodb"),
    "plan_launched_members": ("autoscaling", "dynamodb", "ec2"),
    "plan_run": ("autoscaling", "dynamodb", "ec2", "resource-groups", "s3", "sns", "ssm", "stepfunctions"),
    "probe_instance": ("dynamodb", "ec2", "ssm", "stepfunctions"),
    "prune_images": ("autoscaling", "dynamodb", "ec2", "ssm"),
    "read_patches": ("ec2", "ssm"),
    "record_member": ("dynamodb", "ec2"),
    "record_outcome": ("dynamodb", "stepfunctions"),
    "refresh_launch_template": ("autoscaling", "dynamodb", "ec2"),
    "release_group": ("dynamodb",),
    "release_instance": ("dynamodb", "ec2"),
    "remove_surge": ("autoscaling", "dynamodb", "ec2", "elbv2"),
    "replace_root_volume": ("dynamodb", "ec2"),
    "restore_group": ("autoscaling", "dynamodb", "ec2"),
    "restore_power": ("dynamodb", "ec2", "stepfunctions"),
    "resume_waiting": ("dynamodb", "ec2", "ssm", "stepfunctions"),
    "return_member": ("autoscaling", "dynamodb", "ec2", "ssm", "stepfunctions"),
    "run_hook": ("dynamodb", "ec2", "ssm", "stepfunctions"),
    "scan_patches": ("dynamodb", "ec2", "ssm", "stepfunctions"),
    "settle_commands": ("dynamodb", "ec2", "ssm", "stepfunctions"),
    "start_instance": ("dynamodb", "ec2", "stepfunctions"),
    "stop_run": ("dynamodb", "stepfunctions"),
    "summarise_run": ("dynamodb", "s3", "sns", "ssm", "stepfunctions"),
    "take_image": ("dynamodb", "ec2"),
    "take_turn": ("autoscaling", "dynamodb", "ec2", "ssm"),
    "update_agent": ("dynamodb", "ec2", "ssm", "stepfunctions"),
    "verify_patches": ("ssm",),
    "wait_until_reachable": ("ec2", "ssm"),
}
"""By the folder of the function: the services that its policy lets it call, but for those."""


def make_clients(function: str) -> None:
    """Make the clients of a function, which is named `<stack>-<folder>`; of anything else, none."""
    for service in CLIENTS.get(function.rpartition("-")[2], ()):
        client(service)
