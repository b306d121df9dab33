"""The virtual clock and its tasks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rehearsal.engine.clock import TimeLimitError, VirtualClock

START = datetime(2026, 1, 13, tzinfo=UTC)


def seconds(clock: VirtualClock) -> float:
    return clock.time() - START.timestamp()


def test_time_jumps_to_the_next_timer_and_tasks_run_in_order() -> None:
    clock = VirtualClock(START)
    seen: list[tuple[str, float]] = []

    def work(name: str, wait: float) -> None:
        clock.sleep(wait)
        seen.append((name, seconds(clock)))

    clock.spawn(lambda: work("slow", 3600))
    clock.spawn(lambda: work("quick", 1))
    clock.call_later(2, lambda: seen.append(("timer", seconds(clock))))
    clock.run()
    assert seen == [("quick", 1), ("timer", 2), ("slow", 3600)]


def test_background_timers_do_not_keep_a_run_going() -> None:
    clock = VirtualClock(START)
    fired: list[float] = []
    clock.call_later(10, lambda: fired.append(seconds(clock)), background=True)
    clock.call_later(60, lambda: fired.append(seconds(clock)), background=True)
    clock.spawn(lambda: clock.sleep(20))
    clock.run()
    assert fired == [10]
    clock.run(lambda: len(fired) == 2, background=True)
    assert fired == [10, 60]


def test_a_run_that_is_busy_at_its_limit_says_so() -> None:
    clock = VirtualClock(START)
    clock.spawn(lambda: clock.sleep(7200))
    with pytest.raises(TimeLimitError):
        clock.run(limit=timedelta(hours=1))


def test_a_killed_task_does_no_more() -> None:
    clock = VirtualClock(START)
    seen: list[str] = []

    def work() -> None:
        seen.append("begun")
        clock.sleep(100)
        seen.append("ended")

    task = clock.spawn(work)
    never = clock.spawn(lambda: seen.append("never"))
    never.kill()
    clock.call_later(1, task.kill)
    clock.run()
    assert seen == ["begun"]
    assert task.done
    assert seconds(clock) == 1


def test_an_interrupted_task_can_go_on() -> None:
    clock = VirtualClock(START)
    seen: list[object] = []

    def work() -> None:
        try:
            clock.sleep(100)
        except TimeoutError:
            seen.append(seconds(clock))
        clock.sleep(10)
        seen.append(seconds(clock))

    task = clock.spawn(work)
    clock.call_later(5, lambda: task.interrupt(TimeoutError()))
    clock.run()
    assert seen == [5, 15]


def test_what_a_task_raises_ends_the_run() -> None:
    clock = VirtualClock(START)

    def work() -> None:
        raise LookupError("lost")

    clock.spawn(work)
    with pytest.raises(LookupError, match="lost"):
        clock.run()


def test_ten_thousand_tasks_can_wait_for_one_another() -> None:
    clock = VirtualClock(START)
    first = clock.spawn(lambda: clock.sleep(1))
    tasks = [first]
    for _ in range(10_000):
        previous = tasks[-1]
        tasks.append(clock.spawn(lambda previous=previous: previous.join() and None))  # type: ignore[misc]
    clock.run()
    assert all(task.done for task in tasks)
