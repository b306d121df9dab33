"""A virtual clock that runs cooperative tasks: one OS thread, no real waiting, the same order every time.

A task is a greenlet. It gives way only where it waits (for time, for another task, for an AWS call). When no
task is ready, the clock jumps to the next timer. Seconds are floats; instants are epoch seconds or aware
datetimes in UTC.
"""

from __future__ import annotations

import contextvars
import heapq
import itertools
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet


class TimeLimitError(Exception):
    """Raised when a run reaches its limit of virtual time and is still busy."""


class Timer:
    """Something that will happen at an instant of virtual time, unless it is cancelled."""

    __slots__ = ("_clock", "action", "background", "cancelled", "fired", "when")

    def __init__(self, clock: VirtualClock, when: float, action: Callable[[], None], background: bool) -> None:
        self._clock = clock
        self.when = when
        self.action = action
        self.background = background
        self.cancelled = False
        self.fired = False

    def cancel(self) -> None:
        """Forget the timer; harmless when it has fired."""
        if not (self.cancelled or self.fired):
            self.cancelled = True
            if not self.background:
                self._clock._foreground_timers -= 1


class Task:
    """A cooperative thread of work."""

    def __init__(
        self, clock: VirtualClock, action: Callable[[], None], name: str, context: contextvars.Context | None
    ) -> None:
        self.name = name
        self.done = False
        self.ended: list[Waiter] = []
        self._clock = clock
        self._action = action
        self._started = False
        self._killer: BaseException | None = None
        self._pending: BaseException | None = None
        self._greenlet = greenlet(self._work, parent=clock._hub)
        # A greenlet without a context starts with an empty one.
        self._greenlet.gr_context = context

    def kill(self, exception: BaseException | None = None) -> None:
        """Raise `exception` (GreenletExit when none is given) in the task where it waits; it is over soon after."""
        if self.done or self._killer is not None:
            return
        self._killer = exception or GreenletExit()
        self.interrupt(self._killer)

    def interrupt(self, exception: BaseException) -> None:
        """Raise `exception` once in the task where it waits."""
        if self.done:
            return
        if self._clock.current_task() is self:
            raise exception
        self._pending = exception
        self._clock._ready.append(self)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the task is over; false when `timeout` seconds passed first."""
        if self.done:
            return True
        return self._clock.wait(self.ended, timeout)

    def _resume(self) -> None:
        if self.done:
            return
        pending, self._pending = self._pending, None
        if pending is not None and not self._started:
            self._finish()
        elif pending is not None:
            self._greenlet.throw(pending)
        else:
            self._started = True
            self._greenlet.switch()

    def _work(self) -> None:
        try:
            self._action()
        except GreenletExit:
            pass
        except BaseException as error:
            if error is not self._killer:
                raise
        finally:
            self._finish()

    def _finish(self) -> None:
        self.done = True
        self._clock._tasks.pop(self._greenlet, None)
        wake_all(self.ended)


class Waiter:
    """One wait of one task (or of the main program)."""

    __slots__ = ("clock", "result", "task")

    def __init__(self, clock: VirtualClock, task: Task | None) -> None:
        self.clock = clock
        self.task = task
        self.result: bool | None = None

    def wake(self, result: bool = True) -> None:
        """End the wait; only the first wake counts."""
        if self.result is None:
            self.result = result
            if self.task is not None:
                self.clock._ready.append(self.task)


def wake_all(waiters: list[Waiter]) -> None:
    """Wake everyone in `waiters`, in the order they came."""
    waking, waiters[:] = waiters[:], []
    for waiter in waking:
        waiter.wake()


class VirtualClock:
    """Virtual time and the tasks that live in it. Made and run by the main program, not by a task."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("the start of a virtual clock needs a time zone")
        self._now = start.timestamp()
        self._hub = getcurrent()
        self._ready: deque[Task] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._sequence = itertools.count()
        self._tasks: dict[Any, Task] = {}
        self._foreground_timers = 0
        self._until: Callable[[], bool] | None = None
        self._end: float | None = None
        """What ends the run that is under way."""
        self.on_advance: Callable[[float], None] = lambda now: None

    def time(self) -> float:
        """Return the epoch seconds of now."""
        return self._now

    def now(self) -> datetime:
        """Return now, in UTC."""
        return datetime.fromtimestamp(self._now, UTC)

    def call_later(self, seconds: float, action: Callable[[], None], *, background: bool = False) -> Timer:
        """Run `action` in a task of its own after `seconds`. Background timers do not keep a run going."""

        def begin() -> None:
            self.spawn(action, "timer")

        return self._schedule(self._now + max(0.0, seconds), begin, background)

    def call_at(self, when: datetime, action: Callable[[], None], *, background: bool = False) -> Timer:
        """Run `action` in a task of its own at `when`, or now when that has passed."""
        return self.call_later(when.timestamp() - self._now, action, background=background)

    def spawn(self, action: Callable[[], None], name: str = "", context: contextvars.Context | None = None) -> Task:
        """Make a task that is ready now. It starts with no context variables unless `context` is given."""
        task = Task(self, action, name, context)
        self._tasks[task._greenlet] = task
        self._ready.append(task)
        return task

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass for the calling task."""
        when, task = self._now + max(0.0, seconds), self.current_task()
        if task is None:
            self.wait([], max(0.0, seconds))
        elif self._is_quiet_until(when):
            # Nobody would notice that this task gave way.
            self._move_to(when)
        else:
            waiter = Waiter(self, task)
            timer = self._schedule(when, waiter.wake, False)
            try:
                while waiter.result is None:
                    self._hub.switch()
            finally:
                timer.cancel()

    def wait(self, waiters: list[Waiter], timeout: float | None = None) -> bool:
        """Wait as one of `waiters`; false when `timeout` seconds passed before a wake."""
        task = self.current_task()
        waiter = Waiter(self, task)
        waiters.append(waiter)
        timer = None
        if timeout is not None:
            timer = self._schedule(self._now + timeout, lambda: waiter.wake(False), False)
        try:
            if task is None:
                self.run(lambda: waiter.result is not None)
            else:
                # A task that was interrupted may be resumed once more than it was woken.
                while waiter.result is None:
                    self._hub.switch()
        finally:
            if timer is not None:
                timer.cancel()
            if waiter in waiters:
                waiters.remove(waiter)
            if waiter.result is None:
                # Killed, or nothing is left that could wake it.
                waiter.result = False
        return waiter.result

    def close(self) -> None:
        """Forget every timer and end every task."""
        self._timers.clear()
        self._foreground_timers = 0
        self._ready.clear()
        for task in list(self._tasks.values()):
            task.kill()
            task._resume()
        self._ready.clear()

    def current_task(self) -> Task | None:
        """Return the task that is running, or none in the main program."""
        return self._tasks.get(getcurrent())

    def run(
        self,
        until: Callable[[], bool] | None = None,
        limit: timedelta | None = None,
        *,
        background: bool = False,
    ) -> None:
        """Run tasks until `until()` is true, or until nothing but background timers is left.

        With `background`, those are waited for as well, so `until` or `limit` must end the run.
        Raises TimeLimitError when more than `limit` of virtual time would pass, and whatever a task raises.
        """
        end = None if limit is None else self._now + limit.total_seconds()
        if getcurrent() is not self._hub:
            raise RuntimeError("only the main program runs the clock")
        outer, (self._until, self._end) = (self._until, self._end), (until, end)
        try:
            while until is None or not until():
                if self._ready:
                    self._ready.popleft()._resume()
                elif not self._fire_next_timer(end, background):
                    return
        finally:
            self._until, self._end = outer

    def _is_quiet_until(self, when: float) -> bool:
        """Whether nothing can happen until then, that instant included, but what the calling task does."""
        if self._ready or self._until is not None or (self._end is not None and when > self._end):
            return False
        self._forget_cancelled()
        return not self._timers or self._timers[0][0] > when

    def _forget_cancelled(self) -> None:
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)

    def _move_to(self, when: float) -> None:
        if when > self._now:
            self._now = when
            self.on_advance(when)

    def _fire_next_timer(self, end: float | None, background: bool) -> bool:
        """Move to the next timer and fire it; false when there is none to wait for."""
        self._forget_cancelled()
        if not self._timers or (self._foreground_timers == 0 and not background):
            return False
        when, _, timer = self._timers[0]
        if end is not None and when > end:
            raise TimeLimitError(f"still busy at the limit, {datetime.fromtimestamp(end, UTC)}")
        heapq.heappop(self._timers)
        timer.fired = True
        if not timer.background:
            self._foreground_timers -= 1
        self._move_to(when)
        timer.action()
        return True

    def _schedule(self, when: float, action: Callable[[], None], background: bool) -> Timer:
        timer = Timer(self, when, action, background)
        if not background:
            self._foreground_timers += 1
        heapq.heappush(self._timers, (when, next(self._sequence), timer))
        return timer


class CooperativeThreading:
    """What a module finds under the name `threading`, on a virtual clock.

    `on_thread(task)` hears of every thread that starts. Locks never block: a task gives way only where it waits,
    and no code under a lock waits.
    """

    def __init__(self, clock: VirtualClock, on_thread: Callable[[Task], None]) -> None:
        class Event:
            def __init__(self) -> None:
                self._set = False
                self._waiters: list[Waiter] = []

            def is_set(self) -> bool:
                return self._set

            def set(self) -> None:
                self._set = True
                wake_all(self._waiters)

            def clear(self) -> None:
                self._set = False

            def wait(self, timeout: float | None = None) -> bool:
                return self._set or clock.wait(self._waiters, timeout)

        class Lock:
            def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
                return True

            def release(self) -> None:
                pass

            def locked(self) -> bool:
                return False

            def __enter__(self) -> bool:
                return True

            def __exit__(self, *error: object) -> None:
                pass

        class Condition(Lock):
            def __init__(self, lock: object = None) -> None:
                self._waiters: list[Waiter] = []

            def wait(self, timeout: float | None = None) -> bool:
                return clock.wait(self._waiters, timeout)

            def notify(self, n: int = 1) -> None:
                for _ in range(min(n, len(self._waiters))):
                    self._waiters.pop(0).wake()

            def notify_all(self) -> None:
                wake_all(self._waiters)

        class Thread:
            native_id = 0
            """Only logged."""

            def __init__(
                self,
                group: None = None,
                target: Callable[..., Any] | None = None,
                name: str = "",
                args: tuple[Any, ...] = (),
                kwargs: dict[str, Any] | None = None,
                *,
                daemon: bool | None = None,
            ) -> None:
                self._target, self._arguments, self._keywords = target, args, kwargs or {}
                self.name, self.daemon = name, daemon
                self._task: Task | None = None

            def run(self) -> None:
                if self._target is not None:
                    self._target(*self._arguments, **self._keywords)

            def start(self) -> None:
                self._task = clock.spawn(self.run, self.name, contextvars.copy_context())
                on_thread(self._task)

            def is_alive(self) -> bool:
                return self._task is not None and not self._task.done

            def join(self, timeout: float | None = None) -> None:
                if self._task is not None:
                    self._task.join(timeout)

        self.Event, self.Lock, self.RLock, self.Condition, self.Thread = Event, Lock, Lock, Condition, Thread
