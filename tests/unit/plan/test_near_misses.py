"""Near misses: what somebody mistyped, what is another name, and what EC2 is asked for."""

from __future__ import annotations

import pytest

from drydock.plan.near_misses import find_near_tag, is_near, spellings
from drydock.plan.targets import resolve
from tests.unit.plan.test_targets import ODD, WEB, Account, Groups, instance_id, matches, target


@pytest.mark.parametrize(
    ("meant", "written"),
    [
        ("ON", "On"),
        ("ON", " on "),
        ("WinUpdate", "winupdate"),
        ("WinUpdate", "Win-Update"),
        ("Patch Group", "PatchGroup"),
        ("Patch Group", "patch_group"),
        ("WinUpdate", "WinUpdat"),
        ("WinUpdate", "WinUpdates"),
        ("WinUpdate", "WinUdpate"),
        ("WinUpdate", "WimUpdate"),
        ("production", "prodution"),
        ("production-eu-1", "prodcution-eu-1"),
        ("web-1", "WEB 1"),
        ("ストレージ更新窓口", "ストレジ更新窓口"),
    ],
)
def test_what_was_mistyped_is_near(meant: str, written: str) -> None:
    assert is_near(meant, written) and is_near(written, meant)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ON", "OFF"),
        ("ON", "NO"),
        ("ON", ""),
        ("", " x"),
        ("web", "wed"),
        ("prod", "prods"),
        ("web-1", "web-2"),
        ("web-1", "web-11"),
        ("host-1-1", "host-11"),
        ("cluster01", "cluster02"),
        ("cluster", "cluster2"),
        ("server-a", "server-b"),
        ("serverA", "serverB"),
        ("frontend", "backend"),
        ("internal", "external"),
        ("enabled", "disabled"),
        ("production", "preproduction"),
        ("release-2026-01", "release-2026-10"),
        ("WinUpdate", "LinUpdate"),
    ],
)
def test_what_is_another_name_is_not_near(one: str, other: str) -> None:
    assert not is_near(one, other) and not is_near(other, one)


@pytest.mark.parametrize("word", ["ON", "WinUpdate", "Patch Group", "production-eu-1", "a*b?c", "x" * 256, "-", ""])
def test_ec2_is_asked_for_other_words_only_and_never_for_too_many(word: str) -> None:
    found = spellings([word], 150)

    assert len(found) <= 150 and len(set(found)) == len(found)
    assert not {"", "?", "*"} & set(found)
    assert word == "" or not any(pattern.strip("?") == "" for pattern in found)


@pytest.mark.parametrize("written", ["On", " ON", "WinUpdat", "WinUpdates", "WinUdpate", "WimUpdate", "WIN-UPDATE"])
def test_what_is_near_is_asked_for(written: str) -> None:
    meant = "ON" if len(written) < 5 else "WinUpdate" if "-" not in written else "Win Update"

    assert any(matches(pattern, written) for pattern in spellings([meant], 200))


def test_a_machine_is_named_with_its_tag_and_the_fleet_is_read_once() -> None:
    account = Account()
    account.add(WEB, {"WinUpdate": "ON"})
    account.add(ODD, {"WinUpdate": "On", "Name": "odd"})
    account.add(instance_id(4), {"WinUpdates": "ON"})
    account.add(instance_id(5), {"WinUpdate": "OFF"})
    account.add(instance_id(6), {"WinUpdate": "On"}, state="terminated")

    found = resolve(account, Groups(), [[target("tag:WinUpdate", "ON")]])

    assert list(found.instances) == [WEB]
    assert found.near_misses == [
        f"odd ({ODD}) has the tag WinUpdate = On",
        f"{instance_id(4)} has the tag WinUpdates = ON",
    ]
    # Once by the value, and once for what has another key: the target's machines come once.
    assert len(account.asked) == 2


def test_a_machine_that_another_condition_keeps_out_is_no_near_miss() -> None:
    account = Account()
    account.add(WEB, {"WinUpdate": "On", "Stage": "test"})
    account.add(ODD, {"WinUpdate": "ON"})

    by_tag = resolve(account, Groups(), [[target("tag:WinUpdate", "ON"), target("tag:Stage", "production")]])
    by_key = resolve(account, Groups(), [[target("tag:WinUpdate", "ON"), target("tag-key", "Backup")]])
    by_id = resolve(account, Groups(), [[target("tag:WinUpdate", "ON"), target("InstanceIds", WEB)]])

    assert not by_tag.near_misses and not by_key.near_misses
    assert by_id.near_misses == [f"{WEB} has the tag WinUpdate = On"]


def test_the_tag_itself_comes_before_what_is_near_it() -> None:
    assert find_near_tag({"winupdate": "on", "WinUpdate": "ON"}, "WinUpdate", ["ON"]) == "WinUpdate = ON"
    assert find_near_tag({"WinUpdate": "OFF"}, "WinUpdate", ["ON"]) == ""
