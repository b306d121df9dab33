"""EC2, Systems Manager, Step Functions, SNS and Lambda as the layer sees them, in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from drydock.aws.ec2 import Ec2, Image, Instance
from drydock.aws.executions import Executions
from drydock.aws.ssm import DELIVERY_SECONDS, Agent, CommandDocument, Invocation, ListedPatch, PatchState, Ssm
from drydock.documents import PinnedDocument
from drydock.errors import AwsCallFailedError, DrydockError, InstanceNotFoundError, PowerNotRestoredError


class FunctionDiedError(BaseException):
    """Raised where a function dies in the middle; nothing in the layer may catch it."""


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def move(self, **amount: float) -> None:
        self.at += timedelta(**amount)


class Faults:
    """Errors that calls raise once, before or after they took effect; and the calls that were made."""

    def __init__(self) -> None:
        self.before: dict[str, BaseException] = {}
        self.after: dict[str, BaseException] = {}
        self.made: list[str] = []

    @contextmanager
    def around(self, operation: str) -> Iterator[None]:
        self.made.append(operation)
        if operation in self.before:
            raise self.before.pop(operation)
        yield
        if operation in self.after:
            raise self.after.pop(operation)


class FakeEc2(Ec2):
    """Instances that do at once what they are told, unless a test sets their state itself."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.faults = Faults()
        self.instances: dict[str, dict[str, Any]] = {}
        self.images: dict[str, dict[str, Any]] = {}
        self.snapshots: dict[str, dict[str, str]] = {}
        """The states of the snapshots that EC2 shows, by volume, by the name of their image."""
        self.deprecated: dict[str, datetime] = {}
        self.stop_protected: set[str] = set()
        self.failing_checks: set[str] = set()

    def add(self, instance_id: str, state: str = "running", **more: Any) -> dict[str, Any]:
        self.instances[instance_id] = {
            "InstanceId": instance_id,
            "State": {"Name": state},
            "LaunchTime": self.clock(),
            "RootDeviceType": "ebs",
            "Tags": [{"Key": "Name", "Value": "web-1"}],
            **more,
        }
        return self.instances[instance_id]

    def set_state(self, instance_id: str, state: str, **more: Any) -> None:
        self.instances[instance_id].update({"State": {"Name": state}, **more})

    def state(self, instance_id: str) -> str:
        return str(self.instances[instance_id]["State"]["Name"])

    def tags(self, instance_id: str) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.instances[instance_id]["Tags"]}

    def put_tags(self, instance_id: str, **tags: str) -> None:
        """Somebody tags the instance."""
        merged = {**self.tags(instance_id), **tags}
        self.instances[instance_id]["Tags"] = [{"Key": key, "Value": value} for key, value in merged.items()]

    def describe_instance(self, instance_id: str) -> Instance:
        with self.faults.around("describe_instance"):
            if instance_id not in self.instances:
                raise InstanceNotFoundError(f"{instance_id}: EC2 knows no such instance here")
            return self.instances[instance_id]

    def is_stop_protected(self, instance_id: str) -> bool:
        return instance_id in self.stop_protected

    def look_at_status(self, instance_id: str) -> tuple[str, bool]:
        with self.faults.around("look_at_status"):
            if instance_id not in self.instances:
                raise InstanceNotFoundError(f"{instance_id}: EC2 knows no such instance here")
            return self.state(instance_id), instance_id not in self.failing_checks

    def start(self, instance_id: str) -> None:
        with self.faults.around("start"):
            if self.state(instance_id) not in ("pending", "running"):
                self.set_state(instance_id, "pending", LaunchTime=self.clock())

    def stop(self, instance_id: str) -> None:
        with self.faults.around("stop"):
            if instance_id in self.stop_protected:
                raise PowerNotRestoredError(f"{instance_id}: EC2 did not stop it: OperationNotPermitted")
            self.set_state(instance_id, "stopping")

    def create_image(
        self,
        instance_id: str,
        name: str,
        description: str,
        no_reboot: bool,
        tags: Mapping[str, str],
        since: datetime,
    ) -> str:
        with self.faults.around("create_image"):
            existing = self.find_own_image(name)
            if existing is not None:
                return str(existing["ImageId"])
            image_id = f"ami-{len(self.images) + 1:017x}"
            self.images[image_id] = {
                "ImageId": image_id,
                "Name": name,
                "State": "pending",
                "Description": description,
                "NoReboot": no_reboot,
                "Tags": dict(tags),
            }
        return image_id

    def find_own_image(self, name: str) -> Image | None:
        return next((image for image in self.images.values() if image["Name"] == name), None)

    def find_image(self, image_id: str) -> Image | None:
        return self.images.get(image_id)

    def find_images(self, image_ids: Iterable[str]) -> dict[str, Image]:
        return {image_id: self.images[image_id] for image_id in image_ids if image_id in self.images}

    def snapshots_of(self, image_name: str, since: datetime) -> dict[str, str]:
        return self.snapshots.get(image_name, {})

    def deprecate_image(self, image_id: str, at: datetime) -> None:
        with self.faults.around("deprecate_image"):
            self.deprecated[image_id] = at

    def set_tags(self, resource: str, tags: Mapping[str, str]) -> None:
        with self.faults.around("set_tags"):
            if resource in self.images:
                self.images[resource]["Tags"].update(tags)
            elif resource.startswith("ami-"):
                raise AwsCallFailedError(f"InvalidAMIID.NotFound: {resource}")
            else:
                self.put_tags(resource, **tags)

    def remove_tags(self, instance_id: str, keys: Sequence[str]) -> None:
        with self.faults.around("remove_tags"):
            tags = self.instances[instance_id]["Tags"]
            self.instances[instance_id]["Tags"] = [tag for tag in tags if tag["Key"] not in keys]


def a_document(name: str, version: str = "1", *, platforms: Sequence[str] = ()) -> CommandDocument:
    """A Command document that runs anywhere."""
    pinned: PinnedDocument = {"version": version, "hash": "ab" * 32, "hashType": "Sha256"}
    return CommandDocument(name, "Command", "Active", platforms, pinned)


@dataclass
class SentCommand:
    command_id: str
    instance_id: str
    document: str
    version: str
    hash: str
    parameters: dict[str, str]
    comment: str
    log_prefix: str
    sent_at: datetime
    expires: datetime
    is_visible: bool = True


class FakeSsm(Ssm):
    """Commands stay in progress until a test ends them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.faults = Faults()
        self.parameters: dict[str, str] = {}
        self.agents: dict[str, Agent] = {}
        self.bad_documents: dict[str, str] = {}
        self.documents: dict[str, CommandDocument | None] = {}
        self.sent: list[SentCommand] = []
        self.invocations: dict[str, Invocation] = {}
        self.cancelled: list[str] = []
        self.patch_states: dict[str, PatchState] = {}
        self.patches: dict[tuple[str, str], list[str]] = {}

    def end(self, command: SentCommand, status: str = "Success", **more: Any) -> None:
        """Let a command end."""
        running = self.invocations[command.command_id]
        details = {"status": status, "status_details": status, "response_code": 0 if status == "Success" else 1}
        self.invocations[command.command_id] = replace(running, **{**details, **more})

    def parameter(self, name: str) -> str | None:
        with self.faults.around("parameter"):
            return self.parameters.get(name)

    def find_agent(self, instance_id: str) -> Agent | None:
        return self.agents.get(instance_id)

    def check_command_document(self, name: str, platform: str, version: str = "$DEFAULT") -> str | None:
        return self.bad_documents.get(name)

    def find_document(self, name: str, version: str = "$DEFAULT") -> CommandDocument | None:
        found = self.documents.get(name, a_document(name))
        return found if found is None or version in ("$DEFAULT", found.pinned["version"]) else None

    def send_command(
        self,
        instance_id: str,
        document: str,
        pinned: PinnedDocument,
        parameters: Mapping[str, str],
        comment: str,
        log_bucket: str,
        log_prefix: str,
    ) -> tuple[str, datetime]:
        with self.faults.around("send_command"):
            number = len(self.sent) + 1
            command = SentCommand(
                f"00000000-0000-0000-0000-{number:012d}",
                instance_id,
                document,
                pinned["version"],
                pinned["hash"],
                dict(parameters),
                comment,
                log_prefix,
                self.clock(),
                self.clock() + timedelta(seconds=DELIVERY_SECONDS + 3600),
            )
            self.sent.append(command)
            self.invocations[command.command_id] = Invocation(command.command_id, "InProgress", "InProgress", -1, "")
        return command.command_id, command.expires

    def find_command(self, instance_id: str, comment: str, since: datetime) -> tuple[str, datetime] | None:
        for command in self.sent:
            if command.is_visible and command.instance_id == instance_id and command.comment == comment:
                return command.command_id, command.expires
        return None

    def find_invocation(self, instance_id: str, command_id: str, platform: str) -> Invocation | None:
        with self.faults.around("find_invocation"):
            return self.invocations.get(command_id)

    def cancel_command(self, instance_id: str, command_id: str) -> None:
        with self.faults.around("cancel_command"):
            self.cancelled.append(command_id)

    def find_patch_state(self, instance_id: str) -> PatchState | None:
        return self.patch_states.get(instance_id)

    def list_patches(self, instance_id: str, state: str) -> list[ListedPatch]:
        return [ListedPatch(name, "Important") for name in self.patches.get((instance_id, state), [])]

    def list_installed(self, instance_id: str, names: Sequence[str]) -> list[str]:
        with self.faults.around("list_installed"):
            return sorted({*names} & {*self.patches.get((instance_id, "Installed"), [])})


class FakeExecutions(Executions):
    """Executions run until a test says otherwise; answers to tokens are kept."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.statuses: dict[str, str] = {}
        self.unknown: set[str] = set()
        self.failures: dict[str, Mapping[str, str]] = {}
        self.answers: list[tuple[str, Mapping[str, Any]]] = []
        self.refusals: list[tuple[str, DrydockError]] = []

    def find(self, execution: str) -> Mapping[str, Any] | None:
        if execution in self.unknown:
            return None
        return {"status": self.statuses.get(execution, "RUNNING"), **self.failures.get(execution, {})}

    def running_beside(self, execution: str) -> set[str]:
        known = {*self.statuses, execution} - self.unknown
        return {execution for execution in known if self.statuses.get(execution, "RUNNING") == "RUNNING"}

    def answer(self, token: str, output: Mapping[str, Any]) -> bool:
        with self.faults.around("answer"):
            self.answers.append((token, json.loads(json.dumps(output))))
        return True

    def refuse(self, token: str, error: DrydockError) -> None:
        with self.faults.around("refuse"):
            self.refusals.append((token, error))


@dataclass
class FakeClients:
    """The clients of Lambda and SNS: what was invoked and published is kept."""

    faults: Faults = field(default_factory=Faults)
    invoked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    published: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, service: str) -> Any:
        return {"lambda": SimpleNamespace(invoke=self._invoke), "sns": SimpleNamespace(publish=self._publish)}[service]

    def _invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, Any]:
        with self.faults.around("invoke"):
            assert InvocationType == "Event"
            self.invoked.append((FunctionName, json.loads(Payload)))
        return {"StatusCode": 202}

    def _publish(self, **message: Any) -> dict[str, Any]:
        with self.faults.around("publish"):
            self.published.append(message)
        return {"MessageId": str(len(self.published))}


def agent(last_ping: datetime, *, online: bool = True) -> Agent:
    return Agent(online, last_ping)


def patch_state(
    *, operation: str = "Scan", ended: str = "2026-01-13T03:00:00+00:00", snapshot_id: str = "", **counts: int
) -> PatchState:
    """A patch state with nothing missing, unless the test says otherwise."""
    zero: dict[str, int] = {"installed": 10, "installed_other": 1, "pending_reboot": 0, "missing": 0, "failed": 0}
    return PatchState(operation, ended, snapshot_id, "pb-0123456789abcdef0", "web", **{**zero, **counts})


Now = Callable[[], datetime]
START = datetime(2026, 1, 13, 1, 0, tzinfo=UTC)
