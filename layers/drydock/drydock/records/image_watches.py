"""Image watches: what follows an image that EC2 has not finished when its machine is released.

One item an image, in its machine's partition. It touches no machine: it waits for the end of the image, writes that
down where people look, and has them told of a failure. It goes once that is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from drydock.aws.table import AWAITED_INDEX, ConditionFailedError, Item, Key, Table, Write
from drydock.records.holder import Holder
from drydock.records.reading import Readings, moment, read_all, readable, text
from drydock.records.shards import look_up_shards, shard_of
from drydock.subject import Group, Instance, Subject, subject_of_partition
from drydock.times import to_text

Moment = Literal["before", "after"]
ImageEnd = Literal["available", "failed", "timed_out"]

_WATCHES = "IMAGES"
_PREFIX = "IMAGE#"

TELL_AGAIN = timedelta(minutes=10)
"""After so long it is tried again to tell of a failure."""


def watch_key(instance_id: str, image_id: str) -> Key:
    """Where the watch of an image stands."""
    return {"pk": Instance(instance_id).partition, "sk": f"{_PREFIX}{image_id}"}


@dataclass(frozen=True)
class ImageWatch:
    """An image that was asked for, and all that has to be known once it has ended."""

    instance_id: str
    machine: str
    """The machine's Name tag."""
    image_id: str
    moment: Moment
    holder: Holder
    """The execution that asked for it."""
    started: datetime
    """When that was started."""
    asked: datetime
    deadline: datetime
    deprecate_at: datetime
    is_crash_consistent: bool
    """The machine ran on while its snapshots began."""
    was_installed: bool
    """An installation had begun when the machine was released."""
    verdict: str
    """On the machine that the image is of: `compliant`, …; `failed` where its execution failed otherwise."""
    run_id: str
    notify: str
    group_name: str
    """Of the machine, where it was patched as a member; otherwise empty."""
    end: ImageEnd | Literal[""] = ""
    """Empty until it has ended, as the next."""
    reason: str = ""
    told_at: datetime | None = None
    """When it was last tried to tell of its end."""

    @property
    def key(self) -> Key:
        """Where it stands: see `watch_key`."""
        return watch_key(self.instance_id, self.image_id)

    @property
    def place(self) -> Subject:
        """The machine or the group whose place in the run the image belongs to."""
        return Group(self.group_name) if self.group_name else Instance(self.instance_id)

    @property
    def is_lost_backup(self) -> bool:
        """Whether it is the image before an installation, and has not become available."""
        return self.moment == "before" and self.was_installed and self.end not in ("", "available")

    def to_item(self) -> Item:
        """As it is written first: its end comes later."""
        return {
            **self.key,
            "lookup": shard_of(_WATCHES, Instance(self.instance_id)),
            "awaited": self.image_id,
            "name": self.machine,
            "moment": self.moment,
            "execution": self.holder.execution,
            "redriveCount": self.holder.redrive_count,
            "startedAt": to_text(self.started),
            "askedAt": to_text(self.asked),
            "deadline": to_text(self.deadline),
            "deprecateAt": to_text(self.deprecate_at),
            "crashConsistent": self.is_crash_consistent,
            "installed": self.was_installed,
            "verdict": self.verdict,
            "runId": self.run_id,
            "notify": self.notify,
            "groupName": self.group_name,
        }


@readable
def _read(item: Item) -> ImageWatch:
    subject, image_id = subject_of_partition(item["pk"]), text(item["sk"]).removeprefix(_PREFIX)
    if item["sk"] != f"{_PREFIX}{image_id}" or not isinstance(subject, Instance):
        raise ValueError(item["sk"])
    return ImageWatch(
        instance_id=subject.id,
        machine=text(item["name"]),
        image_id=image_id,
        moment=_moment_of(item),
        holder=Holder.from_item(item, "execution"),
        started=moment(item["startedAt"]),
        asked=moment(item["askedAt"]),
        deadline=moment(item["deadline"]),
        deprecate_at=moment(item["deprecateAt"]),
        is_crash_consistent=bool(item["crashConsistent"]),
        was_installed=bool(item["installed"]),
        verdict=text(item["verdict"]),
        run_id=text(item["runId"]),
        notify=text(item["notify"]),
        group_name=text(item["groupName"]),
        end=item.get("end", ""),
        reason=text(item.get("reason", "")),
        told_at=moment(item["tellAt"]) if "tellAt" in item else None,
    )


def _moment_of(item: Item) -> Moment:
    """Raises ValueError."""
    return "before" if ("before", "after").index(item["moment"]) == 0 else "after"


@dataclass(frozen=True)
class WatchSummary:
    """What the index holds of an image watch. Whoever needs more reads the watch itself."""

    instance_id: str
    image_id: str
    run_id: str
    moment: Moment
    is_crash_consistent: bool
    deadline: datetime

    @classmethod
    def from_item(cls, item: Item) -> WatchSummary:
        """Read it out of the index. Raises UnreadableItemError."""
        return _read_summary(item)


@readable
def _read_summary(item: Item) -> WatchSummary:
    subject = subject_of_partition(item["pk"])
    if not isinstance(subject, Instance) or not text(item["sk"]).startswith(_PREFIX):
        raise ValueError(item["sk"])
    return WatchSummary(
        instance_id=subject.id,
        image_id=item["sk"].removeprefix(_PREFIX),
        run_id=text(item["runId"]),
        moment=_moment_of(item),
        is_crash_consistent=bool(item["crashConsistent"]),
        deadline=moment(item["deadline"]),
    )


def addition_of(table: Table, watch: ImageWatch) -> Write:
    """The write that begins a watch; it goes with the end of the machine's lease."""
    return table.addition(watch.to_item())


def find_watch(table: Table, instance_id: str, image_id: str) -> ImageWatch | None:
    """The watch of an image as it is now; None when nobody follows it, or no more. Raises UnreadableItemError."""
    item = table.get(watch_key(instance_id, image_id))
    return _read(item) if item else None


def watches_of(table: Table, instance_id: str) -> list[ImageWatch]:
    """The watches of a machine's images that have not ended, but those that cannot be read."""
    items = table.query(Instance(instance_id).partition, _PREFIX)
    return [watch for watch in read_all(items, _read).read if not watch.end]


def all_watches(table: Table) -> Readings[WatchSummary]:
    """Every image watch. The index lags a little."""
    return read_all(look_up_shards(table, _WATCHES), WatchSummary.from_item)


def pending_of_run(table: Table, run_id: str) -> list[WatchSummary]:
    """The images of a run that are followed still. The index lags a little."""
    return [watch for watch in all_watches(table).read if watch.run_id == run_id]


def watches_that_await(table: Table, image_id: str) -> Sequence[str]:
    """The machines whose watch waits for this image."""
    keys = [item for item in table.look_up(AWAITED_INDEX, image_id) if str(item["sk"]).startswith(_PREFIX)]
    return [subject.id for key in keys if isinstance(subject := subject_of_partition(key["pk"]), Instance)]


def end_watch(table: Table, watch: ImageWatch, end: ImageEnd, reason: str) -> ImageWatch:
    """Write down how an image ended; the first end stands."""
    try:
        item = table.update(
            watch.key,
            "SET #end = :end, reason = :reason",
            "attribute_exists(pk) AND attribute_not_exists(#end)",
            {"#end": "end"},
            {":end": end, ":reason": reason},
        )
    except ConditionFailedError as refused:
        return _read(refused.found) if refused.found else replace(watch, end=end, reason=reason)
    return _read(item)


def note_telling(table: Table, watch: ImageWatch, now: datetime) -> None:
    """Note that people are being told of the end of an image. A watch that is gone has told."""
    try:
        table.update(watch.key, "SET tellAt = :now", "attribute_exists(pk)", {}, {":now": to_text(now)})
    except ConditionFailedError:
        return


def drop_watch(table: Table, watch: ImageWatch) -> None:
    """All is written down and told."""
    table.delete(watch.key, "attribute_not_exists(pk) OR #end = :end", {"#end": "end"}, {":end": watch.end})
