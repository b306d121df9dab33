"""Gathering: what an attempt has read of a large fleet, the next one does not read again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from drydock.aws.ssm import Agent
from drydock.errors import RunNotFoundError, ServiceUnavailableError
from drydock.plan.targets import Target
from drydock.run.gathering import PORTION, Gathering
from drydock.subject import Instance
from tests.unit.fakes import START

FOLDER = "facts/night/20260113T010000"
TARGETS: list[list[Target]] = [[{"key": "tag:Patch Group", "values": ["web"]}]]


def ident(number: int) -> str:
    return f"i-{number:017x}"


class Account:
    """So many instances with their agents, and a bucket."""

    def __init__(self, count: int, fails_after: int = 10**9) -> None:
        self.instances = [
            {
                "InstanceId": ident(number),
                "State": {"Name": "running"},
                "Tags": [{"Key": "Name", "Value": f"東京-{number}"}, {"Key": "Patch Group", "Value": "web"}],
                "LaunchTime": START,
                "NetworkInterfaces": [{"Attachment": {"AttachTime": START}}],
            }
            for number in range(count)
        ]
        self.fails_after = fails_after
        self.asked: list[int] = []
        """How many agents were asked for, each time."""
        self.described = 0
        self.objects: dict[str, str] = {}

    def describe_instances(self, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
        self.described += 1
        return self.instances

    def find_agents(self, instance_ids: Iterable[str]) -> dict[str, Agent]:
        ids = list(instance_ids)
        if len(self.asked) >= self.fails_after:
            raise ServiceUnavailableError("Rate exceeded")
        self.asked.append(len(ids))
        return {
            one: Agent(int(one[2:], 16) % 7 > 0, START, "Amazon Linux", "2023") for one in ids if int(one[2:], 16) % 5
        }

    def read_json(self, key: str) -> Any:
        if key not in self.objects:
            raise RunNotFoundError(key)
        return json.loads(self.objects[key])

    def write_json(self, key: str, value: Any) -> None:
        self.objects[key] = json.dumps(value)

    def gather(self, *, is_retry: bool = False) -> tuple[Any, dict[str, Agent]]:
        services: Any = SimpleNamespace(ec2=self, ssm=self, objects=self, resource_groups=None)
        gathering = Gathering(services, FOLDER, is_retry)
        found = gathering.find_machines(TARGETS)
        agents = gathering.find_agents(found.instances)
        return found, agents


def test_a_small_fleet_is_read_and_nothing_is_kept() -> None:
    account = Account(PORTION)

    found, agents = account.gather()

    assert len(found.instances) == PORTION
    assert len(agents) == PORTION * 4 // 5
    assert account.asked == [PORTION]
    assert account.objects == {}


def test_a_retry_goes_on_where_the_last_attempt_stopped() -> None:
    account, whole = Account(5 * PORTION + 1), Account(5 * PORTION + 1)
    account.fails_after = 3

    with pytest.raises(ServiceUnavailableError):
        account.gather()
    account.fails_after = 10**9
    resumed = account.gather(is_retry=True)

    assert resumed == whole.gather()
    # Instances once, and those whose tag's key might be misspelt; three portions of agents by each attempt.
    assert account.described == whole.described == 2
    assert account.asked == whole.asked == [PORTION] * 5 + [1]
    assert all(key.startswith(f"{FOLDER}/") for key in account.objects)


def test_an_attempt_that_died_before_it_kept_anything_costs_the_next_one_nothing() -> None:
    account = Account(2 * PORTION, fails_after=0)
    with pytest.raises(ServiceUnavailableError):
        account.gather()
    account.fails_after = 10**9
    account.objects.clear()

    found, agents = account.gather(is_retry=True)

    assert (len(found.instances), len(agents)) == (2 * PORTION, 2 * PORTION * 4 // 5)


def test_another_execution_of_the_same_name_reads_for_itself() -> None:
    run: Any = SimpleNamespace(run_id="night", started=START)
    later: Any = SimpleNamespace(run_id="night", started=datetime.fromisoformat("2027-01-13T01:00:00+00:00"))
    step: Any = SimpleNamespace(retry_count=1, subject=Instance(""))
    services: Any = SimpleNamespace()

    folders = {Gathering.of(services, one, step).folder for one in (run, later)}

    assert len(folders) == 2
    assert all(folder.startswith("facts/night/") for folder in folders)
