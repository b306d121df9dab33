"""Judging the executions of a large run as each of them ends, so that nothing of them is kept until all is over."""

from __future__ import annotations

from datetime import datetime

from rehearsal.account import EmbeddedAccount, Observer
from rehearsal.engine.calls import Call
from rehearsal.proof.promises import find_ill_treatment, judge_history
from rehearsal.world.fleet import Fleet


class JudgedEnds(Observer):
    """Judges every execution when it has ended, and folds it: its history goes, and so do the calls, events and logs.

    What is promised of a run as a whole is judged when all is over, of every machine again.
    """

    def __init__(self, account: EmbeddedAccount, fleet: Fleet) -> None:
        self._account = account
        self._fleet = fleet
        self.broken: list[str] = []
        self.judged = 0
        self.most_events = 0
        """Of the longest history."""
        self.worked: list[tuple[datetime, datetime]] = []
        """When the executions of machines began and ended."""
        self.planning: list[Call] = []
        """The calls of the function that plans."""
        account.observers.append(self)

    def call_made(self, call: Call) -> None:
        """Keep what is counted of calls."""
        if call.caller.name == "plan_run":
            self.planning.append(call)

    def execution_changed(self, execution_arn: str, status: str) -> None:
        """Judge an execution as soon as its last event is written."""
        if status != "RUNNING":
            self._account.clock.call_later(0, lambda: self._judge(execution_arn))

    def _judge(self, execution_arn: str) -> None:
        view = self._account.execution(execution_arn)
        events = len(view.events)
        self.judged += 1
        self.most_events = max(self.most_events, events)
        self.broken += judge_history(view.machine, view.name, events)
        if view.machine.endswith("-PatchInstance"):
            machine = self._fleet.machine(view.input["instanceId"])
            self.broken += find_ill_treatment(self._fleet, machine)
            if view.status == "SUCCEEDED" and machine.missing:
                self.broken.append(f"{machine.name}: succeeded, but {machine.missing} are missing")
            assert view.stopped is not None
            self.worked.append((view.started, view.stopped))
        self._account.forget(execution_arn)
