"""Pools of threads for functions. The threads are tasks of the virtual clock: one gives way where it waits."""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from rehearsal.engine.clock import Task, VirtualClock


class CooperativePool:
    """What a function finds under the name `concurrent.futures.ThreadPoolExecutor`: as much of it as is used.

    `on_thread(task)` hears of every thread.
    """

    def __init__(self, clock: VirtualClock, on_thread: Callable[[Task], None], max_workers: int) -> None:
        self._clock = clock
        self._on_thread = on_thread
        self._most = max_workers
        self._tasks: list[Task] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for task in self._tasks:
            task.join()

    def map(self, work: Callable[..., Any], *arguments: Iterable[Any]) -> Iterator[Any]:
        """Do the work for each, at most so many at once; what the first that failed raised, in their order.

        After a failure nothing more is begun, as when the iterator of the real one is closed.
        """
        left = deque(enumerate(zip(*arguments, strict=False)))
        count = len(left)
        results: dict[int, Any] = {}
        failures: dict[int, BaseException] = {}

        def run() -> None:
            while left and not failures:
                number, given = left.popleft()
                try:
                    results[number] = work(*given)
                except BaseException as error:
                    failures[number] = error

        for _ in range(min(self._most, count)):
            task = self._clock.spawn(run, "pool", contextvars.copy_context())
            self._tasks.append(task)
            self._on_thread(task)
        for task in self._tasks:
            task.join()
        if failures:
            raise failures[min(failures)]
        return iter([results[number] for number in range(count)])
