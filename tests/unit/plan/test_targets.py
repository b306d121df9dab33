"""Targets: which mistakes are named, and which machines are meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from drydock.aws.ec2 import Ec2, Instance, escape, tags_of
from drydock.aws.resource_groups import INSTANCE_TYPES, ResourceGroups
from drydock.aws.ssm import Agent, Ssm
from drydock.errors import AwsCallFailedError, InvalidInputError
from drydock.plan.targets import Resolved, Target, check_targets, resolve
from tests.unit.fakes import START

GROUP_ARN = "arn:aws:resource-groups:ap-northeast-1:123456789012:group/web"


def instance_id(number: int) -> str:
    return f"i-{number:017x}"


WEB, DATABASE, ODD = instance_id(1), instance_id(2), instance_id(3)
HYBRID = "mi-0123456789abcdef0"


def target(key: str, *values: str) -> Target:
    return {"key": key, "values": list(values)}


def matches(pattern: str, text: str) -> bool:
    """As EC2 compares: `*` and `?` are wildcards, a backslash makes them ordinary."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    compiled = "".join({"*": ".*", "?": "."}.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(compiled, text, re.DOTALL) is not None


class Account(Ec2):
    """Instances that are found by filters, as EC2 understands them."""

    def __init__(self) -> None:
        self.instances: dict[str, dict[str, Any]] = {}
        self.asked: list[dict[str, list[str]]] = []
        self.ignores_case = False

    def add(self, instance_id: str, tags: Mapping[str, str] | None = None, *, state: str = "running") -> None:
        listed = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
        self.instances[instance_id] = {"InstanceId": instance_id, "State": {"Name": state}, "Tags": listed}

    def describe_instances(self, filters: Mapping[str, Sequence[str]]) -> list[Instance]:
        self.asked.append({name: list(values) for name, values in filters.items()})
        assert sum(len(values) for values in filters.values()) <= 200
        return [
            instance
            for instance in self.instances.values()
            if all(self._passes(instance, name, values) for name, values in filters.items())
        ]

    def _passes(self, instance: Instance, name: str, values: Sequence[str]) -> bool:
        tags = tags_of(instance)
        found: Iterable[str]
        if name == "instance-id":
            found = [instance["InstanceId"]]
        elif name == "tag-key":
            found = list(tags)
        else:
            found = [tags[key] for key in tags if key == name.removeprefix("tag:")]
        fold = str.lower if self.ignores_case else str
        return any(matches(fold(value), fold(text)) for value in values for text in found)


class Groups(ResourceGroups):
    """Resource groups with the members that a test gives them."""

    def __init__(self, **members: list[tuple[str, str]]) -> None:
        self.members = members

    def list_instances(self, group: str, types: Sequence[str] = INSTANCE_TYPES) -> list[str]:
        if group not in self.members:
            raise InvalidInputError(f"resource group {group}: not found")
        return sorted(member for member, kind in self.members[group] if kind in types)


@pytest.fixture
def account() -> Account:
    account = Account()
    account.add(WEB, {"Patch Group": "web", "Name": "web-1", "Stage": "production"})
    account.add(DATABASE, {"Patch Group": "database", "Stage": "production"})
    account.add(ODD, {"Patch Group": "we*", "Note": ""})
    return account


def found(account: Account, *groups: Sequence[Target], resource_groups: Groups | None = None) -> Resolved:
    return resolve(account, resource_groups or Groups(), groups)


def ids(account: Account, *groups: Sequence[Target], resource_groups: Groups | None = None) -> list[str]:
    return list(found(account, *groups, resource_groups=resource_groups).instances)


# Checking


@pytest.mark.parametrize(
    "targets",
    [
        [target("tag:Patch Group", "web", "database")],
        [target("tag:Note", "")],
        [target("tag:aws:autoscaling:groupName", "web servers")],
        [target("tag:" + "k" * 128, "v" * 256)],
        [target("tag-key", "Patch Group", "PatchGroup")],
        [target("InstanceIds", WEB, "i-12345678", HYBRID)],
        [target("resource-groups:Name", "web")],
        [
            target("resource-groups:Name", GROUP_ARN),
            target("resource-groups:ResourceTypeFilters", "AWS::EC2::Instance"),
        ],
        [target("tag:Stage", *(f"{number}" for number in range(50)))] * 5,
    ],
    ids=lambda targets: str(targets)[:50],
)
def test_the_grammar_of_run_command_is_understood(targets: list[Target]) -> None:
    assert check_targets("input.targets", targets) == []


@pytest.mark.parametrize(
    ("targets", "mistake"),
    [
        (None, "t: None is not a list"),
        ({}, "t: {} is not a list"),
        ([], "t: needs 1 to 5 targets, not 0"),
        ([target("tag:Stage", "a")] * 6, "t: needs 1 to 5 targets, not 6"),
        (["web"], "t[0]: 'web' is not an object"),
        ([{}], "t[0].key: is required"),
        ([{"key": "tag:Stage"}], "t[0].values: is required"),
        ([{"key": "tag:Stage", "values": ["a"], "Values": []}], "t[0].Values: unknown; known are key, values"),
        (
            [target("Stage", "a")],
            "t[0].key: 'Stage' is not one of tag:<key>, tag-key, InstanceIds, resource-groups:Name",
        ),
        ([{"key": 5, "values": ["a"]}], "t[0].key: 5 is not one of"),
        ([{"key": ["tag:Stage"], "values": ["a"]}], "t[0].key: ['tag:Stage'] is not one of"),
        ([target("tag:", "a")], "t[0].key: '' is not a tag key"),
        ([target("tag:" + "k" * 129, "a")], "is not a tag key (1 to 128 characters)"),
        ([target("tag:Stage")], "t[0].values: needs at least one value"),
        ([{"key": "tag:Stage", "values": "a"}], "t[0].values: 'a' is not a list"),
        ([target("tag:Stage", *["a"] * 51)], "t[0].values: 51 are more than the 50 that are possible"),
        ([{"key": "tag:Stage", "values": [5]}], "t[0].values[0]: 5 is not a tag value"),
        ([target("tag:Stage", "v" * 257)], "is not a tag value"),
        ([target("tag-key", "")], "t[0].values[0]: '' is not a tag key"),
        ([target("InstanceIds", "*")], "t[0].values[0]: '*' is not an instance id"),
        ([target("InstanceIds", WEB, "web-1")], "t[0].values[1]: 'web-1' is not an instance id"),
        ([target("InstanceIds", "mi-12345678")], "t[0].values[0]"),
        ([target("resource-groups:Name", "web servers")], "t[0].values[0]: 'web servers' is not the name or ARN"),
        (
            [target("resource-groups:Name", "web"), target("resource-groups:ResourceTypeFilters", "EC2")],
            "t[1].values[0]: 'EC2' is not a resource type",
        ),
        (
            [target("resource-groups:ResourceTypeFilters", "AWS::EC2::Instance")],
            "t: resource-groups:ResourceTypeFilters needs resource-groups:Name beside it",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_mistake_is_named_with_its_place(targets: object, mistake: str) -> None:
    [named] = [said for said in check_targets("t", targets) if mistake in said]

    assert named.startswith("t")


def test_every_mistake_is_named_at_once() -> None:
    mistakes = check_targets("t", [{"key": "Stage", "values": []}, target("InstanceIds", "web", "db"), 5])

    assert [mistake.partition(":")[0] for mistake in mistakes] == [
        "t[0].key",
        "t[0].values",
        "t[1].values[0]",
        "t[1].values[1]",
        "t[2]",
    ]


# Resolving by tags


def test_one_of_the_values_is_enough(account: Account) -> None:
    assert ids(account, [target("tag:Patch Group", "web", "database")]) == [WEB, DATABASE]


def test_within_a_group_every_target_has_to_fit(account: Account) -> None:
    assert ids(account, [target("tag:Stage", "production"), target("tag:Patch Group", "web", "we*")]) == [WEB]


def test_groups_are_united_and_each_machine_is_found_once(account: Account) -> None:
    groups = [target("tag:Stage", "production")], [target("tag:Patch Group", "web")], [target("tag-key", "Note")]

    assert ids(account, *groups) == [WEB, DATABASE, ODD]


def test_no_groups_mean_no_machines(account: Account) -> None:
    assert found(account) == Resolved({}, [], [])
    assert account.asked == []


@pytest.mark.parametrize("value", ["we*", "we?", "*", r"we\*"])
def test_a_wildcard_is_an_ordinary_character(account: Account, value: str) -> None:
    assert ids(account, [target("tag:Patch Group", value)]) == ([ODD] if value == "we*" else [])


def test_tags_are_compared_letter_for_letter_even_if_ec2_should_not(account: Account) -> None:
    account.ignores_case = True

    assert ids(account, [target("tag:Patch Group", "WEB", "database")]) == [DATABASE]
    assert ids(account, [target("tag-key", "patch group")]) == []


def test_an_empty_value_means_a_tag_that_is_empty(account: Account) -> None:
    account.add(instance_id(4), {"Note": "to be kept"})

    assert ids(account, [target("tag:Note", "")]) == [ODD]
    assert account.asked[0] == {"tag-key": ["Note"]}


def test_a_tag_key_with_any_value_is_enough(account: Account) -> None:
    account.add(instance_id(4), {"PatchGroup": ""})

    assert ids(account, [target("tag-key", "PatchGroup", "Note")]) == [ODD, instance_id(4)]


def test_the_name_of_an_auto_scaling_group_is_a_tag_like_any_other(account: Account) -> None:
    account.add(instance_id(4), {"aws:autoscaling:groupName": "web"})

    assert ids(account, [target("tag:aws:autoscaling:groupName", "web")]) == [instance_id(4)]


def test_more_values_than_one_call_takes_are_compared_here(account: Account) -> None:
    tags = {f"Key{number}": "49" for number in range(5)}
    account.add(instance_id(4), tags)
    account.add(instance_id(5), {**tags, "Key4": "x"})
    many = [target(key, *(str(number) for number in range(50))) for key in (f"tag:{name}" for name in tags)]

    assert ids(account, many) == [instance_id(4)]
    assert list(account.asked[0]) == ["tag:Key0", "tag:Key1", "tag:Key2", "tag:Key3"]


def test_two_targets_with_one_key_both_have_to_fit(account: Account) -> None:
    assert ids(account, [target("tag:Patch Group", "web", "database"), target("tag:Patch Group", "web")]) == [WEB]


def test_the_machines_come_in_the_order_of_their_ids_however_ec2_lists_them(account: Account) -> None:
    account.instances = dict(reversed(account.instances.items()))

    assert ids(account, [target("tag-key", "Patch Group")]) == [WEB, DATABASE, ODD]


def test_a_machine_that_is_gone_is_left_out_with_the_reason(account: Account) -> None:
    account.add(instance_id(4), {"Patch Group": "web", "Name": "web-2"}, state="terminated")
    account.add(instance_id(5), {"Patch Group": "web"}, state="shutting-down")

    resolved = found(account, [target("tag:Patch Group", "web")])

    assert list(resolved.instances) == [WEB]
    assert resolved.left_out == [
        {
            "instanceId": instance_id(4),
            "name": "web-2",
            "error": "InstanceNotFoundError",
            "reason": f"{instance_id(4)}: is terminated",
        },
        {
            "instanceId": instance_id(5),
            "name": "",
            "error": "InstanceNotFoundError",
            "reason": f"{instance_id(5)}: is shutting-down",
        },
    ]


# Resolving by id and by resource group


def test_ids_are_asked_for_so_that_an_unknown_one_spoils_nothing(account: Account) -> None:
    resolved = found(account, [target("InstanceIds", DATABASE, instance_id(9), WEB)])

    assert list(resolved.instances) == [WEB, DATABASE]
    assert account.asked == [{"instance-id": [WEB, DATABASE, instance_id(9)]}]
    assert [(left["instanceId"], left["error"], left["reason"]) for left in resolved.left_out] == [
        (instance_id(9), "InstanceNotFoundError", f"{instance_id(9)}: EC2 knows no such instance here")
    ]


def test_many_ids_are_asked_for_in_as_many_calls_as_it_takes(account: Account) -> None:
    wanted = [instance_id(number) for number in range(1000, 1450)]
    for one in wanted:
        account.add(one)

    assert ids(account, [target("InstanceIds", *wanted)]) == wanted
    assert [len(asked["instance-id"]) for asked in account.asked] == [200, 200, 50]


def test_a_hybrid_node_is_left_out_and_ec2_is_not_asked_for_it(account: Account) -> None:
    resolved = found(account, [target("InstanceIds", HYBRID)])

    assert (resolved.instances, account.asked) == ({}, [])
    [left] = resolved.left_out
    assert (left["instanceId"], left["error"]) == (HYBRID, "InstanceNotPatchableError")
    assert "hybrid node" in left["reason"]


def test_an_id_and_a_tag_both_have_to_fit(account: Account) -> None:
    assert ids(account, [target("InstanceIds", WEB, DATABASE), target("tag:Patch Group", "web")]) == [WEB]


def test_the_members_of_a_resource_group_are_found(account: Account) -> None:
    groups = Groups(web=[(WEB, "AWS::EC2::Instance"), (HYBRID, "AWS::SSM::ManagedInstance")])

    resolved = found(account, [target("resource-groups:Name", "web")], resource_groups=groups)

    assert list(resolved.instances) == [WEB]
    assert [left["instanceId"] for left in resolved.left_out] == [HYBRID]


def test_resource_types_narrow_a_resource_group_down(account: Account) -> None:
    groups = Groups(web=[(WEB, "AWS::EC2::Instance"), (DATABASE, "AWS::SSM::ManagedInstance")])

    def with_types(*types: str) -> list[str]:
        named = [target("resource-groups:Name", "web"), target("resource-groups:ResourceTypeFilters", *types)]
        return ids(account, named, resource_groups=groups)

    assert with_types("AWS::EC2::INSTANCE", "AWS::EC2::VPC") == [WEB]
    assert with_types("AWS::EC2::Instance", "AWS::SSM::ManagedInstance") == [WEB, DATABASE]
    assert with_types("AWS::RDS::DBInstance") == []


def test_members_of_several_resource_groups_are_united_and_those_with_ids_intersected(account: Account) -> None:
    groups = Groups(web=[(WEB, "AWS::EC2::Instance")], database=[(DATABASE, "AWS::EC2::Instance")])
    both = target("resource-groups:Name", "web", "database")

    assert ids(account, [both], resource_groups=groups) == [WEB, DATABASE]
    assert ids(account, [both, target("InstanceIds", WEB, ODD)], resource_groups=groups) == [WEB]


def test_an_unknown_resource_group_is_an_error_that_names_it(account: Account) -> None:
    with pytest.raises(InvalidInputError, match="resource group ghosts"):
        found(account, [target("resource-groups:Name", "ghosts")])


# The calls


def paging(pages: Sequence[Mapping[str, Any]], asked: list[dict[str, Any]]) -> Any:
    """A call that answers with one page after another."""

    def answer(**request: Any) -> dict[str, Any]:
        asked.append(request)
        number = int(request.get("NextToken", 0))
        token = {"NextToken": str(number + 1)} if number + 1 < len(pages) else {}
        return {**pages[number], **token}

    return answer


def refusing(code: str) -> Any:
    def refuse(**request: Any) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "said AWS"}}, "Call")

    return refuse


def test_a_value_is_escaped_so_that_ec2_takes_it_as_it_is() -> None:
    assert escape(r"*amazon?\ ") == r"\*amazon\?\\ "


def test_instances_are_read_from_every_page(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    pages: list[dict[str, Any]] = [
        {"Reservations": [{"Instances": [{"InstanceId": WEB}, {"InstanceId": DATABASE}]}]},
        {"Reservations": []},
        {"Reservations": [{"Instances": []}, {"Instances": [{"InstanceId": ODD}]}]},
    ]
    client = SimpleNamespace(describe_instances=paging(pages, asked))
    monkeypatch.setattr("drydock.aws.ec2.client", lambda service: client)

    instances = Ec2().describe_instances({"tag:Stage": ("a", "b")})

    assert [instance["InstanceId"] for instance in instances] == [WEB, DATABASE, ODD]
    assert asked[2] == {
        "Filters": [{"Name": "tag:Stage", "Values": ["a", "b"]}],
        "MaxResults": 1000,
        "NextToken": "2",
    }


def ssm_with(monkeypatch: pytest.MonkeyPatch, describe: Any) -> Ssm:
    client = SimpleNamespace(describe_instance_information=describe)
    monkeypatch.setattr("drydock.aws.ssm.client", lambda service, attempts=4: client)
    return Ssm()


def information(instance_id: str, ping_status: str = "Online") -> dict[str, Any]:
    return {"InstanceId": instance_id, "PingStatus": ping_status, "LastPingDateTime": START}


def test_agents_are_asked_for_fifty_at_a_time_and_read_from_every_page(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def describe(**request: Any) -> dict[str, Any]:
        assert request["MaxResults"] == 50
        [condition] = request["Filters"]
        if "NextToken" not in request:
            asked.append(condition["Values"])
            return {"InstanceInformationList": [information(condition["Values"][0])], "NextToken": "more"}
        return {"InstanceInformationList": [information(condition["Values"][-1], "ConnectionLost")]}

    wanted = [instance_id(number) for number in range(101)]
    agents = ssm_with(monkeypatch, describe).find_agents([*wanted, wanted[0]])

    assert [len(values) for values in asked] == [50, 50, 1]
    assert sorted(agents) == [wanted[0], wanted[49], wanted[50], wanted[99], wanted[100]]
    assert (agents[wanted[0]], agents[wanted[49]]) == (Agent(True, START), Agent(False, START))


def test_an_id_that_systems_manager_refuses_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def describe(**request: Any) -> dict[str, Any]:
        values = request["Filters"][0]["Values"]
        if ODD in values:
            refusing("InvalidInstanceId")()
        return {"InstanceInformationList": [information(value) for value in values]}

    assert sorted(ssm_with(monkeypatch, describe).find_agents([WEB, ODD])) == [WEB]


def test_nobody_is_asked_for_no_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ssm_with(monkeypatch, refusing("AccessDenied")).find_agents([]) == {}


def groups_with(monkeypatch: pytest.MonkeyPatch, list_group_resources: Any) -> ResourceGroups:
    client = SimpleNamespace(list_group_resources=list_group_resources)
    monkeypatch.setattr("drydock.aws.resource_groups.client", lambda service: client)
    return ResourceGroups()


def member(arn: str, kind: str) -> dict[str, Any]:
    return {"Identifier": {"ResourceArn": f"arn:aws:{arn}", "ResourceType": kind}}


def test_the_machines_of_a_resource_group_are_read_from_every_page(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    pages = [
        {"Resources": [member(f"ec2:ap-northeast-1:123456789012:instance/{DATABASE}", "AWS::EC2::Instance")]},
        {
            "Resources": [
                member(f"ec2:ap-northeast-1:123456789012:instance/{WEB}", "AWS::EC2::Instance"),
                member("ec2:ap-northeast-1:123456789012:vpc/vpc-1", "AWS::EC2::VPC"),
                member(f"ssm:ap-northeast-1:123456789012:managed-instance/{WEB}", "AWS::SSM::ManagedInstance"),
            ]
        },
    ]
    groups = groups_with(monkeypatch, paging(pages, asked))

    assert groups.list_instances(GROUP_ARN) == [WEB, DATABASE]
    assert asked == [{"Group": GROUP_ARN}, {"Group": GROUP_ARN, "NextToken": "1"}]


def test_only_members_of_the_types_that_are_asked_for_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    resources = [member(f"ec2:::instance/{WEB}", "AWS::EC2::Instance")]
    groups = groups_with(monkeypatch, paging([{"Resources": resources}], []))

    assert groups.list_instances("web", ["AWS::EC2::INSTANCE"]) == [WEB]
    assert groups.list_instances("web", ["AWS::SSM::ManagedInstance"]) == []


@pytest.mark.parametrize("code", ["NotFoundException", "BadRequestException"])
def test_a_resource_group_that_cannot_be_listed_is_named(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    with pytest.raises(InvalidInputError, match="resource group ghosts: said AWS"):
        groups_with(monkeypatch, refusing(code)).list_instances("ghosts")


def test_a_resource_group_that_may_not_be_read_is_not_taken_for_an_unknown_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AwsCallFailedError, match="ForbiddenException"):
        groups_with(monkeypatch, refusing("ForbiddenException")).list_instances("web")


def test_a_resource_group_whose_query_fails_is_not_taken_for_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = {"ErrorCode": "CLOUDFORMATION_STACK_NOT_EXISTING", "Message": "gone"}
    groups = groups_with(monkeypatch, paging([{"Resources": [], "QueryErrors": [problem]}], []))

    with pytest.raises(InvalidInputError, match=r"resource group web: .*CLOUDFORMATION_STACK_NOT_EXISTING: gone"):
        groups.list_instances("web")
