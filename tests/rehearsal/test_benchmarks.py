from __future__ import annotations

import re
from dataclasses import fields

import pytest

from benchmarks import account, waves
from benchmarks.cold import COLD_SECONDS
from benchmarks.flows import COLD, DRYDOCK, IMAGES, LINUX, LONG_IMAGES, RUNS, WINDOWS, Cost, Flow, measure
from benchmarks.rolls import DRYDOCK as DRYDOCK_ROLL
from benchmarks.rolls import IDLE, ON_EVIDENCE, ROLLS, STOCK, Roll, RollCost, measure_roll
from benchmarks.runs import RUNS as WHOLE_RUNS
from benchmarks.runs import measure_run
from benchmarks.tables import Row, Table, write_into
from drydock.run.report_page import DOLLARS_PER_MACHINE
from rehearsal.account import EmbeddedAccount
from rehearsal.play.outcomes.group import IDLE_GOAL
from rehearsal.proof.ends import JudgedEnds
from rehearsal.proof.promises import MOST_EVENTS
from rehearsal.world.fleet import MachineSpec
from tests.proved import proved
from tests.rules.project import ROOT

REPLACED = [run for run in RUNS if run[1] not in (DRYDOCK, COLD)]
PATCHED_BY = {flow.title: flow for flow in IMAGES}

_measured: dict[tuple[str, str], Cost] = {}


def once(kind: MachineSpec, flow: Flow) -> Cost:
    """What a flow takes, measured once for all tests."""
    key = (kind.name, flow.title)
    if key not in _measured:
        _measured[key] = measure(kind, flow)
    return _measured[key]


# The limits are a little above today's counts: whoever adds a state or a call to every run is to know.
@pytest.mark.parametrize(
    ("kind", "states", "service_calls", "table_calls", "write_units"),
    [(LINUX, 20, 50, 44, 115), (WINDOWS, 23, 53, 44, 105)],
    ids=["running Linux", "stopped Windows"],
)
def test_a_clean_run_stays_within_its_states_and_calls(
    kind: MachineSpec, states: int, service_calls: int, table_calls: int, write_units: int
) -> None:
    cost = once(kind, DRYDOCK)

    assert cost.is_success
    assert {run.power for run in cost.runs} == {kind.power}
    assert cost.average("transitions") <= states
    assert cost.average("service_calls") <= service_calls
    assert cost.average("table_calls") <= table_calls
    assert cost.average("write_units") <= write_units
    assert cost.average("idle") <= IDLE_GOAL.total_seconds()


def test_where_every_function_is_cold_a_machine_waits_for_them_and_nothing_else() -> None:
    warm, cold = once(LINUX, DRYDOCK), measure(LINUX, COLD)

    assert cold.is_success and cold.average("transitions") == warm.average("transitions")
    assert warm.average("idle") < cold.average("idle") <= warm.average("idle") + 12 * COLD_SECONDS


def test_nobody_waits_for_the_image_after_patching_and_no_image_takes_a_machine_out() -> None:
    after, both = (once(LONG_IMAGES, PATCHED_BY[title]) for title in ("after", "both"))

    # In minutes: those of a place with the look first, of images of five minutes, whatever that after patching takes.
    assert once(LINUX, DRYDOCK).average("duration") / 60 <= 22
    assert after.average("duration") <= once(LINUX, PATCHED_BY["after"]).average("duration") + 1
    assert both.average("out") <= once(LINUX, DRYDOCK).average("out") + 1


@pytest.mark.parametrize(
    ("kind", "flow"),
    [
        proved(kind, flow, id=f"{flow.title}, {kind.name}")
        for kind in (LINUX, LONG_IMAGES)
        for flow in IMAGES
        if (kind, flow.title) != (LINUX, "both")
    ],
)
def test_each_way_to_make_images_patches_its_machines(kind: MachineSpec, flow: Flow) -> None:
    cost = once(kind, flow)

    assert cost.is_success
    assert {run.power for run in cost.runs} == {"running"}


@pytest.mark.parametrize(("machines", "dollars"), [(10, 0.82), proved(100, 0.75)])
def test_a_machine_in_a_run_costs_what_is_said_of_it_by_all_that_is_billed(machines: int, dollars: float) -> None:
    cost = measure_run(WHOLE_RUNS[0], machines)

    assert cost.is_success
    assert cost.of_machine <= 24
    assert cost.bill.transitions <= 24 + 18 / machines
    assert 1000 * cost.bill.dollars <= dollars
    assert cost.bill.dollars == pytest.approx(DOLLARS_PER_MACHINE, rel=0.1)
    # All of it was counted.
    assert min(getattr(cost.bill, one.name) for one in fields(cost.bill)) > 0


@pytest.mark.parametrize(("kind", "flow"), REPLACED, ids=[f"{flow.title}, {kind.name}" for kind, flow in REPLACED])
def test_a_flow_that_drydock_replaces_patches_its_machines(kind: MachineSpec, flow: Flow) -> None:
    cost = measure(kind, flow)

    assert cost.is_success
    assert {run.power for run in cost.runs} == {"running"}


WARM = [roll for roll in ROLLS if roll is not STOCK and not roll.is_cold]


_rolled: dict[str, RollCost] = {}


def once_rolled(roll: Roll) -> RollCost:
    """What a roll takes, measured once for all tests."""
    if roll.title not in _rolled:
        _rolled[roll.title] = measure_roll(roll)
    return _rolled[roll.title]


@pytest.mark.parametrize("roll", WARM, ids=lambda roll: roll.title)
def test_a_member_of_a_group_is_out_of_service_for_no_other_reason_than_its_patching(roll: Roll) -> None:
    cost = once_rolled(roll)

    assert cost.is_success
    assert len(cost.outages) == 4
    assert max(outage.idle for outage in cost.outages) <= IDLE_GOAL
    assert (cost.most_out, cost.few_seconds) == (1, 0)
    # Today's counts: whoever adds a state to every member's turn is to know.
    assert cost.transitions <= 4 * (38 if roll is DRYDOCK_ROLL else 42)
    assert cost.of_member <= 29


@pytest.mark.parametrize("roll", [IDLE, ON_EVIDENCE], ids=lambda roll: roll.title)
def test_a_member_is_out_for_less_than_twenty_minutes_where_its_reboot_or_its_connections_take_none(roll: Roll) -> None:
    assert once_rolled(roll).average("length") / 60 <= 20


def test_what_is_more_than_twenty_minutes_by_default_is_nothing_of_drydocks_own() -> None:
    cost = once_rolled(DRYDOCK_ROLL)

    assert 20 < (cost.average("length") - cost.average("idle")) / 60 <= cost.average("length") / 60 <= 20.3


def test_the_stock_roll_patches_its_members_but_not_one_at_a_time() -> None:
    cost = measure_roll(STOCK)

    assert cost.is_success
    assert cost.few_seconds > 0
    assert min(outage.idle for outage in cost.outages) > IDLE_GOAL


def test_what_the_docs_say_of_waves_is_what_their_benchmark_finds() -> None:
    said = re.search(
        r"one wave takes (\d+) % longer .*? two waves (\d+) % and four (\d+) % .*? in any other order "
        r"(\d+), (\d+) and (\d+) %",
        " ".join((ROOT / "docs" / "running.md").read_text().split()),
    )

    found = [
        f"{waves.measure(count, longest_first=longest_first):.0%}"
        for longest_first in (True, False)
        for count in waves.WAVES
    ]
    assert said is not None
    assert [f"{percent}%" for percent in said.groups()] == found


def test_the_tables_of_the_page_are_those_that_programs_get() -> None:
    table = Table("machines", ("Drydock", "other"), (Row("minutes", (27.14, 22.0), 1), Row("ends", ("on", "off"))))
    page = "before\n<!-- machines -->\nold\n<!-- end -->\nafter\n"

    assert write_into(page, [table]) == (
        "before\n<!-- machines -->\n"
        "| | Drydock | other |\n| --- | ---: | ---: |\n| minutes | 27.1 | 22.0 |\n| ends | on | off |\n"
        "<!-- end -->\nafter\n"
    )
    assert table.to_json() == {"Drydock": {"minutes": 27.14, "ends": "on"}, "other": {"minutes": 22.0, "ends": "off"}}
    with pytest.raises(LookupError, match="0 places for the table machines"):
        write_into("nothing", [table])


def test_the_page_has_a_place_for_every_table() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    ours = ("machines", "images", "runs", "rolls", "prices", "cold_starts")
    for name in (*ours, "indexes", "planning", "report_page", "processor", "scale"):
        assert re.search(rf"<!-- {name} -->\n(\|.+\n)+<!-- end -->", text), f"python -m benchmarks --write: {name}"


@pytest.mark.prove
def test_a_large_run_takes_little_more_than_its_machines_and_every_execution_is_judged_as_it_ends() -> None:
    run = account.carry_out(120)

    assert run.broken == ()
    # Of each machine, the child of the Map and what it starts; and the run.
    assert run.judged == 2 * 120 + 1
    assert run.wave_minutes <= 1.03 * run.schedule_minutes
    assert run.most_events <= MOST_EVENTS
    assert run.largest_item <= 100_000


def test_an_execution_that_leaves_its_machine_in_another_power_is_found_when_it_ends() -> None:
    with EmbeddedAccount() as embedded, embedded.open_fleet() as fleet:
        embedded.deploy()
        ends = JudgedEnds(embedded, fleet)
        instance_id = fleet.add(MachineSpec("web", missing=("KB1",)))
        embedded.start_execution("PatchInstance", {"instanceId": instance_id})
        embedded.clock.call_later(1_200, fleet.machine(instance_id).stop)
        embedded.run_until_quiet()

    assert any("web: power found running, left stop" in broken for broken in ends.broken)


def test_the_longest_first_begins_as_soon_as_a_place_is_free() -> None:
    assert account.find_longest_first([1, 2, 3, 4, 5], 2) == 8
    assert account.find_longest_first([], 2) == 0
