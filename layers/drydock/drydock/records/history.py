"""History: how long machines took, what was done to them last, and which ones were left over. Plans come from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from drydock.aws.table import ConditionFailedError, Item, Key, Table, Write
from drydock.records.reading import moment, read_all, readable, text
from drydock.records.results import Result, Work
from drydock.times import TimeBudget, to_text

SAMPLES = 10
"""So many durations are remembered of each machine."""

_KEPT = timedelta(days=365)
_LEFT_KEPT = timedelta(days=90)
_NOTED_TOGETHER = 250
_PARTITION, _LEFT = "HISTORY", "NOT_ATTEMPTED"


@dataclass(frozen=True)
class OwedReboot:
    """A reboot that a machine still needs for what was installed on it."""

    boot_id: str
    """The boot that has to end: in any other one it is paid, whoever has rebooted the machine."""
    since: datetime
    reasons: tuple[str, ...] = ()
    """Why, as the machine says; none before it was asked."""


@dataclass(frozen=True)
class History:
    """A machine's past with one operation. `seconds` are the durations of the last ten successes, newest first."""

    instance_id: str
    platform: str
    patch_group: str
    done: datetime | None
    """When it succeeded last; None when it never did."""
    done_by: str
    """ARN of the execution; empty when it never succeeded."""
    seconds: tuple[int, ...]
    left_service: bool = False
    """Whether it was a member of a group that left service for it, the last time."""
    failed_after: int = 0
    """The longest time after which it failed since it succeeded last; 0 when it did not."""
    owed: OwedReboot | None = None
    """Of an Install: the reboot that was put off, unless one is known to have happened since."""
    outlived: tuple[str, ...] = ()
    """Of an Install: the reasons to reboot that a reboot has not removed, and nothing was installed since."""


def _key(operation: str, instance_id: str) -> Key:
    return {"pk": _PARTITION, "sk": f"{operation}#{instance_id}"}


@readable
def _read(item: Item) -> History:
    names = (f"s{number}" for number in range(1, SAMPLES + 1))
    return History(
        instance_id=item["sk"].partition("#")[2],
        platform=text(item["platform"]),
        patch_group=text(item["patchGroup"]),
        done=moment(item["doneAt"]) if "doneAt" in item else None,
        done_by=text(item.get("doneBy", "")),
        seconds=tuple(int(item[name]) for name in names if item.get(name)),
        left_service=bool(item.get("leftService", False)),
        failed_after=int(item.get("failedAfter", 0)),
        owed=_read_owed(item) if "owedBoot" in item else None,
        outlived=tuple(text(reason) for reason in item.get("outlived", ())),
    )


def _read_owed(item: Item) -> OwedReboot:
    reasons = tuple(text(reason) for reason in item["owedReasons"])
    return OwedReboot(text(item["owedBoot"]), moment(item["owedSince"]), reasons)


def history_change(table: Table, result: Result, work: Work, now: datetime, *, left_service: bool) -> Write:
    """The write that adds a success to a machine's history; it goes with the result's own.

    `left_service` says whether the machine is a member of a group that left service, so that draining is in its time.
    """
    # A register that shifts: the right-hand sides are the values of before. What was only looked at took no time.
    shifts = [f"s{number} = if_not_exists(s{number - 1}, :none)" for number in range(SAMPLES, 1, -1)] + [
        "s1 = :seconds"
    ]
    is_sample = result.outcome == "succeeded"
    facts = {
        "platform": work.platform,
        "patchGroup": work.patch_group,
        **({"leftService": left_service} if is_sample else {}),
        "doneAt": to_text(result.ended),
        "doneBy": result.holder.execution,
        "ttl": int((now + _KEPT).timestamp()),
    }
    return table.change(
        _key(work.operation, result.subject.key),
        "SET "
        + ", ".join([*(shifts if is_sample else ()), *(f"#{name} = :{name}" for name in facts)])
        + " REMOVE failedAfter",
        "",
        {f"#{name}": name for name in facts},
        {
            **({":none": 0, ":seconds": int((result.ended - result.started).total_seconds())} if is_sample else {}),
            **{f":{name}": value for name, value in facts.items()},
        },
    )


def undone_change(table: Table, instance_id: str, work: Work, now: datetime) -> Write:
    """The write that forgets what was installed on a machine that was brought back; it goes with the result's own."""
    facts = {
        "platform": work.platform,
        "patchGroup": work.patch_group,
        "ttl": int((now + _KEPT).timestamp()),
    }
    return table.change(
        _key("Install", instance_id),
        "SET "
        + ", ".join(f"#{name} = :{name}" for name in facts)
        + " REMOVE doneAt, doneBy, owedBoot, owedSince, owedReasons",
        "",
        {f"#{name}": name for name in facts},
        {f":{name}": value for name, value in facts.items()},
    )


def note_failure(table: Table, result: Result, work: Work, now: datetime) -> None:
    """Remember after which time a machine failed, if that is longer than what is remembered already."""
    facts = {
        "platform": work.platform,
        "patchGroup": work.patch_group,
        "failedAfter": int((result.ended - result.started).total_seconds()),
        "ttl": int((now + _KEPT).timestamp()),
    }
    try:
        table.update(
            _key(work.operation, result.subject.key),
            "SET " + ", ".join(f"#{name} = :{name}" for name in facts),
            "attribute_not_exists(failedAfter) OR failedAfter < :failedAfter",
            {f"#{name}": name for name in facts},
            {f":{name}": value for name, value in facts.items()},
        )
    except ConditionFailedError:
        return


def note_owed_reboot(
    table: Table, instance_id: str, platform: str, patch_group: str, owed: OwedReboot, now: datetime
) -> None:
    """Write down that a machine owes a reboot. One that is owed out of the same boot has been owed since then."""
    facts = {
        "platform": platform,
        "patchGroup": patch_group,
        "owedBoot": owed.boot_id,
        "owedReasons": [*owed.reasons],
        "ttl": int((now + _KEPT).timestamp()),
    }
    key = _key("Install", instance_id)
    names = {f"#{name}": name for name in facts}
    values = {f":{name}": value for name, value in facts.items()}
    change = "SET " + ", ".join(f"#{name} = :{name}" for name in facts)
    try:
        table.update(key, change, "owedBoot = :owedBoot", names, values)
    except ConditionFailedError:
        table.update(
            key,
            f"{change}, owedSince = :since",
            "attribute_not_exists(owedBoot) OR owedBoot <> :owedBoot",
            names,
            {**values, ":since": to_text(owed.since)},
        )


def forget_owed_reboot(table: Table, instance_id: str) -> None:
    """A machine owes no reboot any more."""
    try:
        table.update(
            _key("Install", instance_id),
            "REMOVE owedBoot, owedSince, owedReasons",
            "attribute_exists(owedBoot)",
            {},
            {},
        )
    except ConditionFailedError:
        return


def note_outlived(
    table: Table, instance_id: str, platform: str, patch_group: str, reasons: Sequence[str], now: datetime
) -> None:
    """Write down the reasons to reboot that a reboot has not removed; none is that there are no such."""
    facts = {
        "platform": platform,
        "patchGroup": patch_group,
        "outlived": [*reasons],
        "ttl": int((now + _KEPT).timestamp()),
    }
    try:
        table.update(
            _key("Install", instance_id),
            "SET " + ", ".join(f"#{name} = :{name}" for name in facts),
            "attribute_not_exists(outlived) OR outlived <> :outlived",
            {f"#{name}": name for name in facts},
            {f":{name}": value for name, value in facts.items()},
        )
    except ConditionFailedError:
        return


def find_history(table: Table, operation: str, instance_id: str) -> History | None:
    """What is known of a machine's past in this operation; None for nothing in the time that is kept."""
    item = table.get(_key(operation, instance_id))
    return _read(item) if item else None


def all_histories(table: Table, operation: str) -> dict[str, History]:
    """By instance id. Of one that cannot be read, nothing is known."""
    histories = read_all(table.query(_PARTITION, f"{operation}#"), _read).read
    return {history.instance_id: history for history in histories}


def note_not_attempted(table: Table, run_id: str, instance_ids: Sequence[str], budget: TimeBudget) -> int:
    """These machines come first next time: how many are still to be noted when there was no time for all.

    The next call goes on where this one stopped. One after the other: all of them stand in one partition, which takes
    1,000 writes a second.
    """
    if not instance_ids:
        return 0
    now, noted = budget.now(), {str(item["sk"]) for item in table.query(_LEFT) if item["run"] == run_id}
    left = [instance_id for instance_id in instance_ids if instance_id not in noted]
    while left and not budget.is_spent:
        some, left = left[:_NOTED_TOGETHER], left[_NOTED_TOGETHER:]
        table.put_many(
            {
                "pk": _LEFT,
                "sk": instance_id,
                "run": run_id,
                "at": to_text(now),
                "ttl": int((now + _LEFT_KEPT).timestamp()),
            }
            for instance_id in some
        )
    return len(left)


def find_left_over(table: Table, instance_id: str) -> datetime | None:
    """When a machine was last left over; None where that has not happened, or was made good since."""
    item = table.get({"pk": _LEFT, "sk": instance_id})
    return _read_left_over(item)[1] if item else None


def left_over(table: Table) -> dict[str, datetime]:
    """When machines were last left over, by instance id."""
    return dict(read_all(table.query(_LEFT), _read_left_over).read)


@readable
def _read_left_over(item: Item) -> tuple[str, datetime]:
    return item["sk"], moment(item["at"])
