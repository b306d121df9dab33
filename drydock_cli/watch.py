"""`drydock watch`: what happens in a run, until it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from drydock.aws.calls import may_pass
from drydock.aws.executions import OPEN
from drydock.aws.table import Item
from drydock.plan.estimates import whole_minutes
from drydock.records.runs import AWAITING_APPROVAL, CARRYING_OUT, ENDED, PLANNING
from drydock.records.staleness import RESTORE_LIMIT
from drydock.subject import Instance, subject_of_item
from drydock_cli.documents import LeaseFacts
from drydock_cli.exit_codes import FAILED, GOES_ON, code_of
from drydock_cli.facts import lease_facts
from drydock_cli.options import Account
from drydock_cli.problems import CommandError, explain
from drydock_cli.showing import (
    STYLES,
    counts_text,
    doing_text,
    error_line,
    machine_text,
    show_machine_list,
    show_report,
    size_of,
    words,
)
from drydock_cli.stack import RunItems, Stack
from drydock_cli.terminal import Style, Terminal, count, length_of_time, read_time, wrap

_MOST_LISTED = 20
_LINES_OF_EVENTS = 4
"""So many lines of a screen are left to what has happened."""
_MOST_MISSED = 5
"""So many looks in a row may fail for a reason that passes."""
_MOST_LOOKS_FOR_A_NEW_RUN = 20
FIVE_SWEEPS = 5 * timedelta(minutes=2)
"""So long after the end of an execution that died all that it held is given back, and its run is summarised."""
_PHASES = {PLANNING: "planning", AWAITING_APPROVAL: "waiting for approval", CARRYING_OUT: "carrying out"}


@dataclass(frozen=True)
class View:
    """A run at one moment. The execution is only looked at while the run has not ended."""

    items: RunItems
    execution: Mapping[str, Any] | None
    leases: Sequence[LeaseFacts] = ()
    """Of the machines and groups in work, and of the members that are; none where there are too many to show."""

    @property
    def is_ended(self) -> bool:
        return self.items.run is not None and self.items.run["phase"] == ENDED

    @property
    def is_dead(self) -> bool:
        """Whether the execution is over and the run has not been summarised."""
        return not self.is_ended and self.execution is not None and self.execution["status"] not in OPEN

    @property
    def in_work(self) -> list[Item]:
        return [machine for machine in self.items.machines.values() if "outcome" not in machine]

    def with_outcome(self, outcome: str) -> list[Item]:
        return [machine for machine in self.items.machines.values() if machine.get("outcome") == outcome]

    def counts(self) -> Counter[str]:
        """How many machines have which outcome; those of a group one by one, once its roll has told."""
        counts: Counter[str] = Counter()
        for machine in self.items.machines.values():
            if "outcome" in machine:
                counts.update(machine.get("counts") or {str(machine["outcome"]): size_of(machine)})
        return counts


def watch(account: Account, stack: Stack, terminal: Terminal, run_id: str, interval: float | None) -> int:
    """Show what happens in a run: until it ends, or once when there is no interval between looks."""
    watcher = Watcher(account, stack, terminal, run_id)
    return watcher.once() if interval is None else watcher.until_the_end(interval)


class Watcher:
    """Looks at a run again and again, and tells what has changed."""

    def __init__(self, account: Account, stack: Stack, terminal: Terminal, run_id: str) -> None:
        self._account = account
        self._stack = stack
        self._terminal = terminal
        self._run_id = run_id
        self._seen_dead: datetime | None = None
        self._told_phase = ""
        self._told_closed = self._told_dead = False
        self._was_seen = self._was_headed = False
        self._told: dict[str, str] = {}
        self._told_steps: dict[str, str] = {}
        self._decisions = 0

    def once(self) -> int:
        """Show the run as it is now; the exit code is that of its outcome, GOES_ON when it has not ended."""
        view = self._require(self._look())
        self._show_all(view)
        return self._finish(view) if self._is_over(view) else self._document(view, None, GOES_ON)

    def until_the_end(self, interval: float, is_new: bool = False) -> int:
        """Show what happens until the run ends; the exit code is that of its outcome."""
        with self._interruptible():
            view = self._first_look(is_new)
            self._show_all(view)
            while not self._is_over(view):
                self._draw(view)
                self._terminal.sleep(interval)
                view = self._look_patiently(interval)
                self._show_changes(view)
        return self._finish(view)

    def wait_for_end(self, interval: float) -> RunItems:
        """Wait without a word for a run that was just started."""
        with self._interruptible():
            view = self._first_look(is_new=True)
            while not self._is_over(view):
                self._terminal.sleep(interval)
                view = self._look_patiently(interval)
        if not view.is_ended:
            raise CommandError(self._death(view))
        return view.items

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Whoever ends the watch is told that this does not end the run."""
        try:
            yield
        except KeyboardInterrupt:
            self._terminal.wipe()
            if self._was_seen:
                self._terminal.note(
                    f"run {self._run_id} goes on: look again with `{self._account.again('watch', self._run_id)}`, "
                    f"stop it with `{self._account.again('stop', self._run_id)}`"
                )
            raise

    def _is_over(self, view: View) -> bool:
        if view.is_ended:
            return True
        if view.execution is not None and not view.is_dead:
            self._seen_dead = None
            return False
        # A run that dies before it has an item has nothing that Drydock could give back or report.
        return (view.items.run is None and view.is_dead) or self._is_given_up(view)

    def _is_given_up(self, view: View) -> bool:
        """Whether a run whose execution is over, or not known any more, should have been reported long ago."""
        now = self._terminal.now()
        self._seen_dead = self._seen_dead or now
        died: datetime = (view.execution or {}).get("stopDate") or self._seen_dead
        if view.in_work:
            return now > died + RESTORE_LIMIT + FIVE_SWEEPS
        ends = [read_time(machine.get("endedAt")) for machine in view.items.machines.values()]
        return now > max([died, *filter(None, ends)]) + FIVE_SWEEPS

    def _look(self) -> View:
        items = self._stack.read_run(self._run_id)
        if items.run is not None and items.run["phase"] == ENDED:
            return View(items, None)
        execution = self._stack.find_execution(self._run_id)
        if execution is not None and execution["status"] not in OPEN:
            # The run may have begun and ended between the two looks.
            items = self._stack.read_run(self._run_id)
        view = View(items, execution)
        return replace(view, leases=self._read_leases(view.in_work))

    def _read_leases(self, in_work: Sequence[Item]) -> list[LeaseFacts]:
        if not 0 < len(in_work) <= _MOST_LISTED:
            return []
        leases = self._stack.read_leases([subject_of_item(one) for one in in_work])
        members = [Instance(one) for lease in leases for one in lease.members]
        return [lease_facts(lease) for lease in [*leases, *self._stack.read_leases(members)]]

    def _first_look(self, is_new: bool) -> View:
        self._was_seen = is_new
        view = self._look_patiently(1)
        looks = 1
        while is_new and view.items.run is None and view.execution is None and looks < _MOST_LOOKS_FOR_A_NEW_RUN:
            self._terminal.sleep(1)
            view = self._look_patiently(1)
            looks += 1
        return self._require(view)

    def _require(self, view: View) -> View:
        if view.items.run is None and view.execution is None:
            raise CommandError(
                f"there is no run {self._run_id} in the stack {self._stack.name} in {self._stack.region}"
            )
        return view

    def _look_patiently(self, interval: float) -> View:
        """Look; a call that fails for a reason that passes does not end a watch of hours."""
        missed = 0
        while True:
            try:
                view = self._look()
            except (BotoCoreError, ClientError) as error:
                missed += 1
                if not self._was_seen:
                    raise
                if not may_pass(error) or missed == _MOST_MISSED:
                    raise CommandError(f"{explain(error)}; run {self._run_id} goes on") from error
                self._terminal.note(f"{explain(error)}; looking again")
                self._terminal.sleep(interval)
            else:
                self._was_seen = self._was_seen or view.execution is not None or view.items.run is not None
                return view

    def _show_all(self, view: View) -> None:
        """Print where a run stands that is seen for the first time, however long it has been going on."""
        terminal, run = self._terminal, view.items.run
        if run is None:
            terminal.say(f"Run {self._run_id} is starting.")
            return
        self._was_headed = True
        terminal.say(f"Run {self._run_id}, begun {terminal.at_text(run['startedAt'])}", "strong")
        self._show_phase(run, is_first=True)
        counts = view.counts()
        if view.items.machines:
            terminal.say(f"  {self._progress(view)}")
        if not view.is_ended:
            for outcome in counts:
                if outcome != "succeeded":
                    show_machine_list(terminal, words(outcome).capitalize(), view.with_outcome(outcome), _MOST_LISTED)
            if not terminal.has_picture:
                show_machine_list(terminal, "In work", view.in_work, _MOST_LISTED)
            self._show_steps(view)
        self._told = {key: str(machine.get("outcome", "")) for key, machine in view.items.machines.items()}
        self._show_closed(run)
        self._show_death(view)

    def _show_changes(self, view: View) -> None:
        run = view.items.run
        if run is None:
            return
        if not self._was_headed:
            self._was_headed = True
            self._terminal.say(f"Run {self._run_id}, begun {self._terminal.at_text(run['startedAt'])}", "strong")
        self._show_phase(run)
        events: list[tuple[str, str, Style]] = []
        for key, machine in view.items.machines.items():
            outcome = str(machine.get("outcome", ""))
            if self._told.get(key) == outcome:
                continue
            name = machine_text(key, machine.get("name"))
            if key not in self._told and "admittedAt" in machine:
                events.append((machine["admittedAt"], f"{name}: in work", ""))
            if outcome:
                style = STYLES.get(outcome, "")
                events.append((machine.get("endedAt", ""), f"{name}: {_ending(machine)}", style))
            self._told[key] = outcome
        for at, text, style in sorted(events):
            self._event(at, text, style)
        self._show_steps(view)
        if events:
            self._terminal.say(f"          {self._progress(view)}", "faint")
        self._show_closed(run)
        self._show_death(view)

    def _show_steps(self, view: View) -> None:
        """A line for each machine that is in another step than before, where there is no picture."""
        now = self._stack.now()
        for lease in () if self._terminal.has_picture else view.leases:
            if lease["step"] and self._told_steps.get(lease["subject"]) != lease["step"]:
                self._told_steps[lease["subject"]] = lease["step"]
                name = machine_text(lease["subject"], lease["name"])
                self._event(lease["stepSince"], f"{name}: {doing_text(self._terminal, lease, now)}", "faint")

    def _draw(self, view: View) -> None:
        """The picture at the bottom of a terminal: how far the run is, and what each machine does now, for how long."""
        if not view.in_work:
            return
        now, terminal = self._stack.now(), self._terminal
        leases = {lease["subject"]: lease for lease in view.leases}
        about = [(key, machine, leases.pop(key, None)) for key, machine in self._by_delay(view, now)]
        about += [(lease["subject"], {"name": lease["name"]}, lease) for lease in leases.values()]
        head = f"Run {self._run_id} at {terminal.clock(now, seconds=True)}: {self._progress(view)}"
        # The last line stays free: the cursor stands there.
        room = terminal.height - _LINES_OF_EVENTS - 1
        rows = [self._row(*one, now) for one in about]
        if sum(map(len, rows)) > room:
            rows = [self._short_row(*one, now) for one in about]
        lines, shown = [head], 0
        for row in rows:
            if len(lines) + len(row) > room:
                break
            lines += row
            shown += 1
        more = len(rows) - shown
        terminal.draw([*lines, *([f"  and {more:,} more in work"] if more else [])])

    def _by_delay(self, view: View, now: datetime) -> list[tuple[str, Item]]:
        """What is in work, that first which has taken the longest by what was expected."""
        in_work = [(key, one) for key, one in view.items.machines.items() if "outcome" not in one]
        return sorted(in_work, key=lambda one: -_elapsed(one[1], now) / max(int(one[1].get("expectedSeconds", 0)), 1))

    def _row(self, key: str, machine: Item, lease: LeaseFacts | None, now: datetime) -> list[str]:
        name = machine_text(key, machine.get("name"))
        taken = f" for {length_of_time(_elapsed(machine, now))}" if "admittedAt" in machine else ""
        expected = int(machine.get("expectedSeconds", 0))
        taken += f" of about {length_of_time(expected)}" if taken and expected else ""
        first = list(wrap(f"{name}{taken}", self._terminal.width, "  ", "    "))
        if lease is None:
            return first
        return [*first, *wrap(doing_text(self._terminal, lease, now), self._terminal.width, "    ", "      ")]

    def _short_row(self, key: str, machine: Item, lease: LeaseFacts | None, now: datetime) -> list[str]:
        """Without what it waits for, where there is no room for that."""
        text = machine_text(key, machine.get("name"))
        if "admittedAt" in machine:
            text += f" {_of(_elapsed(machine, now), int(machine.get('expectedSeconds', 0)))}"
        if lease is not None:
            since = read_time(lease["stepSince"]) or now
            taken = _of(max((now - since).total_seconds(), 0), lease["expectedSeconds"])
            text += f": {lease['doing'] or 'being admitted'}, {taken}"
        return list(wrap(text, self._terminal.width, "  ", "    "))

    def _show_phase(self, run: Item, is_first: bool = False) -> None:
        phase = str(run["phase"])
        self._show_decisions(run)
        if phase == self._told_phase or phase == ENDED:
            return
        self._told_phase = phase
        text = _PHASES.get(phase, words(phase))
        if phase == AWAITING_APPROVAL:
            text += f" until {self._terminal.at_text((run.get('approval') or {}).get('until'))}"
        elif phase == CARRYING_OUT:
            text += f": {count(run.get('planned', 0), 'machine')}"
            if run.get("end"):
                text += f", until {self._terminal.at_text(run['end'])}"
        if is_first:
            # It may have come to this phase long ago.
            self._terminal.say_wrapped(text, "  ", later="    ")
        else:
            self._event("", text, "strong")
        if phase == AWAITING_APPROVAL:
            self._terminal.say(f"    Decide: {self._account.again('approve', self._run_id)}")

    def _show_decisions(self, run: Item) -> None:
        decisions = (run.get("approval") or {}).get("decisions") or []
        for decision in decisions[self._decisions :]:
            who = decision.get("name") or decision.get("by") or "somebody"
            reason = f": {decision['reason']}" if decision.get("reason") else ""
            self._event(decision.get("at", ""), f"{words(decision.get('decision'))} by {who}{reason}", "")
        self._decisions = len(decisions)

    def _show_closed(self, run: Item) -> None:
        closed = run.get("closed")
        if closed and not self._told_closed:
            self._told_closed = True
            why = error_line(closed["error"], closed["reason"])
            self._event(closed.get("at", ""), f"no machine begins any more: {why}", "warn")

    def _show_death(self, view: View) -> None:
        if view.is_dead and view.items.run is not None and not self._told_dead:
            self._told_dead = True
            status = view.execution["status"] if view.execution else ""
            self._event("", f"the execution is {words(status)}: what is in work is given back, then reported", "warn")

    def _progress(self, view: View) -> str:
        run = view.items.run or {}
        counts = view.counts()
        planned = max(int(run.get("planned", 0)), sum(map(size_of, view.items.machines.values())))
        text = f"{counts.total():,} of {count(planned, 'machine')} done"
        if counts:
            text += f": {counts_text(counts)}"
        working = sum(map(size_of, view.in_work))
        return f"{text}; {working:,} in work" if working else text

    def _event(self, at: str, text: str, style: Style) -> None:
        moment: datetime = read_time(at) or self._terminal.now()
        self._terminal.say_wrapped(text, f"{self._terminal.clock(moment, seconds=True)}  ", style, later=" " * 10)

    def _finish(self, view: View) -> int:
        """Print how the run ended; the exit code."""
        run = view.items.run
        if run is None:
            raise CommandError(self._death(view))
        if not view.is_ended:
            self._terminal.note(self._death(view))
            return self._document(view, None, FAILED)
        outcome = str(run.get("outcome", ""))
        failed = int((run.get("counts") or view.counts()).get("failed", 0))
        key, bucket = run.get("reportKey"), str(run.get("bucket", ""))
        report = None
        if key:
            report = self._stack.read_json(key, bucket)
        if report is not None:
            place = f"s3://{bucket or self._stack.output('LogBucketName')}/{key}"
            show_report(self._account, self._terminal, report, place)
        else:
            self._show_end_without_report(view, outcome)
        return self._document(view, report, code_of(outcome, failed))

    def _show_end_without_report(self, view: View, outcome: str) -> None:
        run = view.items.run or {}
        self._terminal.say()
        self._terminal.say(f"Run {self._run_id}: {words(outcome)}", STYLES.get(outcome, "strong"))
        failure = run.get("failure") or {}
        if failure:
            self._terminal.say_wrapped(error_line(failure.get("error"), failure.get("cause")), "  ", later="    ")
        self._terminal.say(f"  {counts_text(run.get('counts') or view.counts())}")
        self._terminal.say("  Its report is not there.")

    def _death(self, view: View) -> str:
        execution = view.execution or {}
        why = error_line(execution.get("error"), execution.get("cause"))
        became = words(execution.get("status", "is gone"))
        if view.items.run is None:
            text = f"run {self._run_id} {became} before it was planned"
        else:
            text = f"run {self._run_id} {became}, and its report has not come: it may, once every machine is given back"
        return f"{text}: {why}" if why else text

    def _document(self, view: View, report: Any, code: int) -> int:
        run = view.items.run or {}
        approval = run.get("approval") or {}
        self._terminal.document(
            {
                "runId": self._run_id,
                "phase": run.get("phase", "STARTING"),
                "outcome": run.get("outcome"),
                "startedAt": run.get("startedAt"),
                "endedAt": run.get("endedAt"),
                "planned": run.get("planned", 0),
                "planHash": run.get("planHash"),
                "closed": run.get("closed"),
                "failure": run.get("failure"),
                # What lets somebody decide, such as the task token, is left where it is.
                "approval": {key: approval.get(key) for key in ("until", "decision", "decidedAt", "decisions")}
                if approval
                else None,
                "counts": dict(view.counts()),
                "inWork": sum(map(size_of, view.in_work)),
                "leases": list(view.leases),
                "machines": [_machine_value(key, machine) for key, machine in sorted(view.items.machines.items())],
                "report": report,
            }
        )
        return code


def _of(seconds: float, expected: int) -> str:
    """`9 of 24 min`; `9 min` where nothing is expected."""
    return f"{whole_minutes(seconds)} of {whole_minutes(expected)} min" if expected else length_of_time(seconds)


def _elapsed(machine: Item, now: datetime) -> float:
    began = read_time(machine.get("admittedAt"))
    return max((now - began).total_seconds(), 0) if began else 0


def _ending(machine: Item) -> str:
    outcome = str(machine["outcome"])
    began, ended = read_time(machine.get("admittedAt")), read_time(machine.get("endedAt"))
    text = words(outcome)
    if outcome in ("succeeded", "already_compliant", "failed") and began and ended:
        text += f" after {length_of_time((ended - began).total_seconds())}"
    verdict = words(machine.get("verdict") or "")
    if verdict and verdict != "compliant":
        text += f" ({verdict})"
    why = error_line(machine.get("error"), machine.get("cause"))
    return f"{text}: {why}" if why else text


def _machine_value(instance_id: str, machine: Item) -> dict[str, Any]:
    keys = ("name", "outcome", "verdict", "error", "cause", "admittedAt", "endedAt", "execution")
    value = {"instanceId": instance_id, **{key: machine.get(key) for key in keys}}
    return {**value, "members": machine["only"]} if "only" in machine else value
