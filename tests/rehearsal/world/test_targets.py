"""Finding machines: EC2's filters and pages, Systems Manager's nodes, and resource groups."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.account import EmbeddedAccount
from rehearsal.world.fleet import Fleet, MachineSpec
from tests.rehearsal.conftest import ENGINE_PROJECT


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """A fleet of seven machines in an account without a stack."""
    with EmbeddedAccount(project=ENGINE_PROJECT) as account, account.open_fleet() as opened:
        for name, stage in (("web-1", "prod"), ("web-2", "prod"), ("db-1", "prod"), ("web-3", "test")):
            opened.add(MachineSpec(name=name, tags={"Stage": stage}))
        opened.add(MachineSpec(name="old*name", power="stopped"))
        opened.add(MachineSpec(name="oldXname", tags={"Stage": ""}))
        opened.add(MachineSpec(name="bare", managed=False))
        yield opened


def id_of(fleet: Fleet, name: str) -> str:
    return next(machine.instance_id for machine in fleet.machines if machine.name == name)


def names(answer: dict[str, Any]) -> list[str]:
    return [
        tag["Value"]
        for reservation in answer["Reservations"]
        for instance in reservation["Instances"]
        for tag in instance["Tags"]
        if tag["Key"] == "Name"
    ]


def find(fleet: Fleet, *conditions: tuple[str, list[str]], **more: Any) -> list[str]:
    filters = [{"Name": name, "Values": values} for name, values in conditions]
    return names(fleet.account.client("ec2").describe_instances(Filters=filters, **more))


def refusal(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("tag:Stage", ["prod"], ["web-1", "web-2", "db-1"]),
        ("tag:Stage", ["p*", "te?t"], ["web-1", "web-2", "db-1", "web-3"]),
        ("tag:Stage", ["PROD"], []),
        ("tag:Stage", [""], ["oldXname"]),
        ("tag:Stage", ["*"], ["web-1", "web-2", "db-1", "web-3", "oldXname"]),
        ("tag:Name", ["old*name"], ["old*name", "oldXname"]),
        ("tag:Name", [r"old\*name"], ["old*name"]),
        ("tag:Name", ["web-[12]"], []),
        ("tag-key", ["Sta*"], ["web-1", "web-2", "db-1", "web-3", "oldXname"]),
        ("instance-state-name", ["stop*"], ["old*name"]),
        ("instance-state-name", ["stopped", "terminated"], ["old*name"]),
    ],
)
def test_a_filter_matches_any_of_its_values_with_wildcards_and_case(
    fleet: Fleet, name: str, values: list[str], found: list[str]
) -> None:
    assert find(fleet, (name, values)) == found


def test_filters_must_all_match(fleet: Fleet) -> None:
    assert find(fleet, ("tag:Stage", ["prod"]), ("tag:Name", ["web*"])) == ["web-1", "web-2"]


def test_instances_are_found_by_id_and_by_part_of_an_id(fleet: Fleet) -> None:
    instance_id = id_of(fleet, "db-1")
    assert find(fleet, ("instance-id", [instance_id])) == ["db-1"]
    assert find(fleet, ("instance-id", [f"{instance_id[:-2]}*"])) == ["db-1"]


def test_more_than_two_hundred_values_are_refused(fleet: Fleet) -> None:
    ask = fleet.account.client("ec2").describe_instances
    many = [{"Name": "instance-id", "Values": [f"i-{number:017x}" for number in range(201)]}]
    assert refusal(ask, Filters=many) == "FilterLimitExceeded"


def test_pages_have_the_size_that_was_asked_for(fleet: Fleet) -> None:
    ec2 = fleet.account.client("ec2")
    first = ec2.describe_instances(MaxResults=5)
    second = ec2.describe_instances(MaxResults=5, NextToken=first["NextToken"])
    assert [len(names(first)), len(names(second))] == [5, 2]
    assert "NextToken" not in second
    assert len({*names(first), *names(second)}) == 7


def test_a_size_of_page_is_refused_together_with_ids_and_outside_its_limits(fleet: Fleet) -> None:
    ask = fleet.account.client("ec2").describe_instances
    assert refusal(ask, MaxResults=5, InstanceIds=[id_of(fleet, "db-1")]) == "InvalidParameterCombination"
    assert refusal(ask, MaxResults=4) == "InvalidParameterValue"
    assert refusal(ask, MaxResults=1001) == "InvalidParameterValue"


def test_thousands_of_machines_are_found_quickly_on_several_pages(fleet: Fleet) -> None:
    for number in range(3000):
        fleet.add(MachineSpec(name=f"many-{number}", tags={"Stage": "many"}))
    pages = fleet.account.client("ec2").get_paginator("describe_instances")
    began = time.perf_counter()
    found = [names(page) for page in pages.paginate(Filters=[{"Name": "tag:Stage", "Values": ["many"]}])]
    assert [len(page) for page in found] == [1000, 1000, 1000]
    assert time.perf_counter() - began < 10


def test_nodes_come_ten_at_a_time_unless_more_are_asked_for(fleet: Fleet) -> None:
    ssm = fleet.account.client("ssm")
    for number in range(60):
        fleet.add(MachineSpec(name=f"node-{number}"))
    pages = ssm.get_paginator("describe_instance_information")
    assert [len(page["InstanceInformationList"]) for page in pages.paginate()] == [10] * 6 + [5]
    sizes = [len(page["InstanceInformationList"]) for page in pages.paginate(MaxResults=50)]
    assert sizes == [50, 15]
    assert refusal(ssm.describe_instance_information, MaxResults=51) == "ValidationException"


def test_stopped_and_unmanaged_and_terminated_instances_are_no_nodes(fleet: Fleet) -> None:
    ask = fleet.account.client("ssm").describe_instance_information
    fleet.terminate_behind_the_back(id_of(fleet, "db-1"))
    fleet.account.run_until_quiet()
    found = {node["ComputerName"] for node in ask()["InstanceInformationList"]}
    assert found == {"web-1", "web-2", "web-3", "oldXname"}


def test_nodes_are_found_by_id_or_by_tag_but_not_by_both(fleet: Fleet) -> None:
    ask = fleet.account.client("ssm").describe_instance_information
    by_id = {"Key": "InstanceIds", "Values": [id_of(fleet, "web-1"), id_of(fleet, "old*name")]}
    by_tag = {"Key": "tag:Stage", "Values": ["test"]}
    assert [node["ComputerName"] for node in ask(Filters=[by_id])["InstanceInformationList"]] == ["web-1"]
    assert [node["ComputerName"] for node in ask(Filters=[by_tag])["InstanceInformationList"]] == ["web-3"]
    assert refusal(ask, Filters=[by_id, by_tag]) == "InvalidInstanceInformationFilterValue"


def test_a_group_by_tags_holds_what_has_all_of_them_now(fleet: Fleet) -> None:
    arn = fleet.add_resource_group("prod-web", tags={"Stage": ["prod", "live"], "Name": ["web-1", "web-2", "web-3"]})
    client = fleet.account.client("resource-groups")
    fleet.tags(id_of(fleet, "web-3"))["Stage"] = "live"
    fleet.tags(id_of(fleet, "web-2"))["Stage"] = "none"
    expected = [f"arn:aws:ec2:ap-northeast-1:123456789012:instance/{id_of(fleet, name)}" for name in ("web-1", "web-3")]
    for group in ("prod-web", arn):
        answer = client.list_group_resources(Group=group)
        assert [item["Identifier"]["ResourceArn"] for item in answer["Resources"]] == expected
        assert [item["ResourceArn"] for item in answer["ResourceIdentifiers"]] == expected
        assert {item["Identifier"]["ResourceType"] for item in answer["Resources"]} == {"AWS::EC2::Instance"}


def test_a_tag_without_values_stands_for_any_value(fleet: Fleet) -> None:
    fleet.add_resource_group("staged", tags={"Stage": []})
    members = fleet.account.client("resource-groups").list_group_resources(Group="staged")["Resources"]
    assert len(members) == 5


def test_a_group_may_list_instances_that_are_long_gone(fleet: Fleet) -> None:
    fleet.add_resource_group("listed", ids=[id_of(fleet, "web-1"), "i-0123456789abcdef0"])
    members = fleet.account.client("resource-groups").list_group_resources(Group="listed")["Resources"]
    assert members[1]["Identifier"]["ResourceArn"].endswith("instance/i-0123456789abcdef0")
    assert refusal(fleet.account.client("resource-groups").get_group_query, Group="listed") == "BadRequestException"


def test_members_of_a_group_come_in_pages_and_by_type(fleet: Fleet) -> None:
    for number in range(120):
        fleet.add(MachineSpec(name=f"member-{number}", tags={"Stage": "many"}))
    fleet.add_resource_group("many", tags={"Stage": "many"})
    client = fleet.account.client("resource-groups")
    filters = [{"Name": "resource-type", "Values": ["AWS::EC2::Instance"]}]
    pages = list(client.get_paginator("list_group_resources").paginate(Group="many", Filters=filters))
    assert [len(page["Resources"]) for page in pages] == [50, 50, 20]
    buckets = [{"Name": "resource-type", "Values": ["AWS::S3::Bucket"]}]
    assert refusal(client.list_group_resources, Group="many", Filters=buckets) == "BadRequestException"


def test_groups_are_described_with_their_query(fleet: Fleet) -> None:
    arn = fleet.add_resource_group("test", tags={"Stage": "test"})
    client = fleet.account.client("resource-groups")
    assert client.get_group(Group="test")["Group"] == {"GroupArn": arn, "Name": "test"}
    query = client.get_group_query(Group=arn)["GroupQuery"]["ResourceQuery"]
    assert query["Type"] == "TAG_FILTERS_1_0"
    assert json.loads(query["Query"]) == {
        "ResourceTypeFilters": ["AWS::EC2::Instance"],
        "TagFilters": [{"Key": "Stage", "Values": ["test"]}],
    }
    assert [group["GroupName"] for group in client.list_groups()["GroupIdentifiers"]] == ["test"]


def test_an_unknown_group_is_not_found(fleet: Fleet) -> None:
    client = fleet.account.client("resource-groups")
    elsewhere = "arn:aws:resource-groups:us-east-1:123456789012:group/test"
    fleet.add_resource_group("test", tags={"Stage": "test"})
    fleet.add_resource_group("gone", tags={"Stage": "test"})
    fleet.resource_groups.remove("gone")
    for group in ("nobody", "gone", elsewhere):
        assert refusal(client.list_group_resources, Group=group) == "NotFoundException"
        assert refusal(client.get_group, Group=group) == "NotFoundException"
