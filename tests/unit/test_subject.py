"""What leases, places and results are about, and how that is stored."""

from __future__ import annotations

import pytest

from drydock.subject import Group, Instance, Subject, read_subject, subject_of_item, subject_of_partition

STORED = [
    (Instance("i-0123456789abcdef0"), "i-0123456789abcdef0", "INSTANCE#i-0123456789abcdef0"),
    (Group("web"), "group/web", "GROUP#web"),
    (Group("app farm/1"), "group/app farm/1", "GROUP#app farm/1"),
    (Group("i-0123456789abcdef0"), "group/i-0123456789abcdef0", "GROUP#i-0123456789abcdef0"),
    (Group("group/web"), "group/group/web", "GROUP#group/web"),
    (Instance(""), "", "INSTANCE#"),
]


@pytest.mark.parametrize(("subject", "key", "partition"), STORED)
def test_a_subject_is_read_from_its_key_and_its_partition_as_it_was_stored(
    subject: Subject, key: str, partition: str
) -> None:
    assert (subject.key, subject.partition) == (key, partition)
    assert read_subject(key) == subject_of_item({"instanceId": key}) == subject_of_partition(partition) == subject


def test_a_group_that_is_called_like_an_instance_is_another_subject() -> None:
    subjects: list[Subject] = [Instance("i-0123456789abcdef0"), Group("i-0123456789abcdef0")]

    assert len(set(subjects)) == 2
