"""Results: what became of a machine or a group in one execution. Kept for a year."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

from drydock.aws.table import ConditionFailedError, Item, Key, Table
from drydock.catalogue.saying import say
from drydock.errors import Failure
from drydock.records.holder import Holder
from drydock.records.reading import Readings, mapping, moment, read_all, readable, text
from drydock.records.shards import look_up_shards, shard_of
from drydock.subject import Subject, subject_of_item, subject_of_partition
from drydock.times import from_text, to_text

RESULTS = "RESULT#"
"""How the sort keys of results begin."""

_UNTOLD = "UNTOLD"
_KEPT = timedelta(days=365)


class PatchCounts(TypedDict):
    """What is known of a machine's patches. A count of -1 is not known.

    The names are the most severe fifty of each kind, the worst first. `missingBySeverity` counts what is missing by
    `Critical`, `Important`, `Moderate`, `Low` and `Unspecified`; it is empty where no severity is known.
    """

    missing: int
    failed: int
    installed: int
    pendingReboot: int
    rejected: int
    missingPatches: list[str]
    missingBySeverity: dict[str, int]
    failedPatches: list[str]
    rejectedPatches: list[str]
    baselineId: str
    patchGroup: str
    operation: str
    operationEnded: str


AgentVerdict = Literal["failed", "unknown", "updated_reported_failed", "updated", "up_to_date"]


class AgentUpdate(TypedDict):
    """What the update of one agent came to. A version is empty where there is no such agent, or it cannot be told."""

    agent: str
    name: str
    before: str
    after: str
    verdict: AgentVerdict


class SentCommand(TypedDict):
    """A command of a machine's flow. `logKey` is where in the bucket its output stands; ids are empty if unknown."""

    step: str
    commandId: str
    document: str
    parameters: Mapping[str, Any]
    sentAt: str
    logKey: str


class EndedCommand(TypedDict):
    """How a command ended, in the words of Systems Manager.

    `errorOutput` has the last lines of its error output, secrets masked; none of one that succeeded, or of a hook.
    """

    commandId: str
    status: str
    statusDetails: str
    responseCode: int
    endedAt: str
    errorOutput: list[str]


class StepTime(TypedDict):
    """When a state of a machine's flow was entered and left: ISO 8601 in UTC. One that was cut short has no end."""

    name: str
    beganAt: str
    endedAt: str


class MadeImage(TypedDict):
    """An image of a machine. `state` is that of EC2, `timed_out` where it was pending still at its deadline.

    `crashConsistent`: the machine ran on while its snapshots began. `reason` says why it has not become available,
    `problems` what else went wrong after its machine was released: its tags, or its deprecation date.
    """

    imageId: str
    state: str
    crashConsistent: bool
    reason: str
    problems: list[str]


class Sizes(TypedDict):
    """The sizes of a group before its roll."""

    min: int
    max: int
    desired: int


class RefreshedTemplate(TypedDict):
    """What became of a group's launch template. `version` is empty where it is not known whether one was made."""

    templateId: str
    templateName: str
    follows: str
    sourceVersion: str
    version: str
    isDefault: bool
    imageId: str
    instanceId: str
    otherGroups: Mapping[str, str]
    warnings: list[str]


class RebootFacts(TypedDict):
    """What is known of the need of a reboot after an installation."""

    need: str
    """By the machine's own answer, before a reboot that followed it: see `machine.reboots`."""
    reasons: list[str]
    countedByAws: int
    """How many patches AWS shows as InstalledPendingReboot, needed or not; -1 where that is not known."""
    isOwed: bool


class RestoredRoot(TypedDict):
    """What came of the replacement of a root volume. Ids are empty where there is none.

    `state` is `replaced`, `kept`, `detached`, `at_work` or `untouched`: see `machine.roots`. `takenAt` is when the
    image was made, or the kept volume last in use. `keptVolumeId` is the root of before, `volumeId` that of now,
    `dataVolumes` those that nothing brought back.
    """

    state: str
    imageId: str
    snapshotId: str
    sourceVolumeId: str
    takenAt: str
    keptVolumeId: str
    volumeId: str
    dataVolumes: list[str]


@dataclass(frozen=True)
class Findings:
    """What the flow of a machine found out on its way; nobody knows it when its execution was killed."""

    rebooted: bool
    reboot: RebootFacts
    patches_before: PatchCounts | None
    """None where they were not counted."""
    patches_after: PatchCounts | None
    installed: Sequence[str]
    """The patches that were missing before, are neither missing nor failed now, and are listed as installed."""
    agent_before: str
    """The version of the SSM Agent; empty where it is not known."""
    agent_after: str
    agents: Sequence[AgentUpdate]
    """The agents that were to be updated."""
    hooks: Mapping[str, str]
    """`ran`, `failed` or `not_needed`, for every hook that was asked for."""
    commands: Sequence[EndedCommand]
    policy: Mapping[str, Any]

    @classmethod
    def from_item(cls, item: Item) -> Findings:
        """Read them out of the item of a result, whose attributes they are. Counts that are empty become None."""
        patches, versions = item["patches"], item["agentVersions"]
        return cls(
            rebooted=item["rebooted"],
            reboot=item["reboot"],
            patches_before=patches["before"] or None,
            patches_after=patches["after"] or None,
            installed=patches["installed"],
            agent_before=versions["before"],
            agent_after=versions["after"],
            agents=item["agents"],
            hooks=item["hooks"],
            commands=item["outcomes"],
            policy=item["policy"],
        )

    def to_item(self) -> Item:
        """Attributes of the result's item; counts that nobody made are written as an empty map."""
        return {
            "rebooted": self.rebooted,
            "reboot": self.reboot,
            "patches": {
                "before": self.patches_before or {},
                "after": self.patches_after or {},
                "installed": self.installed,
            },
            "agentVersions": {"before": self.agent_before, "after": self.agent_after},
            "agents": self.agents,
            "hooks": self.hooks,
            "outcomes": self.commands,
            "policy": self.policy,
        }


@dataclass(frozen=True)
class Work:
    """What was done to a machine, and how it was left."""

    name: str
    platform: str
    patch_group: str
    snapshot_id: str
    operation: str
    power_before: str
    power_after: str
    """The name of EC2's state, or `gone`."""
    times: Mapping[str, str]
    """When each change was announced, by the name of its intent."""
    images: Mapping[str, MadeImage]
    """By moment, `before` and `after`; only those that were made."""
    commands: Sequence[SentCommand]
    verdict: str
    problems: Sequence[str]
    """What went wrong on the way and failed nothing, a phrase each."""
    findings: Findings | None
    steps: Sequence[StepTime] = field(default_factory=list)
    """In the order in which they began; none where the execution was killed."""
    restored: RestoredRoot | None = None
    """None where no root volume was to be replaced."""
    to_work_again: str = ""
    """The document that lets a machine work again which may be drained still; empty for any other."""

    @classmethod
    def from_item(cls, item: Item) -> Work:
        """Read it out of the item of a result. Only an item with a policy has findings."""
        return cls(
            name=item["name"],
            platform=item["platform"],
            patch_group=item["patchGroup"],
            snapshot_id=item["snapshotId"],
            operation=item["operation"],
            power_before=item["powerBefore"],
            power_after=item["powerAfter"],
            times=item["times"],
            images=item["images"],
            commands=item["commands"],
            verdict=item["verdict"],
            problems=item["problems"],
            findings=Findings.from_item(item) if "policy" in item else None,
            steps=item["steps"],
            restored=item.get("restored"),
            to_work_again=item["toWorkAgain"],
        )

    def to_item(self) -> Item:
        """Attributes of the result's item, with those of the findings where there are any."""
        return {
            "name": self.name,
            "platform": self.platform,
            "patchGroup": self.patch_group,
            "snapshotId": self.snapshot_id,
            "operation": self.operation,
            "powerBefore": self.power_before,
            "powerAfter": self.power_after,
            "times": self.times,
            "images": self.images,
            "commands": self.commands,
            "verdict": self.verdict,
            "problems": self.problems,
            "steps": self.steps,
            **({"restored": self.restored} if self.restored else {}),
            "toWorkAgain": self.to_work_again,
            **(self.findings.to_item() if self.findings else {}),
        }


@dataclass(frozen=True)
class Member:
    """What became of a member in the roll through its group. What is None nobody has written down."""

    outcome: str
    name: str
    error: str | None = None
    cause: str | None = None
    verdict: str | None = None
    move: str | None = None
    """Where it went: exit, hold, replace, gone or none."""
    note: str | None = None
    image_id: str | None = None
    began: datetime | None = None
    """When its turn came; None when it did not."""
    ended: datetime | None = None

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> Member:
        """Read one value of a roll's `members`; what is absent there becomes None."""
        return cls(
            outcome=item["outcome"],
            name=item["name"],
            error=item.get("error"),
            cause=item.get("cause"),
            verdict=item.get("verdict"),
            move=item.get("move"),
            note=item.get("note"),
            image_id=item.get("imageId"),
            began=from_text(item["at"]) if "at" in item else None,
            ended=from_text(item["endedAt"]) if "endedAt" in item else None,
        )

    def to_item(self) -> Item:
        """One value of a roll's `members`; what is None is left out."""
        known = {
            "outcome": self.outcome,
            "name": self.name,
            "error": self.error,
            "cause": self.cause,
            "verdict": self.verdict,
            "move": self.move,
            "note": self.note,
            "imageId": self.image_id,
            "at": to_text(self.began) if self.began else None,
            "endedAt": to_text(self.ended) if self.ended else None,
        }
        return {key: value for key, value in known.items() if value is not None}


@dataclass(frozen=True)
class Roll:
    """What was done to a group, and what became of its members."""

    group_name: str
    operation: str
    snapshot_id: str
    sizes: Sizes
    members: Mapping[str, Member]
    """By instance id: all that were to be patched."""
    problems: Sequence[str]
    """What of the group is not as it was found, or people should know, a phrase each."""
    launch_template: RefreshedTemplate | None
    """None where no version of it was to be made."""

    @classmethod
    def from_item(cls, item: Item) -> Roll:
        """Read it out of the item of a group's result, whose attributes it is."""
        return cls(
            group_name=item["groupName"],
            operation=item["operation"],
            snapshot_id=item["snapshotId"],
            sizes=item["sizes"],
            members={instance_id: Member.from_item(found) for instance_id, found in item["members"].items()},
            problems=item["problems"],
            launch_template=item["launchTemplate"],
        )

    def to_item(self) -> Item:
        """Attributes of the item of a group's result."""
        return {
            "groupName": self.group_name,
            "operation": self.operation,
            "snapshotId": self.snapshot_id,
            "sizes": self.sizes,
            "members": {instance_id: member.to_item() for instance_id, member in self.members.items()},
            "problems": self.problems,
            "launchTemplate": self.launch_template,
        }


@dataclass(frozen=True)
class Result:
    """What became of a machine or a group in one execution. Without `work` and `roll`, nothing was touched."""

    subject: Subject
    """An instance whose id is whatever the execution was given, where that is none."""
    holder: Holder
    started: datetime
    """When the execution was."""
    ended: datetime
    outcome: Literal["succeeded", "already_compliant", "failed", "refused"]
    failure: Failure | None
    """None after a success."""
    run_id: str | None = None
    """Empty outside a run; None where the execution ended before that was written down, as the next."""
    notify: str | None = None
    """Of which machines people hear at once, by the policy."""
    work: Work | None = None
    """Of a machine."""
    roll: Roll | None = None
    """Of a group."""
    given_back: bool = False
    """Whether `give_back` wrote it, after the execution was over."""

    @classmethod
    def from_item(cls, item: Item) -> Result:
        """Read a result, with its work when it is a machine's and its roll when it is a group's.

        Raises UnreadableItemError.
        """
        return _read_result(item)

    def to_item(self) -> Item:
        """What people shall hear of is filed as untold until it is told."""
        item: Item = {
            **self.key,
            "instanceId": self.subject.key,
            "execution": self.holder.execution,
            "redriveCount": self.holder.redrive_count,
            "startedAt": to_text(self.started),
            "endedAt": to_text(self.ended),
            "outcome": self.outcome,
            "failure": self.failure,
            "ttl": int((self.ended + _KEPT).timestamp()),
            **({"runId": self.run_id} if self.run_id is not None else {}),
            **({"notify": self.notify} if self.notify is not None else {}),
            **(self.work.to_item() if self.work else {}),
            **(self.roll.to_item() if self.roll else {}),
            **({"givenBack": True} if self.given_back else {}),
        }
        if self.is_to_be_told:
            item["lookup"] = shard_of(_UNTOLD, self.subject)
        return item

    @property
    def went_well(self) -> bool:
        """Whether nobody has to look at it."""
        return self.outcome in ("succeeded", "already_compliant")

    @property
    def images(self) -> Mapping[str, MadeImage]:
        """The images that were made, by moment: `before` or `after`."""
        return self.work.images if self.work else {}

    @property
    def is_to_be_told(self) -> bool:
        """Whether people hear of it by itself: all but what went well in a run."""
        return not self.went_well or not self.run_id or self.notify == "each"

    @property
    def key(self) -> Key:
        """Where its item stands in the table: see `result_key`."""
        return result_key(self.subject, self.holder, self.started)


@dataclass(frozen=True)
class UntoldResult:
    """What the index holds of a result that nobody was told of. Whoever needs more reads the result itself."""

    subject: Subject
    holder: Holder
    started: datetime
    """When the execution was started."""
    ended: datetime
    tell_at: datetime | None
    """Not before this it is tried again to tell it; None while that was not tried."""

    @classmethod
    def from_item(cls, item: Item) -> UntoldResult:
        """Read a result out of the index, which holds only some of its attributes. Raises UnreadableItemError."""
        return _read_untold(item)

    @property
    def key(self) -> Key:
        """Where the result stands in the table: see `result_key`."""
        return result_key(self.subject, self.holder, self.started)


@readable
def _read_result(item: Item) -> Result:
    return Result(
        subject=subject_of_item(item),
        holder=Holder.from_item(item, "execution"),
        started=moment(item["startedAt"]),
        ended=moment(item["endedAt"]),
        outcome=item["outcome"],
        failure=_read_failure(item["failure"]),
        run_id=text(item["runId"]) if "runId" in item else None,
        notify=text(item["notify"]) if "notify" in item else None,
        work=Work.from_item(item) if "powerBefore" in item else None,
        roll=Roll.from_item(item) if "members" in item else None,
        given_back=bool(item.get("givenBack", False)),
    )


def _read_failure(value: object) -> Failure | None:
    if value is None:
        return None
    found = mapping(value)
    return {"error": text(found["error"]), "cause": text(found["cause"])}


@readable
def _read_untold(item: Item) -> UntoldResult:
    untold = UntoldResult(
        subject=subject_of_partition(item["pk"]),
        holder=Holder.from_item(item, "execution"),
        started=moment(item["startedAt"]),
        ended=moment(item["endedAt"]),
        tell_at=moment(item["tellAt"]) if "tellAt" in item else None,
    )
    if untold.key != {"pk": item["pk"], "sk": item["sk"]}:
        raise ValueError(say("item.not_of_result"))
    return untold


def result_key(subject: Subject, holder: Holder, started: datetime) -> Key:
    """Sorted by the start of the execution: Step Functions frees names after 90 days, so a name is not enough."""
    begun = int(started.timestamp())
    return {
        "pk": subject.partition,
        "sk": f"{RESULTS}{begun:012d}#{holder.state_machine}#{holder.name}#{holder.redrive_count}",
    }


def put_result(table: Table, result: Result) -> None:
    """Write a result that no lease goes with. The first one stands."""
    try:
        table.put(result.to_item(), "attribute_not_exists(pk)", {}, {})
    except ConditionFailedError:
        return


def find_result(table: Table, subject: Subject, holder: Holder, started: datetime) -> Result | None:
    """What became of a machine or a group in one execution; None while it is not written, or after a year."""
    item = table.get(result_key(subject, holder, started))
    return Result.from_item(item) if item else None


def note_image(table: Table, key: Key, moment_: str, image: MadeImage, verdict: str) -> None:
    """Write down in a result how an image has ended, and the verdict that follows from that, if one does."""
    changes = ["images.#moment = :image", *(["verdict = :verdict"] if verdict else [])]
    values = {":image": image, **({":verdict": verdict} if verdict else {})}
    try:
        table.update(key, "SET " + ", ".join(changes), "attribute_exists(images)", {"#moment": moment_}, values)
    except ConditionFailedError:
        return


_BUCKET = 5
"""So many digits of a start in seconds are left open when results are sought: a little more than a day."""


def results_since(table: Table, subject: Subject, since: datetime) -> list[Result]:
    """The results of executions that began at or after this, within a day or two. Raises UnreadableItemError."""
    begun = int(since.timestamp())
    beginnings = [f"{RESULTS}{begun + more:012d}"[:-_BUCKET] for more in (0, 10**_BUCKET)]
    items = [item for beginning in beginnings for item in table.query(subject.partition, beginning)]
    return [result for result in map(Result.from_item, items) if result.started >= since]


def results_of(table: Table, subject: Subject) -> list[Result]:
    """All results of a machine or a group, of a year at most, the oldest first. Raises UnreadableItemError."""
    return [Result.from_item(item) for item in table.query(subject.partition, RESULTS)]


def readable_results_of(table: Table, subject: Subject) -> Readings[Result]:
    """As `results_of`, the newest first, and those that cannot be read by themselves."""
    return read_all(reversed(table.query(subject.partition, RESULTS)), Result.from_item)


def untold_results(table: Table) -> Readings[UntoldResult]:
    """The results that nobody was told of. The index lags a little."""
    return read_all(look_up_shards(table, _UNTOLD), UntoldResult.from_item)


def postpone_telling(table: Table, untold: UntoldResult, until: datetime) -> bool:
    """Note that a result is being told, and when to try again if it is not. False when it has been told."""
    try:
        table.update(untold.key, "SET tellAt = :until", "attribute_exists(lookup)", {}, {":until": to_text(until)})
    except ConditionFailedError:
        return False
    return True


def mark_result_told(table: Table, result: Result) -> None:
    """Take a result out of the index of those that nobody was told of. One that is told already is fine."""
    try:
        table.update(result.key, "REMOVE lookup", "attribute_exists(lookup)", {}, {})
    except ConditionFailedError:
        return
