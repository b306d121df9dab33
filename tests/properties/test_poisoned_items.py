"""Rubbish in the table, of any type in any place: what is well is served, and people hear of the rest every day."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from drydock.aws.table import Key
from drydock.errors import DrydockError
from drydock.records.holder import Holder
from drydock.records.leases import lease_key
from drydock.records.results import put_result
from drydock.records.runs import Place, open_run, place_key, put_place, run_key
from drydock.subject import Group, Instance
from tests.unit.fakes import START
from tests.unit.records.recorded import a_result
from tests.unit.world import ENVIRONMENT, HOLDER, INSTANCE, OTHER_EXECUTION, World, dynamodb, hold_as

SEED = int(os.environ.get("DRYDOCK_SEED", "14"))
EXAMPLES = int(os.environ.get("DRYDOCK_EXAMPLES", "200")) // 2
VICTIM = Instance("i-0fedcba9876543210")
OTHER = Holder(OTHER_EXECUTION, 0)
RUN = Holder(OTHER_EXECUTION.replace("PatchInstance", "MaintenanceRun"), 0)
GOOD_RUN = Holder(f"{RUN.execution}-good", 0)
ROLL = Holder(OTHER_EXECUTION.replace("PatchInstance", "RollGroup"), 0)

RUBBISH: tuple[dict[str, Any], ...] = (
    {"S": ""},
    {"S": "rubbish"},
    {"S": "0001-01-01T00:00:00+23:59"},
    {"S": "2026-01-13T01:00:00"},
    {"S": "arn:aws:states:ap-northeast-1:123456789012:execution:gone-PatchInstance:x"},
    {"S": "\ud7ff\0"},
    {"N": "-1"},
    {"N": "1E+125"},
    {"N": "0.5"},
    {"BOOL": True},
    {"NULL": True},
    {"L": []},
    {"L": [{"M": {}}]},
    {"M": {}},
    {"M": {"at": {"N": "7"}, "x": {"L": []}}},
    {"SS": ["a"]},
    {"NS": ["1"]},
    {"B": b"\xff"},
)
"""One of each type that DynamoDB has, and of what lies close by. `None` takes the attribute away."""

KEY = {"pk", "sk", "lookup"}


def items() -> dict[str, Key]:
    """What may be poisoned, by what it is."""
    return {
        "lease": lease_key(VICTIM),
        "lease of a group": lease_key(Group("web")),
        "run": run_key(RUN.name),
        "place": place_key(RUN.name, VICTIM),
        "result": a_result("failed", subject=VICTIM, holder=OTHER).key,
    }


def fill(world: World) -> None:
    """One of everything whose execution is over, beside a lease, a run and a result that are well."""
    for subject, holder in ((VICTIM, OTHER), (Group("web"), ROLL)):
        hold = hold_as(world.table, holder, subject)
        assert hold.take(START) is None
        hold.activate({"runId": RUN.name, "notify": "failures", "power": "running", "planned": []}, "tag")
    for run in (RUN, GOOD_RUN):
        open_run(world.table, run, START)
    put_place(world.table, RUN.name, Place(VICTIM, "web-1", execution=OTHER.execution, admitted=START), START)
    put_result(world.table, a_result("failed", subject=VICTIM, holder=OTHER))
    world.hold()
    put_result(world.table, a_result("failed"))
    for holder in (HOLDER, OTHER, ROLL, RUN, GOOD_RUN):
        world.executions.statuses[holder.execution] = "ABORTED"


def poison(key: Key, chance: random.Random) -> str:
    """Put rubbish in the place of an attribute, at the top or inside, or take it away; says what was done."""
    where = {"TableName": ENVIRONMENT.table}
    item = dynamodb().get_item(Key={name: {"S": value} for name, value in key.items()}, **where)["Item"]
    place: dict[str, Any] = item
    name = chance.choice(sorted(set(item) - KEY))
    while "M" in place[name] and place[name]["M"] and chance.random() < 0.7:
        place = place[name]["M"]
        name = chance.choice(sorted(place))
    before, rubbish = place.pop(name), chance.choice((None, *RUBBISH))
    if name == "schema" and rubbish is not None and "N" not in rubbish:
        # DynamoDB finds a number no smaller than a text, and refuses the write; moto cannot compare them at all.
        return poison(key, chance)
    if rubbish is not None:
        place[name] = rubbish
    try:
        dynamodb().put_item(Item=item, **where)
    except dynamodb().exceptions.ClientError:
        # Keys of an index hold text, as DynamoDB sees to itself.
        return poison(key, chance)
    return f"{key['pk']} {key['sk']} {name}: {before} -> {rubbish}"


def carry_out(world: World) -> list[str]:
    """Whatever was invoked, until nothing more is; returns what failed by an error that is none of Drydock's."""
    broken: list[str] = []
    for _ in range(60):
        if not world.clients.invoked:
            return broken
        function, event = world.clients.invoked.pop(0)
        try:
            world.run(function.removeprefix("drydock-"), event)
        except DrydockError:
            pass
        except Exception as error:
            broken.append(f"{function} {event}: {error!r}")
    return [*broken, "it never ends"]


def told(world: World) -> list[str]:
    return [message["Subject"] for message in world.clients.published]


@pytest.mark.parametrize("what", items())
def test_rubbish_in_any_attribute_of_an_item_keeps_no_other_from_being_served(
    world: World, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPROVAL_AUTH", "IAM")
    chance = random.Random(f"{SEED} {what}")
    for _ in range(EXAMPLES // 12):
        clear(world)
        fill(world)
        done = poison(items()[what], chance)
        world.clock.move(hours=1)
        broken: list[str] = []
        for _ in range(3):
            world.run("give_back", {})
            broken += carry_out(world)
            world.clock.move(minutes=10)

        said = f"seed {SEED}: {done}"
        assert broken == [], said
        assert world.lease is None, f"{said}: the machine that is well was not given back"
        assert any(INSTANCE in subject for subject in told(world)), f"{said}: its end was not told"
        good = world.table.get(run_key(GOOD_RUN.name))
        assert good is not None and "closed" in good, f"{said}: the run that is well was not closed"


def clear(world: World) -> None:
    """An empty account, at the beginning of its time."""
    dynamodb_backends[DEFAULT_ACCOUNT_ID][ENVIRONMENT.region].tables[ENVIRONMENT.table].items.clear()
    world.clients.invoked.clear()
    world.clients.published.clear()
    world.clock.at = START
