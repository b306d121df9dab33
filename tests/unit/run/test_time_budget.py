"""What takes longer than a function lives: it is done as far as there is time, and the next function does the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from drydock.aws.executions import hand_over
from drydock.errors import RunStoppedError
from drydock.records.history import left_over, note_not_attempted
from drydock.records.holder import Holder
from drydock.records.runs import Place, close_run, open_run, place_key
from drydock.run.giving_back import give_back_run
from drydock.run.summarising import child_of
from drydock.subject import Instance
from drydock.times import TimeBudget
from tests.unit.fakes import START, FakeExecutions
from tests.unit.records.recorded import RUN_EXECUTION, RUN_ID
from tests.unit.world import World

MOST_SECONDS = 60
MANY = 1_000


def ident(number: int) -> str:
    return f"i-{number:017x}"


@pytest.fixture
def slow(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str, float], None]:
    """Lets every call of a method take so many seconds."""

    def slow_down(owner: Any, name: str, seconds: float) -> None:
        original = getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            world.clock.move(seconds=seconds)
            return original(*arguments, **named)

        monkeypatch.setattr(owner, name, call)

    return slow_down


def test_a_sweep_hands_over_as_many_as_there_is_time_for_and_others_the_next_time(
    world: World, slow: Callable[[Any, str, float], None]
) -> None:
    payloads = [{"subject": ident(number)} for number in range(MANY)]
    slow(world.clients, "_invoke", 0.05)
    passes: list[list[dict[str, Any]]] = []

    while len({one["subject"] for handed in passes for one in handed}) < MANY:
        world.clients.invoked.clear()
        began = world.clock()
        hand_over("drydock-give_back", payloads, TimeBudget.begin(world.clock))
        assert (world.clock() - began).total_seconds() < MOST_SECONDS
        passes.append([payload for _, payload in world.clients.invoked])
        world.clock.move(minutes=2)

    # 35 seconds of 50 ms each; nobody twice in a pass, and nobody left out for ever.
    assert all(700 <= len(handed) < MANY for handed in passes)
    assert all(max(Counter(one["subject"] for one in handed).values()) == 1 for handed in passes)
    assert len(passes) < 20


def test_a_thousand_children_of_a_killed_run_are_stopped_in_a_few_passes(
    world: World, slow: Callable[[Any, str, float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[str] = []

    def stop(self: FakeExecutions, execution: str, error: str, cause: str) -> None:
        stopped.append(execution)
        self.statuses[execution] = "ABORTED"

    monkeypatch.setattr(FakeExecutions, "stop", stop)
    slow(world.executions, "stop", 0.05)
    run = open_run(world.table, Holder(RUN_EXECUTION, 0), START)
    places = [
        Place(Instance(ident(number)), "", execution=child, admitted=START)
        for number in range(MANY)
        if (child := child_of(world.services, run, Instance(ident(number))))
    ]
    world.table.put_many({**place_key(RUN_ID, place.subject), **place.to_item()} for place in places)
    for place in places:
        world.executions.statuses[place.execution] = "RUNNING"
    world.executions.statuses[RUN_EXECUTION] = "ABORTED"
    close_run(world.table, run, RunStoppedError("killed"), START)
    world.clock.move(minutes=5)

    moves: list[str] = []
    while not moves or moves[-1] == "stop":
        began = world.clock()
        moves.append(give_back_run(world.services, RUN_ID)["move"])
        assert (world.clock() - began).total_seconds() < MOST_SECONDS
        world.clock.move(minutes=2)

    assert moves == ["stop", "stop", "report"]
    assert len(stopped) == len(set(stopped)) == MANY


def test_machines_that_are_left_are_noted_once_each_however_many_functions_it_takes(
    world: World, slow: Callable[[Any, str, float], None]
) -> None:
    ids = [ident(number) for number in range(MANY)]
    slow(world.table, "put_many", 15)
    written = Counter[str]()
    original = world.table.put_many

    def count(items: Any) -> None:
        kept = list(items)
        written.update(str(item["sk"]) for item in kept)
        original(kept)

    world.table.put_many = count  # type: ignore[method-assign]

    left = [note_not_attempted(world.table, RUN_ID, ids, TimeBudget.begin(world.clock)) for _ in range(2)]

    assert left == [250, 0]
    assert set(written) == set(ids)
    assert set(written.values()) == {1}
    assert set(left_over(world.table)) == set(ids)
