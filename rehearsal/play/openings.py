"""The openings of maintenance windows that a fleet file wants: which run is which, and the jump to the next one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rehearsal.account import EmbeddedAccount, Observer
from rehearsal.play.fleet_runs import WINDOW, RunExpectation

_EVENT = "Maintenance Window Execution State-change Notification"


@dataclass(frozen=True)
class Opening:
    """A window opens for the n-th time; the run that it starts has the name of the window's execution."""

    window: str
    """The window's name in the fleet file."""
    number: int
    run: str
    expect: RunExpectation

    @property
    def label(self) -> str:
        """Return what people call the run: `window run`, `window run 2`, `window nightly run`."""
        words = [*([] if self.window == WINDOW else [WINDOW]), self.window, "run"]
        return " ".join([*words, *([str(self.number)] if self.number > 1 else [])])


@dataclass
class _Window:
    name: str
    left: deque[RunExpectation]
    opened: int = 0


class Openings(Observer):
    """Lets every window open as often as the file wants, and `heard` know of each before its run begins."""

    def __init__(self, account: EmbeddedAccount, heard: Callable[[Opening], None]) -> None:
        self._account = account
        self._heard = heard
        self._windows: dict[str, _Window] = {}
        account.observers.append(self)

    def add(self, window_id: str, name: str, executions: Iterable[RunExpectation]) -> None:
        """Want a window to open once for each of these executions."""
        self._windows[window_id] = _Window(name, deque(executions))

    @property
    def is_empty(self) -> bool:
        """Say whether no window is wanted at all."""
        return not self._windows

    def event_put(self, event: dict[str, Any]) -> None:
        """Tell of an opening that is wanted; one that is skipped is none."""
        if event["detail-type"] != _EVENT or event["detail"]["status"] != "PENDING":
            return
        window = self._windows.get(event["detail"]["window-id"])
        if window is not None and window.left:
            window.opened += 1
            expect = window.left.popleft()
            self._heard(Opening(window.name, window.opened, event["detail"]["window-execution-id"], expect))

    def jump_to_next(self) -> bool:
        """Finish what is going on and jump to the next opening that is wanted; false when all have been.

        Raises LookupError when a window does not open any more.
        """
        wanted = [window_id for window_id, window in self._windows.items() if window.left]
        if not wanted:
            return False
        windows = self._account.windows
        # One that never opens again comes first, so that it is told.
        never = datetime.min.replace(tzinfo=UTC)
        windows.run_next(min(wanted, key=lambda window_id: windows.next_execution_time(window_id) or never))
        return True
