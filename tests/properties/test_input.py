"""Whatever an execution and the account's settings say: it is valid and holds, or each mistake is named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as generated
from hypothesis import strategies as st

from drydock.aws.table import Table
from drydock.errors import InstanceNotPatchableError, InstanceNotRunningError, InvalidInputError, InvalidPolicyError
from drydock.records.leases import ACTIVE, Lease, find_lease
from drydock.records.runs import Place, place_key
from drydock.request.instance import read_request
from drydock.subject import Instance
from tests.properties.generators import (
    INPUT,
    INSTANCE_IDS,
    POLICY,
    SETTINGS,
    Kind,
    Path,
    Request,
    broken_requests,
    effective,
    leaves,
    put,
    sentences,
    valid_requests,
)
from tests.unit.fakes import START, agent
from tests.unit.world import EXECUTION, INSTANCE, World

EXAMPLES = int(os.environ.get("DRYDOCK_EXAMPLES", "200"))
"""How many broken requests are generated, and half as many valid ones. `make prove` generates more."""


KEYS: dict[Path, Kind] = {**INPUT, **{("policy", *path): kind for path, kind in POLICY.items()}}


def examples(most: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=most,
        derandomize="DRYDOCK_EXAMPLES" not in os.environ,
        deadline=None,
        database=None,
        suppress_health_check=[
            HealthCheck.filter_too_much,
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
        ],
    )


class UntouchableTable:
    """A table that nobody may even look at, except for the run that an input names: it says whose settings hold."""

    def get(self, key: Mapping[str, str]) -> None:
        assert key["pk"].startswith("RUN#"), f"the table was touched: {key}"

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the table was touched: {name}")


def admit(world: World, request: Request) -> dict[str, Any]:
    world.ssm.parameters[SETTINGS] = request.settings
    admitted: dict[str, Any] = world.run("admit_instance", world.event("Admit Instance", given=request.given))
    return admitted


def new_world(world: World, table: Any, **more: Any) -> World:
    """An account in which nothing has happened yet, with every machine that an input may name."""
    fresh = World(world.clients, table)
    for instance_id in INSTANCE_IDS:
        fresh.ec2.add(instance_id, **more)
        fresh.ssm.agents[instance_id] = agent(START)
    return fresh


def end_lease(table: Table, lease: Lease) -> None:
    table.delete({"pk": f"INSTANCE#{lease.instance_id}", "sk": "LEASE"}, "attribute_exists(pk)", {}, {})


@examples(EXAMPLES)
@generated(request=broken_requests())
def test_a_broken_request_is_refused_with_every_mistake_named_and_nothing_touched(
    world: World, request: Request
) -> None:
    fresh = new_world(world, UntouchableTable())

    with pytest.raises((InvalidInputError, InvalidPolicyError)) as refused:
        admit(fresh, request)

    assert sentences(str(refused.value), request) == request.mistakes
    assert refused.type is (
        InvalidInputError if any(mistake.startswith("input") for mistake in request.mistakes) else InvalidPolicyError
    )
    assert (fresh.ec2.faults.made, fresh.ssm.faults.made) == ([], ["parameter"])
    assert world.clients.faults.made == []


@examples(EXAMPLES // 2)
@generated(request=valid_requests(), power=st.sampled_from(["running", "stopped"]), windows=st.booleans())
def test_a_valid_request_is_admitted_under_the_policy_it_asks_for_or_refused_for_the_machine_alone(
    world: World, request: Request, power: str, windows: bool
) -> None:
    fresh = new_world(world, world.table, **({"Platform": "windows"} if windows else {}))
    instance_id = request.given["instanceId"]
    fresh.ec2.set_state(instance_id, power)
    policy = effective(request)
    must_not_run = policy["operation",] == "Scan" and power == "stopped" and not policy["startForScan",]
    cannot_update = policy["document",] == "AWS-InstallWindowsUpdates" and not windows

    if must_not_run or cannot_update:
        with pytest.raises((InstanceNotPatchableError, InstanceNotRunningError)):
            admit(fresh, request)
        assert find_lease(fresh.table, Instance(instance_id)) is None
        assert "set_tags" not in fresh.ec2.faults.made
        return
    if run_id := request.given.get("runId"):
        place = Place(Instance(instance_id), "web-1", execution=EXECUTION, admitted=START)
        fresh.table.put_many([{**place_key(run_id, place.subject), **place.to_item()}])
    admitted = admit(fresh, request)

    assert leaves(admitted["policy"]) == policy
    assert admitted["machine"]["runId"] == request.given.get("runId", "")
    assert (
        admitted["machine"]["snapshotId"] == request.given.get("snapshotId", admitted["machine"]["snapshotId"]).lower()
    )
    lease = find_lease(fresh.table, Instance(instance_id))
    assert lease is not None
    assert (lease.phase, lease.journal["power"]) == (ACTIVE, power)
    end_lease(fresh.table, lease)


def alone(path: Path, value: Any) -> Request:
    """A request in which nothing is said but this."""
    given: dict[str, Any] = {"instanceId": INSTANCE}
    put(given, path, value)
    return Request(given, "{}")


def test_what_lies_just_outside_is_refused_for_every_key_and_every_element(world: World) -> None:
    fresh = new_world(world, UntouchableTable())
    cases = [(path, value, "") for path, kind in KEYS.items() for value in kind.wrong]
    for path, kind in KEYS.items():
        if kind.item is not None:
            good = list(kind.item.extreme[:2])
            cases += [(path, [*good, value], f"[{len(good)}]") for value in kind.item.wrong]

    for path, value, element in cases:
        name = ".".join(path if path[0] == "policy" else ("input", *path)) + element
        with pytest.raises((InvalidInputError, InvalidPolicyError)) as refused:
            admit(fresh, alone(path, value))
            pytest.fail(f"{name}: {value!r} was admitted")
        assert str(refused.value).startswith(f"{name}: ")


def test_what_lies_just_inside_is_valid_for_every_key_and_every_element() -> None:
    for path, kind in KEYS.items():
        for value in (*kind.extreme, *([each] for each in (kind.item.extreme if kind.item else ()))):
            request = alone(path, value)
            assert read_request(request.given, request.settings, SETTINGS, "an execution").instance_id, path


@pytest.mark.parametrize(
    "given",
    [[], [{"instanceId": INSTANCE}], INSTANCE, "", 7, 0.5, True, None],
    ids=["list", "list of an input", "id", "empty text", "number", "fraction", "true", "null"],
)
def test_an_input_that_is_no_object_is_refused(world: World, given: Any) -> None:
    fresh = new_world(world, UntouchableTable())

    with pytest.raises(InvalidInputError, match=r"^input: .* is not an object$"):
        admit(fresh, Request(given, "{}"))

    assert fresh.ec2.faults.made == []


DEPTHS = (10, 100, 500, *range(850, 1010, 3), 2000, 4000)
"""Around the limit of the interpreter, and on both sides of it."""


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"hooks":', "}")], ids=["lists", "objects"])
def test_settings_however_deep_are_refused_by_name(world: World, opening: str, closing: str) -> None:
    fresh = new_world(world, UntouchableTable())

    for depth in DEPTHS:
        with pytest.raises(InvalidPolicyError, match=f"^{SETTINGS}: "):
            admit(fresh, Request({"instanceId": INSTANCE}, opening * depth + "1" + closing * depth))


def test_an_input_however_deep_is_refused_by_name(world: World) -> None:
    fresh = new_world(world, UntouchableTable())

    value: Any = 1
    for depth in range(1, DEPTHS[-1]):
        value = [value]
        if depth in DEPTHS:
            with pytest.raises(InvalidInputError, match=r"^input\.runId: "):
                admit(fresh, Request({"instanceId": INSTANCE, "runId": value}, "{}"))


LARGEST_CAUSE = 32_768
"""What Step Functions takes of a cause; the event and the message for people carry it as well."""


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (Request({"instanceId": INSTANCE, "runId": "x" * 250_000}, "{}"), "input.runId"),
        (Request({"instanceId": INSTANCE, "x" * 250_000: 1}, "{}"), "input.xxx"),
        (Request({"instanceId": INSTANCE, "policy": {"failOn": ["no"] * 40_000}}, "{}"), "policy.failOn[0]"),
        (Request({"instanceId": INSTANCE, "policy": {f"k{i}": i for i in range(20_000)}}, "{}"), "policy.k0"),
        (Request({"instanceId": INSTANCE}, json.dumps({"notify": "x" * 8_000})), f"{SETTINGS}: policy.notify"),
        (Request([1] * 100_000, "{}"), "input"),
    ],
    ids=["value", "key", "list", "keys", "settings", "input"],
)
def test_a_huge_request_is_refused_in_words_that_can_be_passed_on(world: World, request_: Request, path: str) -> None:
    fresh = new_world(world, UntouchableTable())

    with pytest.raises((InvalidInputError, InvalidPolicyError)) as refused:
        admit(fresh, request_)

    assert str(refused.value).startswith(path)
    assert len(str(refused.value)) <= LARGEST_CAUSE
