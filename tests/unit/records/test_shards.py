"""What is looked up together is spread over several keys, and all of it is found again."""

from __future__ import annotations

from collections import Counter

import pytest

from drydock.aws.table import Table
from drydock.records.leases import all_leases
from drydock.records.results import put_result, untold_results
from drydock.records.shards import shard_of
from drydock.subject import Group, Instance, Subject
from tests.unit.fakes import START
from tests.unit.records.recorded import a_result
from tests.unit.world import HOLDER, hold_as

PARTITION = 1_000
"""Write units a second that one partition takes."""

WAVES: list[list[Subject]] = [
    [Instance(f"i-{number:017x}") for number in range(1_000)],
    [Instance(f"i-{number * 0x9E3779B97F4A7C15 % 16**17:017x}") for number in range(1_000)],
    [Group(f"web-{number}") for number in range(1_000)],
]


@pytest.mark.parametrize("wave", WAVES, ids=["ids in a row", "ids all over", "groups"])
def test_a_wave_of_a_thousand_starts_stays_below_what_one_partition_takes(wave: list[Subject]) -> None:
    # Taking the lease is one unit, activating it another.
    units = Counter({key: 2 * count for key, count in Counter(shard_of("LEASES", one) for one in wave).items()})

    assert units.total() == 2 * len(wave)
    assert max(units.values()) < PARTITION / 2, "two keys may share a partition"


def test_a_subject_has_the_same_key_in_every_process() -> None:
    assert shard_of("LEASES", Instance("i-0123456789abcdef0")) == "LEASES#7"
    assert shard_of("UNTOLD", Group("web")) == "UNTOLD#4"


def test_all_leases_and_all_untold_results_are_found_under_whatever_key_they_stand(table: Table) -> None:
    subjects: list[Subject] = [*(Instance(f"i-{number}") for number in range(30)), Group("web"), Group("db")]
    for subject in subjects:
        hold_as(table, HOLDER, subject).take(START)
        put_result(table, a_result("failed", subject=subject))

    assert len({shard_of("LEASES", subject) for subject in subjects}) == 8
    for found in (all_leases(table).read, untold_results(table).read):
        assert len(found) == len(subjects)
        assert {one.subject for one in found} == set(subjects)
