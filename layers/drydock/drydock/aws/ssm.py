"""The calls to Systems Manager."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from drydock.aws.calls import call, client, error_code, error_text, find_first, in_chunks, look_at_once, pages
from drydock.catalogue.saying import say
from drydock.documents import PinnedDocument
from drydock.errors import CalendarClosedError, CommandNotDeliveredError, DocumentError
from drydock.texts import cut_bytes

DELIVERY_SECONDS = 600
"""A command that has not begun by then never will (TimeoutSeconds of SendCommand)."""

_PAGE = 50
"""Nodes of one page of DescribeInstanceInformation at most, whose filters take a hundred ids; and so many ids
DescribeInstancePatchStates takes."""

_MOST_TITLE = 300
_PAGE_OF_PATCHES = 100
_MOST_PATCHES = 500

SEVERITIES = ("Critical", "Important", "Moderate", "Low", "Unspecified")
"""How severe a patch is, the worst first, in the words of Windows and Red Hat."""

_SEVERITIES_OF_OTHERS = {
    "medium": "Moderate",
    "required": "Critical",
    "standard": "Moderate",
    "optional": "Low",
    "extra": "Low",
}
"""Of Amazon Linux, and the priorities that Ubuntu and Debian have in a severity's place.

Source: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PatchFilter.html
"""
"""Bytes of a patch's title that are kept."""

_OVER = frozenset({"success", "cancelled", "failed", "timedout"})
_UNDELIVERED = frozenset({"pending", "delayed"})


@dataclass(frozen=True)
class Agent:
    """What Systems Manager knows of the agent of an instance."""

    online: bool
    last_ping: datetime
    system: str = ""
    """The operating system and its version, as the agent reports them: `Amazon Linux`, `2023`."""
    system_version: str = ""


@dataclass(frozen=True)
class CommandDocument:
    """What DescribeDocument says of one version of a document."""

    name: str
    kind: str
    status: str
    platforms: Sequence[str]
    pinned: PinnedDocument

    def why_not_on(self, platform: str) -> str:
        """The reason why it cannot run on this platform; empty when it can."""
        if self.kind != "Command":
            return say("document.type", name=self.name, type=self.kind)
        if self.status != "Active":
            return say("document.status", name=self.name, status=self.status)
        if self.platforms and platform not in self.platforms:
            return say("document.platform", name=self.name, platforms=self.platforms, platform=platform)
        return ""


@dataclass(frozen=True)
class ParameterVersion:
    """One value that somebody gave a parameter. Systems Manager itself says who that was."""

    value: str
    by: str
    at: datetime


@dataclass(frozen=True)
class Invocation:
    """A command on one instance. `output` and `ended` are those of the plugin which ran on its platform."""

    command_id: str
    status: str
    status_details: str
    response_code: int
    output: str
    ended: datetime | None = None
    """None where Systems Manager does not say when the plugin stopped."""

    @property
    def is_over(self) -> bool:
        """Whether its status is a last one. What it has started may go on all the same: see `was_cut_short`."""
        return _normal(self.status) in _OVER

    @property
    def is_undelivered(self) -> bool:
        """Whether the agent has not begun it yet, by its status: Pending or Delayed."""
        return _normal(self.status) in _UNDELIVERED

    @property
    def succeeded(self) -> bool:
        """Whether its status is Success."""
        return _normal(self.status) == "success"

    @property
    def was_cancelled(self) -> bool:
        """Whether its status is Cancelled, the last one of a command that somebody called off."""
        return _normal(self.status) == "cancelled"

    @property
    def was_cut_short(self) -> bool:
        """Somebody cancelled it, or its agent ended it after its time-out: what it has started may go on.

        "There is no guarantee that the command will be terminated and the underlying process stopped"
        (CancelCommand in the API reference, 2026-11-30).
        """
        return self.was_cancelled or _normal(self.status_details) == "executiontimedout"

    @property
    def gave_up(self) -> bool:
        """SSM itself ended it: before its expiry it was never delivered, at its expiry nobody knows."""
        return _normal(self.status_details) == "deliverytimedout"

    @property
    def never_ran(self) -> bool:
        """It never reached the agent. AWS writes the details with and without spaces."""
        return self.gave_up or _normal(self.status_details) in {
            "undeliverable",
            "terminated",
            "invalidplatform",
            "accessdenied",
        }


def _read_agent(found: Mapping[str, Any]) -> Agent:
    return Agent(
        online=found["PingStatus"] == "Online",
        last_ping=found["LastPingDateTime"],
        system=str(found.get("PlatformName", "")),
        system_version=str(found.get("PlatformVersion", "")),
    )


def _normal(status: str) -> str:
    return status.replace(" ", "").lower()


def _platform_plugin(plugins: list[Mapping[str, Any]], platform: str) -> Mapping[str, Any]:
    """The steps for other platforms are skipped and report Success: only this platform's step counts."""
    named = [plugin for plugin in plugins if platform.lower() in str(plugin.get("Name", "")).lower()]
    return (named or plugins or [{}])[0]


@dataclass(frozen=True)
class ListedPatch:
    """A patch by its KB id or title, with one of `SEVERITIES`."""

    name: str
    severity: str


@dataclass(frozen=True)
class PatchState:
    """The counts of DescribeInstancePatchStates. The operation's times are by the instance's own clock."""

    operation: str
    operation_ended: str
    snapshot_id: str
    baseline_id: str
    patch_group: str
    installed: int
    installed_other: int
    pending_reboot: int
    missing: int
    failed: int
    rejected: int = 0
    """Installed, although the baseline rejects them."""


def severity_of(told: str) -> str:
    """One of `SEVERITIES`, for a severity as a patch has it."""
    word = told.strip().lower()
    return _SEVERITIES_OF_OTHERS.get(word, word.capitalize() if word.capitalize() in SEVERITIES else SEVERITIES[-1])


class Ssm:
    """Systems Manager's agents, commands, patch states, parameters and Change Calendars."""

    def __init__(self) -> None:
        self._client = client("ssm")
        # A command has no client token: AWS would carry out a repeated call again.
        self._sender = client("ssm", attempts=1)

    def parameter(self, name: str) -> str | None:
        """The value of a parameter; None when nobody has made it."""
        try:
            return str(call(self._client.get_parameter, "ParameterNotFound", Name=name)["Parameter"]["Value"])
        except ClientError:
            return None

    def parameter_history(self, name: str) -> list[ParameterVersion]:
        """All values that a parameter was given, the oldest first; Parameter Store keeps a hundred."""
        history = pages(self._client.get_parameter_history, "ParameterNotFound", Name=name, MaxResults=50)
        try:
            found = [one for page in history for one in page["Parameters"]]
        except ClientError:
            return []
        return [
            ParameterVersion(str(one["Value"]), str(one.get("LastModifiedUser", "")), one["LastModifiedDate"])
            for one in sorted(found, key=lambda one: int(one["Version"]))
        ]

    def delete_parameter(self, name: str) -> None:
        """Delete a parameter. One that is gone already is fine."""
        try:
            call(self._client.delete_parameter, "ParameterNotFound", Name=name)
        except ClientError:
            return

    def calendar_state(self, calendars: Sequence[str]) -> tuple[str, str]:
        """OPEN when all calendars are open, else CLOSED, and when that changes (ISO time; empty when unknown).

        Raises CalendarClosedError for one that cannot be found, or is none: it would protect nobody.
        """
        names = ("InvalidDocument", "InvalidDocumentType", "UnsupportedCalendarException")
        try:
            answer = call(self._client.get_calendar_state, *names, CalendarNames=list(calendars))
        except ClientError as error:
            raise CalendarClosedError(
                say("calendar.unreadable", calendars=calendars, code=error_code(error), message=error_text(error))
            ) from error
        return str(answer.get("State", "CLOSED")), str(answer.get("NextTransitionTime", ""))

    def find_agent(self, instance_id: str) -> Agent | None:
        """None when Systems Manager does not know the instance, or it is not running."""
        try:
            found = find_first(
                self._client.describe_instance_information,
                "InstanceInformationList",
                "InvalidInstanceId",
                Filters=[{"Key": "InstanceIds", "Values": [instance_id]}],
            )
        except ClientError:
            return None
        return _read_agent(found) if found else None

    def find_agents(self, instance_ids: Iterable[str]) -> dict[str, Agent]:
        """The agents of those instances that Systems Manager knows and that run, by instance id."""
        wanted = sorted(set(instance_ids))
        found = look_at_once(self._find_some_agents, in_chunks(wanted, _PAGE))
        return {instance_id: agent for some in found for instance_id, agent in some.items()}

    def _find_some_agents(self, instance_ids: Sequence[str]) -> dict[str, Agent]:
        found = pages(
            self._client.describe_instance_information,
            "InvalidInstanceId",
            Filters=[{"Key": "InstanceIds", "Values": list(instance_ids)}],
            MaxResults=_PAGE,
        )
        try:
            return {one["InstanceId"]: _read_agent(one) for page in found for one in page["InstanceInformationList"]}
        except ClientError:
            # One id that Systems Manager refuses must not hide the agents of all the others.
            found_alone = {instance_id: self.find_agent(instance_id) for instance_id in instance_ids}
            return {instance_id: agent for instance_id, agent in found_alone.items() if agent is not None}

    def find_document(self, name: str, version: str = "$DEFAULT") -> CommandDocument | None:
        """A version of a document; None when there is none. The default version is answered by its number.

        `Hash` is "the Sha256 or Sha1 hash created by the system when the document was created" (DocumentDescription in
        the API reference, 2026-12-01); SendCommand takes the same.
        """
        expected = ("InvalidDocument", "InvalidDocumentVersion")
        try:
            found = call(self._client.describe_document, *expected, Name=name, DocumentVersion=version)["Document"]
        except ClientError:
            return None
        return CommandDocument(
            name=name,
            kind=str(found.get("DocumentType")),
            status=str(found.get("Status", "Active")),
            platforms=found.get("PlatformTypes", []),
            pinned={
                "version": str(found.get("DocumentVersion", version)),
                "hash": str(found.get("Hash", "")),
                "hashType": str(found.get("HashType", "")) if found.get("Hash") else "",
            },
        )

    def check_command_document(self, name: str, platform: str, version: str = "$DEFAULT") -> str | None:
        """The reason why a version of a document cannot run on this platform, or None."""
        document = self.find_document(name, version)
        if document is None:
            if version == "$DEFAULT":
                return say("document.missing", name=name)
            return say("document.missing.version", name=name, version=version)
        return document.why_not_on(platform) or None

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
        """The command's id, and the time at which it is over whatever happens (ExpiresAfter).

        Systems Manager refuses a document whose content has another hash than the pinned one.
        Raises CommandNotDeliveredError when SSM cannot reach the instance, DocumentError.
        """
        try:
            command = call(
                self._sender.send_command,
                "InvalidInstanceId",
                "InvalidDocument",
                "InvalidDocumentVersion",
                "InvalidParameters",
                "UnsupportedPlatformType",
                InstanceIds=[instance_id],
                DocumentName=document,
                DocumentVersion=pinned["version"],
                **({"DocumentHash": pinned["hash"], "DocumentHashType": pinned["hashType"]} if pinned["hash"] else {}),
                Parameters={name: [value] for name, value in parameters.items()},
                Comment=comment,
                TimeoutSeconds=DELIVERY_SECONDS,
                OutputS3BucketName=log_bucket,
                OutputS3KeyPrefix=log_prefix,
            )["Command"]
        except ClientError as error:
            said = f"{instance_id}: {document}: {error_code(error)}: {error_text(error)}"
            if error_code(error) == "InvalidInstanceId":
                raise CommandNotDeliveredError(said) from error
            raise DocumentError(said) from error
        return str(command["CommandId"]), command["ExpiresAfter"]

    def find_command(self, instance_id: str, comment: str, since: datetime) -> tuple[str, datetime] | None:
        """The command with this comment; a command has no client token by which AWS would know it again."""
        found = pages(
            self._client.list_commands,
            InstanceId=instance_id,
            Filters=[
                {
                    "key": "InvokedAfter",
                    "value": (since - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
            ],
            MaxResults=50,
        )
        commands = (command for page in found for command in page["Commands"])
        return next(
            ((str(one["CommandId"]), one["ExpiresAfter"]) for one in commands if one.get("Comment") == comment), None
        )

    def find_invocation(self, instance_id: str, command_id: str, platform: str) -> Invocation | None:
        """None while the invocation cannot be seen yet."""
        found = find_first(
            self._client.list_command_invocations,
            "CommandInvocations",
            CommandId=command_id,
            InstanceId=instance_id,
            Details=True,
        )
        if found is None:
            return None
        plugin = _platform_plugin(found.get("CommandPlugins", []), platform)
        return Invocation(
            command_id=command_id,
            status=found["Status"],
            status_details=found.get("StatusDetails", found["Status"]),
            response_code=int(plugin.get("ResponseCode", -1)),
            output=plugin.get("Output", ""),
            ended=plugin.get("ResponseFinishDateTime"),
        )

    def cancel_command(self, instance_id: str, command_id: str) -> None:
        """Best effort, as AWS says."""
        call(self._client.cancel_command, CommandId=command_id, InstanceIds=[instance_id])

    def find_patch_state(self, instance_id: str) -> PatchState | None:
        """None when the instance was never scanned."""
        found = find_first(
            self._client.describe_instance_patch_states, "InstancePatchStates", InstanceIds=[instance_id]
        )
        if found is None:
            return None
        return PatchState(
            operation=found["Operation"],
            operation_ended=found["OperationEndTime"].isoformat(),
            snapshot_id=found.get("SnapshotId", ""),
            baseline_id=found["BaselineId"],
            patch_group=found["PatchGroup"],
            installed=found.get("InstalledCount", 0),
            installed_other=found.get("InstalledOtherCount", 0),
            pending_reboot=found.get("InstalledPendingRebootCount", 0),
            missing=found.get("MissingCount", 0),
            failed=found.get("FailedCount", 0),
            rejected=found.get("InstalledRejectedCount", 0),
        )

    def find_missing(self, instance_ids: Iterable[str]) -> dict[str, tuple[int, datetime]]:
        """How many patches are missing or failed on each instance that was ever scanned, and when that was found."""
        found = look_at_once(self._find_some_missing, in_chunks(sorted(set(instance_ids)), _PAGE))
        return {instance_id: missing for some in found for instance_id, missing in some.items()}

    def _find_some_missing(self, instance_ids: Sequence[str]) -> dict[str, tuple[int, datetime]]:
        found = pages(self._client.describe_instance_patch_states, InstanceIds=list(instance_ids), MaxResults=100)
        return {
            str(one["InstanceId"]): (
                int(one.get("MissingCount", 0)) + int(one.get("FailedCount", 0)),
                one["OperationEndTime"],
            )
            for page in found
            for one in page["InstancePatchStates"]
        }

    def list_patches(self, instance_id: str, state: str) -> list[ListedPatch]:
        """The patches in a state (`Missing`, `Failed`, …), the most severe first; of more than 500 the first 500 told.

        DescribeInstancePatches answers at most 100 at a time, in no documented order.
        """
        found = pages(
            self._client.describe_instance_patches,
            InstanceId=instance_id,
            Filters=[{"Key": "State", "Values": [state]}],
            MaxResults=_PAGE_OF_PATCHES,
        )
        told = islice((patch for page in found for patch in page["Patches"]), _MOST_PATCHES)
        patches = [
            ListedPatch(
                cut_bytes(str(patch.get("KBId") or patch["Title"]), _MOST_TITLE), severity_of(patch.get("Severity", ""))
            )
            for patch in told
        ]
        return sorted(patches, key=lambda patch: SEVERITIES.index(patch.severity))

    def list_installed(self, instance_id: str, names: Sequence[str]) -> list[str]:
        """Which of these patches are listed as installed, in whatever way: also those that wait for a reboot.

        Names are compared with KBId, as Windows and Linux have them; what has none is not found.
        """
        found = pages(
            self._client.describe_instance_patches,
            InstanceId=instance_id,
            Filters=[
                {"Key": "State", "Values": ["Installed", "InstalledOther", "InstalledPendingReboot"]},
                {"Key": "KBId", "Values": list(names)},
            ],
            MaxResults=_PAGE_OF_PATCHES,
        )
        return sorted({str(patch["KBId"]) for page in found for patch in page["Patches"]} & set(names))
