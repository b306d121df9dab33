"""The questions that can be asked without touching a machine.

What is made for a question has the stack's name and `-smoke`, and is removed after it, also when it could not be
asked. An answer is what a real account did; None where it told nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.smoke.account import Account, Instance, wait_for

SMALL_IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-minimal-kernel-default-arm64"
SETTLING_SECONDS = 30
"""Until a new role or rule holds everywhere."""
EVENT_SECONDS = 90
END_SECONDS = 300


@dataclass(frozen=True)
class Answer:
    """What the account answered, and what shows that."""

    answer: str | None
    because: str


Answers = dict[str, Answer]


@dataclass(frozen=True)
class Asked:
    """Questions that are asked together: which, what that does, how, and how its leftovers are removed."""

    questions: Sequence[str]
    does: str
    ask: Callable[[Account, Instance], Answers]
    remove: Callable[[Account], None]


def ask_all(account: Account, instance: Instance) -> dict[str, dict[str, Any]]:
    """Ask every question, and return the answers as smoke.json has them."""
    found: Answers = {}
    for asked in ASKED:
        try:
            asked.remove(account)
            found.update(asked.ask(account, instance))
        except (BotoCoreError, ClientError, LookupError, NotImplementedError) as error:
            found.update({name: Answer(None, f"it could not be asked: {error}") for name in asked.questions})
        finally:
            remove_leftovers(account, [asked])
    return {name: asdict(answer) for name, answer in found.items()}


def remove_leftovers(account: Account, of: Iterable[Asked] | None = None) -> list[str]:
    """Remove what the questions made, and return what could not be."""
    left = []
    for asked in ASKED if of is None else of:
        try:
            asked.remove(account)
        except (BotoCoreError, ClientError, NotImplementedError) as error:
            left.append(f"{', '.join(asked.questions)}: {error}")
    return left


@contextmanager
def _unless(*codes: str) -> Iterator[None]:
    """Take it for done where AWS answers one of these codes: there is nothing of that name."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in codes:
            raise


def _trust(principal: Mapping[str, str]) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _make_role(account: Account, name: str, principal: Mapping[str, str], actions: Sequence[str]) -> str:
    iam = account.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_trust(principal))["Role"]
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=name, PolicyName="smoke", PolicyDocument=document)
    time.sleep(SETTLING_SECONDS)
    return str(role["Arn"])


def _remove_role(account: Account, name: str) -> None:
    iam = account.client("iam")
    with _unless("NoSuchEntity", "NoSuchEntityException"):
        iam.delete_role_policy(RoleName=name, PolicyName="smoke")
    with _unless("NoSuchEntity", "NoSuchEntityException"):
        iam.delete_role(RoleName=name)


def _retries(account: Account) -> str:
    return f"{account.leftover}-retries"


def _items(account: Account) -> str:
    return f"{account.leftover}-items"


def _make_machine(account: Account, name: str, actions: Sequence[str], definition: Mapping[str, Any]) -> str:
    """Make a state machine and its role. A name is used once: what is deleted is so a while later only."""
    role = _make_role(account, name, {"Service": "states.amazonaws.com"}, actions)
    states = account.client("stepfunctions")
    made = states.create_state_machine(name=name, definition=json.dumps(definition), roleArn=role)
    return str(made["stateMachineArn"])


def _remove_machine(account: Account, name: str) -> None:
    arn = f"arn:{account.partition}:states:{account.own_region}:{account.number}:stateMachine:{name}"
    with _unless("StateMachineDoesNotExist"):
        account.client("stepfunctions").delete_state_machine(stateMachineArn=arn)
    _remove_role(account, name)


def _run(account: Account, machine: str) -> str:
    """Run a machine to its end, and return the execution's ARN."""
    states = account.client("stepfunctions")
    execution: str = states.start_execution(stateMachineArn=machine)["executionArn"]
    wait_for(lambda: states.describe_execution(executionArn=execution)["status"] != "RUNNING", END_SECONDS)
    return execution


def _ask_entered_time(account: Account, _: Instance) -> Answers:
    task = {
        "Type": "Task",
        "Resource": f"arn:{account.partition}:states:::lambda:invoke",
        # There is no such function: the task fails, and is tried again.
        "Arguments": {"FunctionName": account.leftover, "Payload": "{% $states.context.State.EnteredTime %}"},
        "TimeoutSeconds": 60,
        "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 5, "BackoffRate": 1, "MaxAttempts": 2}],
        "End": True,
    }
    definition = {"QueryLanguage": "JSONata", "StartAt": "Ask", "TimeoutSeconds": END_SECONDS, "States": {"Ask": task}}
    execution = _run(account, _make_machine(account, _retries(account), ["lambda:InvokeFunction"], definition))
    events = account.client("stepfunctions").get_execution_history(executionArn=execution)["events"]
    told = [json.loads(event["taskScheduledEventDetails"]["parameters"]) for event in events if _is_scheduled(event)]
    return {"entered-time": judge_entered_times([str(one["Payload"]) for one in told])}


def _is_scheduled(event: Mapping[str, Any]) -> bool:
    return bool(event["type"] == "TaskScheduled")


def _remove_retries(account: Account) -> None:
    _remove_machine(account, _retries(account))


def judge_entered_times(times: Sequence[str]) -> Answer:
    """Say whether the attempts of a state were told the same time of entry."""
    if len(times) < 2:
        return Answer(None, f"{len(times)} attempts of the task were seen")
    stays = len(set(times)) == 1
    return Answer("yes" if stays else "no", f"its {len(times)} attempts were told {', '.join(sorted(set(times)))}")


def _ask_map_child_events(account: Account, _: Instance) -> Answers:
    actions = ["states:StartExecution", "states:DescribeExecution", "states:StopExecution"]
    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    item = {"ProcessorConfig": config, "StartAt": "Item", "States": {"Item": {"Type": "Pass", "End": True}}}
    each = {"Type": "Map", "Label": "Items", "Items": [1], "ItemProcessor": item, "End": True}
    definition = {"QueryLanguage": "JSONata", "StartAt": "Map", "TimeoutSeconds": END_SECONDS, "States": {"Map": each}}
    machine = _make_machine(account, _items(account), actions, definition)
    queue = _listen(account, machine)
    execution = account.client("stepfunctions").describe_execution(executionArn=_run(account, machine))
    if execution["status"] != "SUCCEEDED":
        said = f"{execution.get('error')}: {execution.get('cause')}"
        return {"map-child-events": Answer(None, f"the execution {execution['status']}: {said}")}
    seen: dict[str, str] = {}

    def has_child() -> bool:
        answer = account.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        events = [json.loads(one["Body"]) for one in answer.get("Messages", [])]
        seen.update({event["id"]: event["detail"]["stateMachineArn"] for event in events})
        return any(arn != machine for arn in seen.values())

    wait_for(has_child, EVENT_SECONDS)
    return {"map-child-events": judge_machines_of_events(machine, list(seen.values()))}


def judge_machines_of_events(machine: str, seen: Sequence[str]) -> Answer:
    """Say whether items' executions sent events, by the machines that events were about."""
    if not seen:
        return Answer(None, "no event came, not even of the execution itself")
    children = sorted(set(seen) - {machine})
    if children:
        return Answer("yes", f"an event was about {children[0]}")
    return Answer("no", f"{len(seen)} events came, all about the execution itself")


def _listen(account: Account, machine: str) -> str:
    sqs, events = account.client("sqs"), account.client("events")
    queue: str = sqs.create_queue(QueueName=account.leftover)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    principal = {"Service": "events.amazonaws.com"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    pattern = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": [{"prefix": machine}]},
    }
    events.put_rule(Name=account.leftover, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=account.leftover, Targets=[{"Id": "smoke", "Arn": arn}])
    time.sleep(SETTLING_SECONDS)
    return queue


def _remove_listener(account: Account) -> None:
    events, sqs = account.client("events"), account.client("sqs")
    with _unless("ResourceNotFoundException"):
        events.remove_targets(Rule=account.leftover, Ids=["smoke"])
    with _unless("ResourceNotFoundException"):
        events.delete_rule(Name=account.leftover)
    with _unless("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"):
        sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=account.leftover)["QueueUrl"])
    _remove_machine(account, _items(account))


def _ask_about_an_image(account: Account, _: Instance) -> Answers:
    ec2 = account.client("ec2")
    source = account.client("ssm").get_parameter(Name=SMALL_IMAGE)["Parameter"]["Value"]
    image = ec2.copy_image(Name=account.leftover, SourceImageId=source, SourceRegion=account.own_region)["ImageId"]
    began = time.time()
    found = wait_for(lambda: _images(account), 120, every=1)
    seconds = round(time.time() - began)
    visible = Answer(f"{seconds} seconds", "from CopyImage to DescribeImages by name") if found else None
    return {
        "image-visible": visible or Answer(None, "the image was not seen within two minutes"),
        "deprecate-at-once": _deprecate(ec2, image, found[0]["State"] if found else ""),
    }


def _deprecate(ec2: Any, image: str, state: str) -> Answer:
    if state != "pending":
        return Answer(None, f"the image was {state or 'not seen'}, not pending")
    # A whole minute, as EC2 has it.
    at = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(time.time() + 86_400))
    try:
        ec2.enable_image_deprecation(ImageId=image, DeprecateAt=at)
    except ClientError as error:
        return Answer("no", f"EnableImageDeprecation of a pending image: {error.response['Error']['Code']}")
    return Answer("yes", "EnableImageDeprecation of a pending image was taken")


def _images(account: Account) -> list[dict[str, Any]]:
    names = [{"Name": "name", "Values": [account.leftover]}]
    found: list[dict[str, Any]] = account.client("ec2").describe_images(Owners=["self"], Filters=names)["Images"]
    return found


def _remove_images(account: Account) -> None:
    for image in _images(account):
        account.client("ec2").deregister_image(ImageId=image["ImageId"], DeleteAssociatedSnapshots=True)


def _ask_about_snapshots(account: Account, instance: Instance) -> Answers:
    ec2 = account.client("ec2")
    tags = [{"Key": "Name", "Value": account.leftover}]
    volume = ec2.create_volume(
        AvailabilityZone=instance.zone,
        Size=1,
        VolumeType="gp3",
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
    )["VolumeId"]
    wait_for(lambda: ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available", 120)
    specification = [{"ResourceType": "snapshot", "Tags": tags}]
    made = ec2.create_snapshot(VolumeId=volume, TagSpecifications=specification)
    listed = [one["State"] for one in _snapshots(account) if one["SnapshotId"] == made["SnapshotId"]]
    return {"pending-snapshots": judge_snapshot(made["State"], listed)}


def judge_snapshot(began: str, listed: Sequence[str]) -> Answer:
    """Say whether a snapshot that is pending is listed, by its state when it began and as listed at once."""
    if "pending" in listed:
        return Answer("yes", "DescribeSnapshots has it as pending")
    if began == "pending" and not listed:
        return Answer("no", "DescribeSnapshots did not have a snapshot that had begun")
    return Answer(None, "the snapshot was completed at once")


def _snapshots(account: Account) -> list[dict[str, Any]]:
    named = [{"Name": "tag:Name", "Values": [account.leftover]}]
    found: list[dict[str, Any]] = account.client("ec2").describe_snapshots(OwnerIds=["self"], Filters=named)[
        "Snapshots"
    ]
    return found


def _remove_volumes(account: Account) -> None:
    ec2 = account.client("ec2")
    for snapshot in _snapshots(account):
        ec2.delete_snapshot(SnapshotId=snapshot["SnapshotId"])
    for volume in ec2.describe_volumes(Filters=[{"Name": "tag:Name", "Values": [account.leftover]}])["Volumes"]:
        with _unless("InvalidVolume.NotFound"):
            ec2.delete_volume(VolumeId=volume["VolumeId"])


def _ask_sizes_only(account: Account, instance: Instance) -> Answers:
    principal = {"AWS": f"arn:{account.partition}:iam::{account.number}:root"}
    role = _make_role(account, account.leftover, principal, [_UPDATE])
    account.client("ec2").create_launch_template(
        LaunchTemplateName=account.leftover,
        LaunchTemplateData={"ImageId": instance.image_id, "InstanceType": instance.instance_type},
    )
    account.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=account.leftover,
        LaunchTemplate={"LaunchTemplateName": account.leftover, "Version": "$Latest"},
        MinSize=0,
        MaxSize=0,
        DesiredCapacity=0,
        VPCZoneIdentifier=instance.subnet_id,
    )
    session = account.client("sts").assume_role(RoleArn=role, RoleSessionName="smoke")
    updating = account.client("autoscaling", session["Credentials"])

    def change() -> Answer | None:
        try:
            updating.update_auto_scaling_group(AutoScalingGroupName=account.leftover, MaxSize=1)
        except ClientError as error:
            return judge_refused_sizes(error.response["Error"]["Code"], error.response["Error"]["Message"])
        return Answer("yes", "a role with autoscaling:UpdateAutoScalingGroup alone has changed max")

    found: Answer | None = wait_for(change, 120)
    return {"sizes-only": found or Answer(None, f"the role never got {_UPDATE}")}


_UPDATE = "autoscaling:UpdateAutoScalingGroup"


def judge_refused_sizes(code: str, message: str) -> Answer | None:
    """Say what a refused change of sizes tells; None where only the new role does not hold yet."""
    if code.startswith("AccessDenied") and _UPDATE in message:
        return None
    if "RunInstances" in message or "PassRole" in message or "launch template" in message.lower():
        return Answer("no", f"{code}: {message}")
    return Answer(None, f"{code}: {message}")


def _remove_group(account: Account) -> None:
    with _unless("ValidationError"):
        account.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=account.leftover, ForceDelete=True)
    with _unless("InvalidLaunchTemplateName.NotFoundException"):
        account.client("ec2").delete_launch_template(LaunchTemplateName=account.leftover)
    _remove_role(account, account.leftover)


ASKED = (
    Asked(("entered-time",), "a state machine and a role, run once", _ask_entered_time, _remove_retries),
    Asked(
        ("map-child-events",),
        "a state machine, a role, a rule and a queue, run once",
        _ask_map_child_events,
        _remove_listener,
    ),
    Asked(
        ("image-visible", "deprecate-at-once"),
        "a copy of Amazon's smallest image of Amazon Linux 2023, deregistered at once",
        _ask_about_an_image,
        _remove_images,
    ),
    Asked(("pending-snapshots",), "an empty volume of 1 GiB and its snapshot", _ask_about_snapshots, _remove_volumes),
    Asked(
        ("sizes-only",),
        "a launch template, an Auto Scaling group of no instances, and a role",
        _ask_sizes_only,
        _remove_group,
    ),
)
"""Every question that is asked, in this order. windows-probe is answered by the Scan."""
