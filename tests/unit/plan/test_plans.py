"""Plans: who is left out, how long the others take, in which order and waves, and what will not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drydock.aws.ec2 import Instance
from drydock.errors import InvalidPolicyError
from drydock.plan.estimates import Estimate, Estimates
from drydock.plan.plans import (
    Candidate,
    DraftWave,
    Plan,
    Turn,
    at_another_time,
    candidate,
    count_machines,
    count_planned,
    gather_groups,
    in_order,
    left_out,
    make_waves,
    members_of,
    plan_hash,
    planned_machines,
    planned_waves,
    predict,
    slots_of,
    was_not_attempted,
    wave_items,
)
from drydock.plan.targets import LeftOut
from drydock.records.history import History
from drydock.request.policy import DEFAULTS, Policy
from drydock.subject import Group, read_subject
from tests.unit.fakes import START, agent
from tests.unit.world import EXECUTION, OTHER_EXECUTION, SNAPSHOT, merge

MINUTE = timedelta(minutes=1)
END = START + timedelta(hours=3)


def instance_id(number: int) -> str:
    return f"i-{number:017x}"


def policy(**above: Any) -> Policy:
    return cast(Policy, merge(deepcopy(DEFAULTS), above))


def instance(
    number: int = 1, *, state: str = "running", tags: Mapping[str, str] | None = None, **more: Any
) -> Instance:
    listed = [{"Key": key, "Value": value} for key, value in {"Name": f"web-{number}", **(tags or {})}.items()]
    return {"InstanceId": instance_id(number), "State": {"Name": state}, "Tags": listed, **more}


def history(*seconds: int, number: int = 1, platform: str = "Linux", group: str = "web", **more: Any) -> History:
    facts: dict[str, Any] = {"done": START - timedelta(days=30), "done_by": EXECUTION, **more}
    return History(
        instance_id=instance_id(number), platform=platform, patch_group=group, seconds=tuple(seconds), **facts
    )


def machine(number: int, *, seconds: int = 600, name: str | None = None, late: bool = False, **tags: str) -> Candidate:
    return Candidate(
        subject=read_subject(instance_id(number)),
        name=f"web-{number:05}" if name is None else name,
        platform="Linux",
        patch_group="web",
        power="running",
        managed="yes",
        tags=tags,
        estimate=Estimate(seconds, "guess"),
        not_attempted=late,
    )


def numbers(machines: Sequence[Candidate]) -> list[int]:
    return [int(machine.subject.key.removeprefix("i-"), 16) for machine in machines]


def waves_of(machines: Sequence[Candidate], rules: Policy, *, with_canary: bool = True) -> list[tuple[bool, list[int]]]:
    waves, _ = make_waves(in_order(machines)[0], rules, with_canary=with_canary)
    return [(wave.is_canary, numbers(wave.machines)) for wave in waves]


def members(*seconds: int, group: str = "web", **tags: str) -> list[Candidate]:
    """Members of a group that take so long."""
    labels = {"aws:autoscaling:groupName": group, **tags}
    return [replace(machine(number, seconds=each), tags=labels) for number, each in enumerate(seconds, 1)]


# Who is left out


def why_left_out(found: Instance, rules: Policy = DEFAULTS, **more: Any) -> LeftOut | None:
    facts: dict[str, Any] = {
        "agent": agent(START),
        "held_by": "",
        "history": None,
        "since": START,
        "guard_tag": "",
        "stack": "drydock",
        **more,
    }
    return left_out(found, rules, **facts)


@pytest.mark.parametrize(
    "found",
    [
        instance(),
        instance(tags={"aws:autoscaling:groupName": "web"}),
        instance(state="stopped"),
        instance(state="pending"),
        instance(state="stopping"),
        instance(Platform="windows"),
    ],
    ids=["running", "member", "stopped", "pending", "stopping", "windows"],
)
def test_an_ordinary_machine_is_planned(found: Instance) -> None:
    assert why_left_out(found) is None


@pytest.mark.parametrize("state", ["stopped", "pending", "stopping"])
def test_a_machine_that_does_not_run_is_planned_although_nobody_reaches_its_agent(state: str) -> None:
    assert why_left_out(instance(state=state), agent=None) is None


@pytest.mark.parametrize(
    ("found", "rules", "error", "reason"),
    [
        (instance(state="terminated"), {}, "InstanceNotFoundError", "is terminated"),
        (instance(tags={"DrydockExclude": "until May"}), {}, "InstanceExcludedError", "says: until May"),
        (
            instance(state="stopped", tags={"aws:autoscaling:groupName": "web"}),
            {},
            "InstanceInGroupError",
            "stopped member of Auto Scaling group web",
        ),
        (instance(RootDeviceType="instance-store"), {}, "InstanceNotPatchableError", "instance store"),
        (instance(state="stopped"), {"operation": "Scan"}, "InstanceNotRunningError", "startForScan"),
        (instance(state="stopping"), {"operation": "Scan"}, "InstanceNotRunningError", "is stopped"),
        (
            instance(state="pending"),
            {"document": "AWS-InstallWindowsUpdates"},
            "InstanceNotPatchableError",
            "the instance runs Linux",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_admission_would_refuse_is_left_out(
    found: Instance, rules: Mapping[str, Any], error: str, reason: str
) -> None:
    left = why_left_out(found, policy(**rules))

    assert left is not None
    assert (left["instanceId"], left["name"], left["error"]) == (instance_id(1), "web-1", error)
    assert reason in left["reason"]


@pytest.mark.parametrize("reached", [None, agent(START, online=False)], ids=["unknown", "offline"])
def test_a_running_machine_that_nobody_manages_is_left_out(reached: object) -> None:
    left = why_left_out(instance(), agent=reached)

    assert left is not None
    assert left["error"] == "InstanceUnmanagedError"
    assert "is running, and Systems Manager does not reach it" in left["reason"]


def test_a_machine_without_the_guard_tag_is_left_out() -> None:
    left = why_left_out(instance(), guard_tag="Rehearse")

    assert left is not None
    assert left["error"] == "InstanceNotPatchableError"
    assert left["reason"].endswith("this stack changes only instances with the tag Rehearse = true")
    assert why_left_out(instance(tags={"Rehearse": "true"}), guard_tag="Rehearse") is None


def test_a_machine_that_another_stack_has_in_work_is_left_out() -> None:
    tags = {"DrydockState": "InProgress", "DrydockStack": "night"}

    left = why_left_out(instance(tags=tags))

    assert left is not None
    assert left["error"] == "InstanceOfOtherStackError"
    assert left["reason"].endswith("stack night has it in work, as its tags say")
    assert why_left_out(instance(tags=tags), stack="night") is None
    assert why_left_out(instance(tags={**tags, "DrydockState": "Completed"})) is None


def test_a_machine_in_work_is_left_out_by_that_alone() -> None:
    found = instance(state="stopped", tags={"DrydockExclude": ""})
    left = why_left_out(found, policy(operation="Scan"), held_by="night-2", agent=None)

    assert left is not None
    assert (left["error"], left["reason"]) == ("InstanceBusyError", f"{instance_id(1)}: night-2 works on it")


def test_a_machine_that_was_done_since_the_run_began_is_left_out() -> None:
    done = history(600, done=START, done_by=OTHER_EXECUTION)
    left = why_left_out(instance(), history=done)

    assert left is not None
    assert left["error"] == "InstanceDoneError"
    assert left["reason"] == f"{instance_id(1)}: night-2 did the same at 2026-01-13 01:00 UTC"


def test_a_machine_that_was_done_before_the_run_began_is_planned() -> None:
    assert why_left_out(instance(), history=history(600, done=START - MINUTE)) is None


# What is known of it


def estimates(known: Mapping[str, History] | None = None) -> Estimates:
    return Estimates(known or {}, DEFAULTS, timedelta(hours=4))


@pytest.mark.parametrize(
    ("found", "reached", "managed"),
    [
        (instance(), True, "yes"),
        (instance(), False, "unknown"),
        (instance(state="pending"), True, "unknown"),
        (instance(state="stopped"), False, "unknown"),
    ],
    ids=["running", "unreached", "pending", "stopped"],
)
def test_whether_a_machine_is_managed_is_known_only_of_one_that_runs(
    found: Instance, reached: bool, managed: str
) -> None:
    made = candidate(found, agent(START) if reached else None, estimates(), False)

    assert made.managed == managed


@pytest.mark.parametrize("key", ["Patch Group", "PatchGroup"])
def test_a_candidate_knows_what_its_place_in_the_plan_depends_on(key: str) -> None:
    found = instance(Platform="windows", tags={key: "web", "DrydockOrder": "7"})

    made = candidate(found, None, estimates({instance_id(1): history(900)}), True)

    assert (made.subject.key, made.name, made.platform, made.patch_group) == (instance_id(1), "web-1", "Windows", "web")
    assert (made.power, made.estimate) == ("running", Estimate(900, "own history", 1))
    assert (made.order, made.not_attempted) == (7, True)


# In which order


def test_the_order_is_by_tag_then_by_name_then_by_id() -> None:
    machines = [
        machine(5),
        machine(4, name="a"),
        machine(3, name="a"),
        machine(2, DrydockOrder="10"),
        machine(1, DrydockOrder="9"),
        machine(6, DrydockOrder="010"),
    ]

    ordered, warnings = in_order(machines)

    assert numbers(ordered) == [1, 2, 6, 3, 4, 5]
    assert warnings == []


def test_those_whose_turn_did_not_come_are_first() -> None:
    machines = [machine(1, DrydockOrder="0"), machine(2, late=True), machine(3, late=True, DrydockOrder="5")]

    assert numbers(in_order(machines)[0]) == [3, 2, 1]


@pytest.mark.parametrize("value", ["", "first", "-1", "1000", "1.5", " 1", "1\n", "\u0661"])
def test_an_order_that_says_nothing_sensible_comes_last_with_a_warning(value: str) -> None:
    machines = [machine(1, name="a", DrydockOrder=value), machine(2, name="b", DrydockOrder="999")]

    ordered, [warning] = in_order(machines)

    assert numbers(ordered) == [2, 1]
    assert warning.startswith("tag DrydockOrder is not a whole number from 0 to 999, so these come last: a (i-0000")
    assert warning.endswith(repr(value))


def test_many_wrong_orders_make_one_short_warning() -> None:
    _, [warning] = in_order([machine(number, name="", DrydockOrder="x" * 256) for number in range(1010)])

    assert warning.endswith("and 1,000 more")
    assert len(warning) < 2000


@pytest.mark.parametrize(
    ("at", "done", "expected"),
    [
        (None, None, False),
        (START, None, True),
        (START, history(done=START - MINUTE), True),
        (START, history(done=START + MINUTE), False),
    ],
    ids=["never left over", "never done", "left over since", "done since"],
)
def test_a_machine_is_first_until_it_has_been_done(at: datetime | None, done: History | None, expected: bool) -> None:
    assert was_not_attempted(at, done) is expected


# Numbers and shares


@pytest.mark.parametrize(
    ("text", "total", "at_least", "expected"),
    [
        ("10", 50, 1, 10),
        (10, 50, 1, 10),
        ("10%", 50, 0, 5),
        ("10%", 9, 0, 0),
        ("10%", 9, 1, 1),
        ("33%", 10, 0, 3),
        ("100%", 7, 1, 7),
        ("0", 7, 0, 0),
        ("0%", 7, 0, 0),
        ("5", 0, 1, 5),
    ],
)
def test_a_share_is_rounded_down(text: str | int, total: int, at_least: int, expected: int) -> None:
    assert slots_of(text, total, at_least) == expected


# Waves


def test_without_further_wishes_there_is_one_wave() -> None:
    assert waves_of([machine(2), machine(1)], policy()) == [(False, [1, 2])]


def test_nothing_to_do_makes_no_waves() -> None:
    rules = policy(canary={"count": "1", "tag": "Canary"})

    assert make_waves([], rules) == ([], [])


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("2", [[1, 2], [3, 4], [5]]),
        (2, [[1, 2], [3, 4], [5]]),
        ("50%", [[1, 2], [3, 4], [5]]),
        ("1%", [[1], [2], [3], [4], [5]]),
    ],
)
def test_waves_have_the_size_of_the_policy(size: str | int, expected: list[list[int]]) -> None:
    machines = [machine(number) for number in range(1, 6)]

    assert [wave for _, wave in waves_of(machines, policy(waveSize=size))] == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [("1", [1]), (2, [1, 2]), ("50%", [1, 2]), ("1%", [1]), ("100%", [1, 2, 3, 4]), ("9", [1, 2, 3, 4])],
)
def test_the_canary_is_as_many_as_the_policy_says_and_at_least_one(count: str | int, expected: list[int]) -> None:
    waves = waves_of([machine(number) for number in range(1, 5)], policy(canary={"count": count}))

    rest = [number for number in range(1, 5) if number not in expected]
    assert waves == [(True, expected), *([(False, rest)] if rest else [])]


@pytest.mark.parametrize("count", ["0", 0, "0%"])
def test_no_canary_is_asked_for_with_none(count: str | int) -> None:
    assert waves_of([machine(1)], policy(canary={"count": count})) == [(False, [1])]


@pytest.mark.parametrize("tag", ["Canary", "Canary=yes"])
def test_the_canary_is_those_with_the_tag(tag: str) -> None:
    machines = [machine(1, Canary="no"), machine(2, Canary="yes"), machine(3)]

    expected = [1, 2] if tag == "Canary" else [2]
    [canary, rest] = waves_of(machines, policy(canary={"tag": tag}))
    assert (canary, rest) == ((True, expected), (False, [number for number in (1, 2, 3) if number not in expected]))


def test_a_tags_value_may_be_empty_or_hold_an_equals_sign() -> None:
    machines = [machine(1, Canary=""), machine(2, Canary="a=b")]

    assert waves_of(machines, policy(canary={"tag": "Canary="}))[0] == (True, [1])
    assert waves_of(machines, policy(canary={"tag": "Canary=a=b"}))[0] == (True, [2])


def test_a_canary_by_tag_is_filled_up_to_its_count() -> None:
    machines = [machine(1), machine(2), machine(3, Canary="yes"), machine(4)]

    assert waves_of(machines, policy(canary={"tag": "Canary", "count": "2"})) == [(True, [1, 3]), (False, [2, 4])]


def test_a_canary_tag_that_no_machine_has_is_warned_of() -> None:
    waves, warnings = make_waves([machine(1)], policy(canary={"tag": "Canary=yes"}))

    assert [wave.is_canary for wave in waves] == [False]
    assert warnings == ["policy.canary.tag: no planned machine has the tag Canary=yes"]


def test_a_run_that_goes_on_needs_no_new_canary() -> None:
    rules = policy(canary={"count": "1", "tag": "Canary"})

    assert make_waves([machine(1), machine(2)], rules, with_canary=False) == (
        [DraftWave((machine(1), machine(2)), is_canary=False)],
        [],
    )


def test_machines_of_different_orders_never_share_a_wave() -> None:
    machines = [
        machine(1, DrydockOrder="1"),
        machine(2, DrydockOrder="1"),
        machine(3, DrydockOrder="1"),
        machine(4, DrydockOrder="2"),
        machine(5),
    ]

    assert waves_of(machines, policy(waveSize="2")) == [(False, [1, 2]), (False, [3]), (False, [4]), (False, [5])]


def test_a_canary_of_several_orders_takes_several_waves_before_all_others() -> None:
    machines = [
        machine(1, DrydockOrder="1"),
        machine(2, DrydockOrder="1", Canary=""),
        machine(3, DrydockOrder="2", Canary=""),
        machine(4, DrydockOrder="2"),
    ]

    assert waves_of(machines, policy(canary={"tag": "Canary"})) == [
        (True, [2]),
        (True, [3]),
        (False, [1]),
        (False, [4]),
    ]


def test_those_whose_turn_did_not_come_share_a_wave_with_others_of_their_order() -> None:
    assert waves_of([machine(1), machine(2, late=True)], policy()) == [(False, [2, 1])]


def test_too_many_waves_are_refused_with_what_to_raise() -> None:
    machines = [machine(number) for number in range(101)]

    with pytest.raises(InvalidPolicyError, match=r"policy.waveSize: '1' makes 101 waves of 101 .* the 100 .*raise"):
        make_waves(machines, policy(waveSize="1"))
    assert len(make_waves(machines[:100], policy(waveSize="1"))[0]) == 100


# Properties of orders, waves and times

repeatable = settings(max_examples=200, derandomize=True, deadline=None, database=None)

orders = st.sampled_from(["", "0", "1", "2", "500", "999", "x", None])


@st.composite
def fleets(draw: st.DrawFn) -> list[Candidate]:
    machines = []
    for number in range(draw(st.integers(0, 25))):
        order = draw(orders)
        tags = {} if order is None else {"DrydockOrder": order}
        if draw(st.integers(0, 4)) == 0:
            tags["Canary"] = draw(st.sampled_from(["", "yes"]))
        seconds = draw(st.integers(1, 7200))
        name = draw(st.sampled_from(["a", "b", ""]))
        machines.append(machine(number, seconds=seconds, name=name, late=draw(st.booleans()), **tags))
    return draw(st.permutations(machines))


numbers_or_shares = st.integers(1, 30) | st.sampled_from(["1", "7", "1%", "20%", "50%", "100%"])
policies = st.builds(
    lambda size, count, tag: policy(waveSize=size, canary={"count": count, "tag": tag}),
    numbers_or_shares,
    st.sampled_from(["0", "0%"]) | numbers_or_shares,
    st.sampled_from(["", "", "Canary", "Canary=yes"]),
)


@repeatable
@given(fleets(), policies, st.booleans())
def test_every_machine_is_in_exactly_one_wave_and_orders_are_kept(
    machines: list[Candidate], rules: Policy, with_canary: bool
) -> None:
    ordered, _ = in_order(machines)
    waves, _ = make_waves(ordered, rules, with_canary=with_canary)

    planned = [one.subject.key for wave in waves for one in wave.machines]
    assert sorted(planned) == sorted(one.subject.key for one in machines)
    assert all(wave.machines for wave in waves)
    size = slots_of(rules["waveSize"], len(machines), 1)
    assert all(len(wave.machines) <= size for wave in waves if not wave.is_canary)
    assert all(len({one.order for one in wave.machines}) == 1 for wave in waves)
    kinds = [wave.is_canary for wave in waves]
    assert kinds == sorted(kinds, reverse=True)
    place = {one.subject: number for number, one in enumerate(ordered)}
    for canary in (True, False):
        places = [place[one.subject] for wave in waves if wave.is_canary is canary for one in wave.machines]
        assert places == sorted(places)


@repeatable
@given(fleets(), st.randoms())
def test_the_order_does_not_depend_on_how_the_machines_were_found(machines: list[Candidate], random: Any) -> None:
    shuffled = list(machines)
    random.shuffle(shuffled)

    assert in_order(shuffled) == in_order(machines)


@repeatable
@given(
    fleets(),
    policies,
    st.integers(1, 8),
    st.integers(0, 90),
    st.none() | st.integers(0, 600),
    st.none() | st.integers(0, 600),
)
def test_no_more_machines_than_allowed_are_in_work_and_none_that_fits_breaks_a_deadline(
    machines: list[Candidate], rules: Policy, concurrency: int, soak: int, end: int | None, last: int | None
) -> None:
    waves, _ = make_waves(in_order(machines)[0], rules)
    ends = None if end is None else START + end * MINUTE
    admits = None if last is None else START + last * MINUTE

    schedule = predict(waves, START, concurrency, soak * MINUTE, ends, admits)

    fitting = {key: turn for key, turn in schedule.turns.items() if turn.fits}
    assert set(schedule.turns) == {one.subject for one in machines}
    for turn in fitting.values():
        beside = [other for other in fitting.values() if other.starts <= turn.starts < other.ends]
        assert len(beside) <= concurrency
        assert ends is None or turn.ends <= ends
        assert admits is None or turn.starts < admits
    assert schedule.predicted_end == max((turn.ends for turn in fitting.values()), default=START)
    over = START
    for wave in waves:
        assert all(schedule.turns[one.subject].starts >= over for one in wave.machines)
        over = max([over, *(fitting[one.subject].ends for one in wave.machines if one.subject in fitting)])


# Times


def minutes(
    waves: Sequence[DraftWave], concurrency: int = 1, soak: int = 0, **limits: int
) -> list[tuple[float, float, bool]]:
    """Start, end and fit of each machine, in minutes from the start."""
    end, last = (START + limits[name] * MINUTE if name in limits else None for name in ("end", "last"))
    schedule = predict(waves, START, concurrency, soak * MINUTE, end, last)
    return [
        ((turn.starts - START) / MINUTE, (turn.ends - START) / MINUTE, turn.fits) for turn in schedule.turns.values()
    ]


def wave(*seconds: int, first: int = 1, canary: bool = False) -> DraftWave:
    machines = tuple(machine(first + number, seconds=one * 60) for number, one in enumerate(seconds))
    return DraftWave(machines, is_canary=canary)


def test_a_machine_takes_the_slot_that_is_free_first() -> None:
    assert minutes([wave(10, 30, 20, 5)], concurrency=2) == [
        (0, 10, True),
        (0, 30, True),
        (10, 30, True),
        (30, 35, True),
    ]


def test_a_wave_begins_when_the_last_machine_of_the_one_before_is_done() -> None:
    assert minutes([wave(10, 30), wave(5, first=3)], concurrency=9) == [(0, 10, True), (0, 30, True), (30, 35, True)]


def test_there_is_one_soak_after_the_last_wave_of_the_canary() -> None:
    waves = [wave(10, canary=True), wave(10, first=2, canary=True), wave(10, first=3), wave(10, first=4)]

    assert [starts for starts, _, _ in minutes(waves, soak=60)] == [0, 10, 80, 90]


def test_after_a_canary_that_is_all_there_is_nothing_soaks() -> None:
    schedule = predict([wave(10, canary=True)], START, 1, 60 * MINUTE, None, None)

    assert schedule.predicted_end == START + 10 * MINUTE


def test_a_machine_that_would_not_be_done_in_time_is_passed_over_for_one_that_is() -> None:
    assert minutes([wave(30, 40, 20)], end=60) == [(0, 30, True), (30, 70, False), (30, 50, True)]


def test_a_machine_that_is_done_exactly_at_the_end_fits() -> None:
    assert minutes([wave(60)], end=60) == [(0, 60, True)]


def test_nothing_starts_at_the_last_admission_or_after_it() -> None:
    assert minutes([wave(30, 10)], end=90, last=30) == [(0, 30, True), (30, 40, False)]


def test_the_predicted_end_counts_only_what_fits() -> None:
    assert predict([wave(30, 90)], START, 2, MINUTE, START + 60 * MINUTE, None).predicted_end == START + 30 * MINUTE
    assert predict([wave(90)], START, 2, MINUTE, START + 60 * MINUTE, None).predicted_end == START


# The plan


def make_plan(rules: Policy | None = None, start: datetime = START, run_id: str = "night-1") -> Plan:
    rules = rules or policy(canary={"count": "1"}, soakMinutes=30, maxConcurrency="50%")
    machines = [machine(number, seconds=1800, DrydockOrder=str(number % 2)) for number in range(1, 9)]
    waves, warnings = make_waves(in_order(machines)[0], rules)
    schedule = predict(waves, start, 4, timedelta(minutes=rules["soakMinutes"]), END, END - MINUTE)
    return {
        "schema": 1,
        "runId": run_id,
        "createdAt": "2026-01-13T01:00:00.000Z",
        "operation": rules["operation"],
        "policy": rules,
        "snapshotId": SNAPSHOT,
        "window": {
            "windowId": "mw-0123456789abcdef0",
            "executionId": SNAPSHOT,
            "name": "second-tuesday",
            "start": "2026-01-13T01:00:00.000Z",
            "end": "2026-01-13T04:00:00.000Z",
        },
        "targets": [{"key": "tag:Patch Group", "values": ["web"]}],
        "targetGroups": [[{"key": "tag:Patch Group", "values": ["web"]}]],
        "follows": "",
        "resumes": "",
        "end": "2026-01-13T04:00:00.000Z",
        "lastAdmission": "2026-01-13T03:59:00.000Z",
        "predictedEnd": "2026-01-13T03:00:00.000Z",
        "machines": planned_machines(waves, schedule, 1),
        "waves": planned_waves(run_id, waves),
        "guesses": [],
        "leftOut": [{"instanceId": instance_id(9), "name": "", "error": "InstanceBusyError", "reason": "busy"}],
        "warnings": warnings,
        "tooLong": [],
    }


def test_the_plan_lists_the_machines_as_they_are_worked_on() -> None:
    waves = [wave(30, canary=True), wave(10, 40, first=2)]
    schedule = predict(waves, START, 1, 15 * MINUTE, START + 90 * MINUTE, None)

    machines = planned_machines(waves, schedule, 1)

    assert machines[0] == {
        "kind": "instance",
        "instanceId": instance_id(1),
        "name": "web-00001",
        "platform": "Linux",
        "patchGroup": "web",
        "power": "running",
        "managed": "yes",
        "order": None,
        "wave": 0,
        "seconds": 1800,
        "basis": "guess",
        "samples": 0,
        "startsAt": "2026-01-13T01:00:00.000Z",
        "endsAt": "2026-01-13T01:30:00.000Z",
        "fits": True,
    }
    assert [(one["instanceId"], one["wave"], one["startsAt"][11:16], one["fits"]) for one in machines] == [
        (instance_id(1), 0, "01:00", True),
        (instance_id(2), 1, "01:45", True),
        (instance_id(3), 1, "01:55", False),
    ]


def test_a_group_takes_as_long_as_its_members_one_batch_after_another() -> None:
    (one_by_one,) = gather_groups(members(600, 900, 300), DEFAULTS)
    (in_pairs,) = gather_groups(members(600, 900, 300), policy(batch=2))
    (scanned,) = gather_groups(members(600, 900, 300), policy(operation="Scan"))

    # What members took has draining and standby in it.
    around, once = 120, 30 + 30
    assert one_by_one.seconds == 600 + 900 + 300 + 3 * around + once
    assert in_pairs.seconds == 900 + 600 + 2 * around + once
    assert scanned.seconds == 600 + 900 + 300


def test_a_group_begins_when_one_batch_fits_and_holds_its_place_for_the_batches_that_do() -> None:
    (group,) = gather_groups(members(600, 600, 600), DEFAULTS)
    draft = [DraftWave((group,), is_canary=False)]
    turn, once = 600 + 120, 30 + 30

    def schedule(seconds: int) -> Turn:
        return predict(draft, START, 1, MINUTE, START + timedelta(seconds=seconds), None).turns[group.subject]

    assert (schedule(once + turn - 1).fits, schedule(once + turn - 1).batches) == (False, 0)
    assert (schedule(once + 2 * turn).fits, schedule(once + 2 * turn).batches) == (True, 2)
    assert schedule(once + 2 * turn + 1).ends == START + timedelta(seconds=once + 2 * turn)
    assert schedule(once + 3 * turn).batches == 3


def test_the_members_of_each_group_are_one_in_the_plan_and_other_machines_stay_as_they_are() -> None:
    alone = machine(9)

    gathered = gather_groups([*members(60), alone, *members(60, 60, group="app farm/1")], DEFAULTS)

    assert [one.subject for one in gathered] == [alone.subject, Group("web"), Group("app farm/1")]
    assert [one.label for one in gathered[1:]] == ["group web", "group app farm/1"]
    assert count_machines(gathered) == 4


def test_the_lowest_order_of_its_members_is_that_of_a_group() -> None:
    first, second = members(60, DrydockOrder="7") + members(60, DrydockOrder="3")
    third = members(60, DrydockOrder="soon")[0]

    (group,) = gather_groups([first, second, third], DEFAULTS)
    _, warnings = in_order([group])

    assert group.order == 3
    assert "web-00001" in warnings[0]


def test_a_group_is_the_canary_when_one_of_its_members_has_the_tag() -> None:
    (group,) = gather_groups([*members(60), *members(60, Stage="canary")], DEFAULTS)
    waves, _ = make_waves(in_order([group, machine(9)])[0], policy(canary={"tag": "Stage=canary"}))

    assert [(wave.is_canary, wave.count) for wave in waves] == [(True, 2), (False, 1)]


def test_an_entry_of_a_group_names_its_members_and_so_does_the_item_of_its_wave() -> None:
    (group,) = gather_groups(members(60, 60), DEFAULTS)
    waves = [DraftWave((group, machine(9)), is_canary=False)]
    planned = planned_machines(waves, predict(waves, START, 1, timedelta(), None, None), 1)
    plan = cast(Plan, {"machines": planned})

    item, other = wave_items(plan, 0)

    assert planned[0]["groupName"] == "web"
    assert [member["name"] for member in members_of(planned[0])] == ["web-00001", "web-00002"]
    assert count_planned(plan) == 3
    assert item["only"] == [instance_id(1), instance_id(2)]
    assert (item["kind"], item["groupName"], item["instanceId"]) == ("group", "web", "group/web")
    assert (item["seconds"], item["turnSeconds"], item["afterSeconds"]) == (30 + 180 + 30, 180, 30)
    assert other == {
        "instanceId": instance_id(9),
        "name": "web-00009",
        "seconds": 600,
        "pace": "Linux, guess",
        "basis": "a guess",
    }


def test_a_plan_of_an_older_drydock_is_about_instances() -> None:
    waves = [wave(10)]
    planned = planned_machines(waves, predict(waves, START, 1, timedelta(), None, None), 1)
    del planned[0]["kind"]

    assert [dict(one) for one in members_of(planned[0])] == [{"instanceId": instance_id(1), "name": "web-00001"}]
    (item,) = wave_items(cast(Plan, {"machines": planned}), 0)
    assert "kind" not in item


def test_the_plan_lists_its_waves_and_where_they_stand() -> None:
    waves = [wave(30, canary=True), wave(10, 40, first=2)]

    assert planned_waves("night-1", waves) == [
        {"key": "runs/night-1/wave-000.json", "count": 1, "isCanary": True},
        {"key": "runs/night-1/wave-001.json", "count": 2, "isCanary": False},
    ]


def without_what_is_not_approved(plan: Plan) -> Plan:
    """The same plan, made for another day by a run of another name."""
    later = make_plan(start=START + timedelta(days=1), run_id="night-2")
    changed = merge(plan, {"policy": {"deadlineMinutes": 90}, "window": {"start": "x", "end": "y"}})
    changed.update(dict.fromkeys(("runId", "createdAt", "end", "lastAdmission", "predictedEnd"), "x"))
    changed.update({"warnings": ["late"], "machines": later["machines"], "waves": later["waves"]})
    return cast(Plan, changed)


def test_the_hash_stays_the_same_when_only_the_time_and_the_runs_name_change() -> None:
    plan = make_plan()
    other = without_what_is_not_approved(plan)

    assert other["machines"][0]["startsAt"] != plan["machines"][0]["startsAt"]
    assert plan_hash(other) == plan_hash(plan)
    assert len(plan_hash(plan)) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"operation": "Scan"},
        {"policy": {"maxConcurrency": "100%"}},
        {"policy": {"hooks": {"preInstall": "Other"}}},
        {"snapshotId": "other"},
        {"window": {"name": "other"}},
        {"window": None},
        {"targets": []},
        {"follows": "night-0"},
        {"resumes": "night-0"},
        {"leftOut": []},
        {"machines": []},
        {"waves": []},
        {"schema": 2},
    ],
    ids=str,
)
def test_the_hash_changes_with_everything_that_is_approved(change: Mapping[str, Any]) -> None:
    plan = make_plan()

    assert plan_hash(cast(Plan, merge(plan, change))) != plan_hash(plan)


@pytest.mark.parametrize("key", ["instanceId", "name", "order", "wave"])
def test_the_hash_changes_with_every_machine(key: str) -> None:
    plan, other = make_plan(), make_plan()
    cast(dict[str, Any], other["machines"][-1])[key] = "other"

    assert plan_hash(other) != plan_hash(plan)


@pytest.mark.parametrize("key", ["power", "seconds", "basis", "samples", "missing", "missingAt"])
def test_the_hash_stays_the_same_when_only_the_estimate_or_the_state_of_a_machine_changes(key: str) -> None:
    plan, other = make_plan(), make_plan()
    cast(dict[str, Any], other["machines"][-1])[key] = "other"

    assert plan_hash(other) == plan_hash(plan)


def test_the_hash_changes_with_the_content_of_a_document() -> None:
    plan = make_plan()
    pinned = {"version": "3", "hash": "aa", "hashType": "Sha256"}
    plans = [cast(Plan, {**plan, "documents": {"Drain": {**pinned, "hash": content}}}) for content in ("aa", "bb")]

    assert len({plan_hash(one) for one in plans}) == 2


def test_the_hash_does_not_depend_on_the_order_of_keys() -> None:
    plan = make_plan()
    reversed_plan = cast(Plan, dict(reversed(plan.items())))

    assert plan_hash(reversed_plan) == plan_hash(plan)


def test_a_plan_that_is_carried_out_later_has_other_times_and_the_same_hash() -> None:
    plan = make_plan()
    start = START + timedelta(days=2)

    later = at_another_time(plan, start, start + 45 * MINUTE, start + 40 * MINUTE)

    assert plan_hash(later) == plan_hash(plan)
    assert later["machines"][0]["startsAt"] == "2026-01-15T01:00:00.000Z"
    assert [one["fits"] for one in later["machines"]] == [True] + [False] * 7
    assert (later["end"], later["lastAdmission"], later["predictedEnd"]) == (
        "2026-01-15T01:45:00.000Z",
        "2026-01-15T01:40:00.000Z",
        "2026-01-15T01:30:00.000Z",
    )


def test_a_plan_that_is_carried_out_at_once_has_the_times_it_was_made_with() -> None:
    plan = make_plan()

    again = at_another_time(plan, START, END, END - MINUTE)

    assert again["machines"] == plan["machines"]
