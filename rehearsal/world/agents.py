"""Run Command on simulated machines: delivery to agents, execution, statuses and AWS's events about them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.s3.models import s3_backends

from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.engine.host import Host
from rehearsal.world.machines import Machine
from rehearsal.world.ssm_documents import (
    AWS_DOCUMENTS,
    Behaviour,
    CommandDocument,
    Forever,
    Outcome,
    Reboot,
    Work,
    check_parameters,
)

EXECUTION_TIMEOUT = 3600
"""Seconds that a document may run beyond the delivery time-out, by default."""

_DELIVERY_SECONDS = 1.0
_CANCELLATION_SECONDS = 2.0
_DELAYED_AFTER = 60.0
_OUTPUT_LENGTH = 2500
_TERMINAL = ("Success", "Failed", "TimedOut", "Cancelled")
_KEEP_RUNNING = ("AWS-RunPatchBaseline", "AWS-InstallWindowsUpdates")


@dataclass(eq=False)
class Command:
    """A command as SendCommand made it."""

    command_id: str
    document: CommandDocument
    request: Mapping[str, Any]
    parameters: Mapping[str, str]
    requested: datetime
    expires: datetime
    invocations: list[Invocation] = field(default_factory=list)
    told: str = ""

    @property
    def timeout_seconds(self) -> int:
        """Return the seconds within which the command must start."""
        return int(self.request.get("TimeoutSeconds") or 3600)

    @property
    def status(self) -> tuple[str, str]:
        """Return the command's status and its details, summed up over its invocations."""
        statuses = [invocation.status for invocation in self.invocations]
        if not all(status in _TERMINAL for status in statuses):
            for status in ("Cancelling", "InProgress"):
                if status in statuses:
                    return status, status
            return ("InProgress", "InProgress") if set(statuses) & set(_TERMINAL) else ("Pending", "Pending")
        for status in ("Failed", "TimedOut", "Cancelled"):
            for invocation in self.invocations:
                if invocation.status == status:
                    details = invocation.details
                    return status, "Failed" if details == "ExecutionTimedOut" else details
        return "Success", "Success"


@dataclass(eq=False)
class Invocation:
    """A command on one machine. It is the job that the machine runs."""

    command: Command
    machine: Machine
    events: Callable[[Invocation], None]
    status: str = "Pending"
    details: str = "Pending"
    code: int = -1
    output: str = ""
    error: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    _behaviour: Behaviour | None = None
    _timers: list[Any] = field(default_factory=list)

    @property
    def command_id(self) -> str:
        """Return the id of the command."""
        return self.command.command_id

    @property
    def document(self) -> str:
        """Return the name of the command's document."""
        return self.command.document.name

    @property
    def installs(self) -> bool:
        """Say whether the command installs updates."""
        operation = self.command.parameters.get("Operation") or self.command.parameters.get("Action")
        return self.document in _KEEP_RUNNING and operation == "Install"

    @property
    def step(self) -> str:
        """Return the name of the document's step for the machine's platform."""
        steps = self.command.document.steps
        return next(name for name, platforms in steps if self.machine.spec.platform in platforms)

    @property
    def whole_output(self) -> str:
        """Return what the API shows: the output, and after a line of dashes the error output."""
        return self.output + (f"\n----------ERROR-------\n{self.error}" if self.error else "")

    @property
    def over(self) -> bool:
        """Say whether the invocation has its last status."""
        return self.status in _TERMINAL

    def post(self) -> None:
        """Wait for the agent, until the delivery time-out, and for the end, until the command expires."""
        clock = self.machine.account.clock
        self.machine.agent.when_connected.append(self._fetch)
        if self.machine.agent.online:
            self._timers.append(clock.call_later(_DELIVERY_SECONDS, self._fetch))
        seconds = self.command.timeout_seconds
        self._timers.append(clock.call_later(seconds, self._give_up_delivery))
        self._timers.append(clock.call_at(self.command.expires, self._expire))

    def cancel(self) -> None:
        """Cancel what has not begun; ask what runs to stop, which an installation does not."""
        if self.status == "Pending":
            self._end("Cancelled", "Cancelled")
        elif self.status == "InProgress":
            self.status = self.details = "Cancelling"
            if self.document not in _KEEP_RUNNING:
                self._stop_work()
                self.machine.account.clock.call_later(_CANCELLATION_SECONDS, self._confirm_cancellation)

    def interrupt(self) -> None:
        """Lose the power under the work; the agent reports the failure when it is back."""
        self._stop_work()

        def report() -> None:
            self.machine.agent.when_connected.remove(report)
            if not self.over:
                self._end("Failed", "Failed", Outcome("The command was interrupted by a restart.\n", 1))

        self.machine.agent.when_connected.append(report)

    def _fetch(self) -> None:
        if self.status != "Pending" or not self.machine.agent.online or self._held_back():
            return
        self._leave_queue()
        self.status = self.details = "InProgress"
        self.started = self.machine.account.clock.now()
        self.machine.commands.append(self.command_id)
        self.machine.jobs.append(self)
        self._behaviour = self.command.document.run(
            self.machine, self.command.parameters, str(self.command.request.get("Comment", ""))
        )
        self.events(self)
        if self.machine.agent.updates_itself:
            # https://github.com/aws/amazon-ssm-agent/issues/430
            self._behaviour = None
        self._advance()

    def _held_back(self) -> bool:
        for wrong in self.machine.spec.wrong:
            what, _, prefix = wrong.partition(":")
            if what == "delivery_timeout" and self.document.startswith(prefix):
                return True
        return False

    def _advance(self) -> None:
        if self._behaviour is None:
            return
        clock = self.machine.account.clock
        try:
            step = next(self._behaviour)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            self._stop_work()
            if not self.over:
                status = "Failed" if outcome.code else "Success"
                self._end(status, status, outcome)
            return
        if isinstance(step, Work):
            clock.call_later(step.seconds, self._advance)
        elif isinstance(step, Reboot):
            self.machine.reboot_from_inside(self, self._advance)
        else:
            assert isinstance(step, Forever)

    def _confirm_cancellation(self) -> None:
        if not self.over:
            self._end("Cancelled", "Cancelled")

    def _give_up_delivery(self) -> None:
        if self.status == "Pending":
            self._end("TimedOut", "DeliveryTimedOut")

    def _expire(self) -> None:
        if not self.over:
            self._stop_work()
            self._end("TimedOut", "DeliveryTimedOut")

    def _stop_work(self) -> None:
        if self._behaviour is not None:
            self._behaviour.close()
            self._behaviour = None
        if self in self.machine.jobs:
            self.machine.jobs.remove(self)

    def _leave_queue(self) -> None:
        if self._fetch in self.machine.agent.when_connected:
            self.machine.agent.when_connected.remove(self._fetch)

    def _end(self, status: str, details: str, outcome: Outcome | None = None) -> None:
        self._leave_queue()
        for timer in self._timers:
            timer.cancel()
        self.status, self.details = status, details
        self.finished = self.machine.account.clock.now()
        if outcome is not None:
            self.code, self.output, self.error = outcome.code, outcome.output, outcome.error
            if outcome.code:
                self.error += f"failed to run commands: exit status {_print_code(outcome.code)}"
            self._upload()
        self.events(self)

    def _upload(self) -> None:
        """Put the output into the bucket of the request. Where the role may not, the status is none the worse.

        The agent only logs `Failed uploading … err:AccessDenied` (amazon-ssm-agent, issues 106 and 164).
        """
        bucket = self.command.request.get("OutputS3BucketName")
        if not bucket or not self.machine.spec.may_write_logs:
            return
        plugin = "awsrunPowerShellScript" if self.machine.spec.platform == "Windows" else "awsrunShellScript"
        prefix = self.command.request.get("OutputS3KeyPrefix", "")
        folder = "/".join([*filter(None, [prefix]), self.command_id, self.machine.instance_id, plugin, self.step])
        for name, text in (("stdout", self.output), ("stderr", self.error)):
            if text:
                s3_backends[ACCOUNT]["aws"].put_object(bucket, f"{folder}/{name}", text.encode())


class RunCommand:
    """The commands of an account, oldest first."""

    def __init__(self, account: Host) -> None:
        self._account = account
        self._by_id: dict[str, Command] = {}
        self._by_instance: dict[str, list[Command]] = {}
        self.visible_after = 1.0

    def send(
        self,
        document: CommandDocument,
        parameters: Mapping[str, str],
        machines: Sequence[Machine],
        request: Mapping[str, Any],
    ) -> Command:
        """Send a command to machines."""
        command = self._make(document, parameters, request)
        self._by_id[command.command_id] = command
        for machine in machines:
            invocation = Invocation(command, machine, self._tell)
            command.invocations.append(invocation)
            self._by_instance.setdefault(machine.instance_id, []).append(command)
            invocation.post()
        return command

    def associate(self, machine: Machine, operation: str) -> None:
        """Let a State Manager association run AWS-RunPatchBaseline on a machine.

        The agent works on associations beside commands, and neither ListCommands nor the events of commands show them:
        two at once are what "Cannot acquire lock" in "Troubleshooting Patch Manager" is about.
        """
        document = AWS_DOCUMENTS["AWS-RunPatchBaseline"]
        parameters = check_parameters(document, {"Operation": [operation]})
        command = self._make(document, parameters, {})
        invocation = Invocation(command, machine, lambda invocation: None)
        command.invocations.append(invocation)
        invocation.post()

    def _make(self, document: CommandDocument, parameters: Mapping[str, str], request: Mapping[str, Any]) -> Command:
        now = self._account.clock.now()
        timeout = int(request.get("TimeoutSeconds") or 3600)
        execution = int(parameters.get("executionTimeout") or EXECUTION_TIMEOUT)
        return Command(
            command_id=self._account.make_uuid(),
            document=document,
            request=copy.deepcopy(dict(request)),
            parameters=parameters,
            requested=now,
            expires=datetime.fromtimestamp(now.timestamp() + timeout + execution, UTC),
        )

    def list_visible(self, command_id: str | None, instance_id: str | None) -> list[Command]:
        """Return the commands that listings show by now, newest first: one, those of an instance, or all."""
        limit = self._account.clock.time() - self.visible_after
        if command_id is not None:
            commands = [self._by_id[command_id]] if command_id in self._by_id else []
            if instance_id is not None:
                commands = [each for each in commands if each in self._by_instance.get(instance_id, [])]
        elif instance_id is not None:
            commands = self._by_instance.get(instance_id, [])
        else:
            commands = list(self._by_id.values())
        return [command for command in reversed(commands) if command.requested.timestamp() <= limit]

    def get(self, command_id: str) -> Command | None:
        """Return a command, if there is one."""
        return self._by_id.get(command_id)

    def describe(self, command: Command) -> dict[str, Any]:
        """Return a command in the API's shape."""
        status, details = command.status
        ends = [invocation.status for invocation in command.invocations]
        request = command.request
        return {
            "CommandId": command.command_id,
            "DocumentName": command.document.name,
            "DocumentVersion": request.get("DocumentVersion", "$DEFAULT"),
            "Comment": request.get("Comment", ""),
            "ExpiresAfter": command.expires,
            "Parameters": copy.deepcopy(request.get("Parameters", {})),
            "InstanceIds": [invocation.machine.instance_id for invocation in command.invocations],
            "Targets": [],
            "RequestedDateTime": command.requested,
            "Status": status,
            "StatusDetails": details,
            "OutputS3BucketName": request.get("OutputS3BucketName", ""),
            "OutputS3KeyPrefix": request.get("OutputS3KeyPrefix", ""),
            "MaxConcurrency": request.get("MaxConcurrency", "50"),
            "MaxErrors": request.get("MaxErrors", "0"),
            "TargetCount": len(ends),
            "CompletedCount": sum(end in _TERMINAL for end in ends),
            "ErrorCount": ends.count("Failed"),
            "DeliveryTimedOutCount": ends.count("TimedOut"),
            "TimeoutSeconds": command.timeout_seconds,
        }

    def describe_invocation(self, invocation: Invocation, details: bool) -> dict[str, Any]:
        """Return an invocation in the API's shape, with its steps if `details`."""
        command = invocation.command
        waited = self._account.clock.time() - command.requested.timestamp()
        delayed = invocation.status == "Pending" and waited > _DELAYED_AFTER
        return {
            "CommandId": command.command_id,
            "InstanceId": invocation.machine.instance_id,
            "InstanceName": "",
            "Comment": command.request.get("Comment", ""),
            "DocumentName": command.document.name,
            "DocumentVersion": command.request.get("DocumentVersion", "$DEFAULT"),
            "RequestedDateTime": command.requested,
            "Status": "Delayed" if delayed else invocation.status,
            "StatusDetails": "Delayed" if delayed else invocation.details,
            "StandardOutputUrl": "",
            "StandardErrorUrl": "",
            "CommandPlugins": _describe_steps(invocation) if details else [],
        }

    def _tell(self, invocation: Invocation) -> None:
        """Put AWS's events about an invocation, and about its command if that changed too."""
        command = invocation.command
        bus = self._account.bus
        bus.put(
            "aws.ssm",
            "EC2 Command Invocation Status-change Notification",
            {
                "command-id": command.command_id,
                "document-name": command.document.name,
                "instance-id": invocation.machine.instance_id,
                "requested-date-time": _write_time(command.requested),
                "status": invocation.status,
            },
            [_instance_arn(invocation.machine)],
        )
        status, _ = command.status
        if status != command.told:
            command.told = status
            bus.put(
                "aws.ssm",
                "EC2 Command Status-change Notification",
                {
                    "command-id": command.command_id,
                    "document-name": command.document.name,
                    "expire-after": _write_time(command.expires),
                    "parameters": dict(command.request.get("Parameters", {})),
                    "requested-date-time": _write_time(command.requested),
                    "status": status,
                },
                [_instance_arn(other.machine) for other in command.invocations],
            )


def _describe_steps(invocation: Invocation) -> list[dict[str, Any]]:
    if invocation.status == "Pending":
        return []
    steps = []
    request = invocation.command.request
    for name, platforms in invocation.command.document.steps:
        skipped = invocation.machine.spec.platform not in platforms
        status = invocation.status
        if skipped and invocation.over:
            status = "Success"
        step: dict[str, Any] = {
            "Name": name,
            "Status": "InProgress" if status == "Cancelling" else status,
            "StatusDetails": "InProgress" if status == "Cancelling" else status,
            "ResponseCode": 0 if skipped and invocation.over else invocation.code,
            "Output": "" if skipped else invocation.whole_output[:_OUTPUT_LENGTH],
            "StandardOutputUrl": "",
            "StandardErrorUrl": "",
            "OutputS3BucketName": request.get("OutputS3BucketName", ""),
            "OutputS3KeyPrefix": request.get("OutputS3KeyPrefix", ""),
        }
        if not skipped and invocation.details != invocation.status:
            step["StatusDetails"] = invocation.details
        if invocation.started:
            step["ResponseStartDateTime"] = invocation.started
        if invocation.finished:
            step["ResponseFinishDateTime"] = invocation.finished
        steps.append(step)
    return steps


def _print_code(code: int) -> str:
    """Return an exit code as the agent prints it: those of Windows are not signed."""
    return str(code) if code >= 0 else f"{code & 0xFFFFFFFF:#010x}"


def _instance_arn(machine: Machine) -> str:
    return f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{machine.instance_id}"


def _write_time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
