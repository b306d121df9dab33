"""What a lease, a place and a result are about: an instance, or an Auto Scaling group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_GROUP = "group/"
_INSTANCE_PARTITION, _GROUP_PARTITION = "INSTANCE#", "GROUP#"


@dataclass(frozen=True)
class Instance:
    """An EC2 instance, by its id: `i-0123456789abcdef0`."""

    id: str

    @property
    def key(self) -> str:
        """What stands for it in items, plans and events: its id."""
        return self.id

    @property
    def partition(self) -> str:
        """The partition of its items in the table."""
        return f"{_INSTANCE_PARTITION}{self.id}"


@dataclass(frozen=True)
class Group:
    """An Auto Scaling group, by its name."""

    name: str

    @property
    def key(self) -> str:
        """What stands for it in items, plans and events. Instance ids hold no slash."""
        return f"{_GROUP}{self.name}"

    @property
    def partition(self) -> str:
        """The partition of its items in the table."""
        return f"{_GROUP_PARTITION}{self.name}"


Subject = Instance | Group


def read_subject(key: str) -> Subject:
    """The subject that a key stands for."""
    return Group(key.removeprefix(_GROUP)) if key.startswith(_GROUP) else Instance(key)


def subject_of_partition(partition: str) -> Subject:
    """The subject whose items stand in a partition of the table."""
    if partition.startswith(_GROUP_PARTITION):
        return Group(partition.removeprefix(_GROUP_PARTITION))
    return Instance(partition.removeprefix(_INSTANCE_PARTITION))


def subject_of_item(item: Mapping[str, Any]) -> Subject:
    """What a place, a result or an entry of a plan is about: stored, its key is called `instanceId` for groups, too."""
    return read_subject(str(item["instanceId"]))
