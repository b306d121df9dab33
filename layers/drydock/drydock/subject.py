"""What a lease, a place and a result are about: an instance, or an Auto Scaling group."""

from __future__ import annotations

_GROUP = "group/"


def group_subject(group_name: str) -> str:
    """What the lease of an Auto Scaling group is about. Instance ids hold no slash."""
    return f"{_GROUP}{group_name}"


def is_group(subject: str) -> bool:
    return subject.startswith(_GROUP)


def group_name_of(subject: str) -> str:
    return subject.removeprefix(_GROUP)


def partition_of(subject: str) -> str:
    """The partition of an instance's or a group's items."""
    return f"GROUP#{group_name_of(subject)}" if is_group(subject) else f"INSTANCE#{subject}"
