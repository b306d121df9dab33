"""Runs one rehearsal: a fleet file on an embedded account, from deployment until nothing is left to do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from boto3.dynamodb.types import TypeSerializer

from rehearsal.account import EmbeddedAccount, Observer
from rehearsal.engine.clock import TimeLimitError
from rehearsal.engine.subscriptions import reaches_somebody, subscribe
from rehearsal.ledger import read_items, settle
from rehearsal.play.faults import EventFault, Fault, StopInstance, StopRun, Strikes, TerminateInstance, describe
from rehearsal.play.fleet_file import FleetFile
from rehearsal.play.fleet_runs import WINDOW, CalendarSpec, RunExpectation, Targets, Topic, with_ids
from rehearsal.play.group_monitor import GroupMonitor
from rehearsal.play.openings import Opening, Openings
from rehearsal.play.outcomes.group import GroupOutcome, describe_group
from rehearsal.play.outcomes.machine import MachineOutcome, describe_execution, describe_machine, find_differences
from rehearsal.play.outcomes.run import RUN_MACHINE, RunOutcome, collect_runs
from rehearsal.play.people import APPROVAL, People, Visitors, arn_of
from rehearsal.world.fleet import Fleet, Machine
from rehearsal.world.gates import Calendar

MACHINE, ROLL_MACHINE = "PatchInstance", "RollGroup"


@dataclass(frozen=True)
class Change:
    """Something that people watch a rehearsal for: an execution entered a state or ended, or a fault struck.

    News, too: the window opens, people answer, an alarm rings.
    """

    at: datetime
    machine: str
    step: str
    is_over: bool = False
    is_fault: bool = False
    is_news: bool = False


@dataclass(frozen=True)
class MessageOutcome:
    """A message that people would get."""

    at: datetime
    topic: str
    subject: str
    body: str
    attributes: Mapping[str, str]
    reaches_somebody: bool = True
    """False when nobody who is subscribed to the topic has confirmed it."""

    @property
    def said(self) -> str:
        """The mail without its line breaks and indents."""
        return " ".join(self.body.split())


@dataclass(frozen=True)
class FaultOutcome:
    """How often a fault of the file struck, and when first; None when it never did."""

    what: str
    count: int
    first: datetime | None


@dataclass(frozen=True)
class RehearsalOutcome:
    """All that a rehearsal showed. Real seconds are the only thing that differs from run to run."""

    fleet: FleetFile
    seed: int
    began: datetime
    ended: datetime
    real_seconds: float
    runs: tuple[RunOutcome, ...]
    machines: tuple[MachineOutcome, ...]
    groups: tuple[GroupOutcome, ...]
    faults: tuple[FaultOutcome, ...]
    messages: tuple[MessageOutcome, ...]
    calls: Mapping[str, int]
    function_invocations: int
    transitions: int
    differences: tuple[str, ...]

    @property
    def is_as_expected(self) -> bool:
        """Say whether every machine and run ended as the file expects, and every fault struck."""
        parts = [*(one.differences for one in self.machines), *(one.differences for one in self.groups)]
        return not self.differences and not any(parts)

    @property
    def aws_calls(self) -> int:
        """Return how many AWS calls Drydock's functions made."""
        return sum(self.calls.values())


@dataclass(frozen=True)
class Serving:
    """How real people are asked for approval: `announce` hears of the page's address."""

    announce: Callable[[str], None]
    port: int = 0
    patience: timedelta = timedelta(minutes=30)


def rehearse(
    fleet_file: FleetFile,
    seed: int | None = None,
    watch: Callable[[Change], None] | None = None,
    serving: Serving | None = None,
) -> RehearsalOutcome:
    """Rehearse a fleet and return what came of it; `watch` hears of every change as it happens.

    With `serving`, every run needs approval, and real people answer instead of the file's.
    """
    real_start = time.perf_counter()
    used_seed = fleet_file.seed if seed is None else seed
    options: dict[str, Any] = {"start": fleet_file.begins, "limits": fleet_file.throttling}
    with EmbeddedAccount(seed=used_seed, **options) as account, account.open_fleet() as fleet:
        rehearsal = _Rehearsal(account, fleet, fleet_file, watch or (lambda change: None), serving)
        rehearsal.run()
        return rehearsal.collect(used_seed, time.perf_counter() - real_start)


class _Rehearsal:
    """One rehearsal on an account of its own."""

    def __init__(
        self,
        account: EmbeddedAccount,
        fleet: Fleet,
        fleet_file: FleetFile,
        tell: Callable[[Change], None],
        serving: Serving | None,
    ) -> None:
        self._account = account
        self._fleet = fleet
        self._file = fleet_file
        self._runs = fleet_file.runs
        self._tell = tell
        self._strikes: dict[int, Strikes] = {}
        """By the fault's place in the file."""
        self._first_runs: dict[str, str] = {}
        """The run of each window's first opening, by the window's name."""
        self._struck: dict[int, datetime] = {}
        """When each fault struck first, by its place in the file."""
        self._problems: list[str] = []
        self._expected: dict[str, RunExpectation] = {}
        self._labels: dict[str, str] = {}
        self._visitors: Visitors | None = None
        schedule = {"ScheduleEnabled": "true"} if self._runs.window else {}
        links = {"ApprovalAuth": "LINK"} if serving else {}
        self._stack = account.deploy({**schedule, **fleet_file.parameters, **links})
        self._table = self._stack.resource("StateTable")
        self._groups = self._add_machines()
        for document in fleet_file.documents:
            fleet.add_document(document.name, platforms=document.platforms)
        self._machines = {machine.name: machine for machine in fleet.machines}
        self._ids = {name: machine.instance_id for name, machine in self._machines.items()}
        self._subscribe()
        self._write_settings(serving)
        self._write_history()
        self._recorder = _Recorder(account, fleet, self._labels, tell)
        account.observers.append(self._recorder)
        self._openings = Openings(account, self._note_opening)
        is_asked = reaches_somebody(self._topic("approvals"))
        people = self._runs.people if is_asked and not serving else ()
        self._people = People(account, people, self._stack, lambda answer: self._tell_news(answer.text))
        account.observers.append(self._people)
        if serving:
            self._visitors = Visitors(
                account, self._stack, self._is_decided, serving.announce, serving.port, serving.patience
            )
            account.observers.append(self._visitors)
        self._began = account.clock.now()

    def _add_machines(self) -> dict[str, tuple[GroupMonitor, tuple[int, int, int]]]:
        """Add the machines, a group's members with its first one; return who watches the groups, and their sizes."""
        fleet, specs = self._fleet, {machine.spec.name: machine.spec for machine in self._file.machines}
        entries = {name: group for group in self._file.groups for name in group.members}
        watched: dict[str, tuple[GroupMonitor, tuple[int, int, int]]] = {}
        for name, spec in specs.items():
            entry = entries.get(name)
            if entry is None:
                fleet.add(spec)
            elif entry.name not in watched:
                behind = [] if entry.drain_seconds is None else [entry.name]
                for target_group in behind:
                    fleet.add_target_group(target_group, deregistration_delay=entry.drain_seconds)
                members = [replace(specs[member], group=None) for member in entry.members]
                group = fleet.add_group(entry.name, members, target_group=behind, **entry.settings)
                batch, min_healthy = self._file.promise_of(entry)
                monitor = GroupMonitor(self._account, group, batch=batch, min_healthy=min_healthy)
                watched[entry.name] = (monitor, (group.min, group.desired, group.max))
        return watched

    def run(self) -> None:
        """Let the windows open, start what is started by hand, and go on until nothing is left to do."""
        self._make_gates_and_groups()
        self._make_windows()
        if self._openings.is_empty:
            self._begin()
            self._settle()
        else:
            self._let_windows_open()
        never = [self._file.faults[number] for number, strikes in self._strikes.items() if not strikes.count]
        self._problems += [f"a fault never struck: {describe(fault)}" for fault in never]

    def _make_windows(self) -> None:
        """Register targets with the stack's window, and make the other windows, as people do."""
        if self._runs.window is not None:
            window_id = self._stack.outputs["MaintenanceWindowId"]
            self._register_targets(window_id, self._runs.window.targets)
            self._openings.add(window_id, WINDOW, self._runs.window.executions)
        ssm = self._account.client("ssm")
        for window in self._runs.windows:
            window_id = ssm.create_maintenance_window(**window.settings, AllowUnassociatedTargets=False)["WindowId"]
            self._register_targets(window_id, window.targets)
            given = {"window": {"windowId": "{{WINDOW_ID}}", "executionId": "{{WINDOW_EXECUTION_ID}}"}, **window.input}
            ssm.register_task_with_maintenance_window(
                WindowId=window_id,
                Name="Drydock",
                Priority=10,
                TaskType="STEP_FUNCTIONS",
                TaskArn=self._stack.outputs["MaintenanceRunArn"],
                ServiceRoleArn=self._stack.outputs["MaintenanceWindowRoleArn"],
                TaskInvocationParameters={
                    "StepFunctions": {"Name": "{{WINDOW_EXECUTION_ID}}", "Input": json.dumps(given)}
                },
            )
            self._openings.add(window_id, window.name, window.executions)

    def _let_windows_open(self) -> None:
        try:
            while not self._problems and self._openings.jump_to_next():
                self._settle()
        except LookupError as error:
            self._problems.append(f"window: {error}")

    def _note_opening(self, opening: Opening) -> None:
        """Know a run before it begins; all times of the file count from the first opening of a window."""
        self._expected[opening.run] = opening.expect
        self._labels[opening.run] = opening.label
        is_first = not self._first_runs
        self._first_runs.setdefault(opening.window, opening.run)
        if is_first:
            self._begin()
        if opening.number == 1:
            self._arm_all(lambda fault: isinstance(fault, StopRun) and fault.run == opening.window)
        which = "the maintenance window" if opening.window == WINDOW else f"the window {opening.window}"
        self._tell_news(f"{which} opens (execution {opening.run})")

    def _topic(self, name: Topic) -> str:
        return self._stack.outputs[{"results": "ResultsTopicArn", "approvals": "ApprovalsTopicArn"}[name]]

    def _subscribe(self) -> None:
        for one in self._runs.subscriptions:
            subscribe(self._topic(one.topic), one.email, confirmed=one.is_confirmed)

    def _write_settings(self, serving: Serving | None) -> None:
        policy = dict(self._file.policy)
        if serving:
            policy["approval"] = {**policy.get("approval", {}), "required": True}
        approvers = [arn_of(person.name) for person in self._runs.people if person.is_approver]
        settings = {"PolicyParameterName": policy, "ApproversParameterName": approvers}
        for output, value in settings.items():
            if value:
                self._account.client("ssm").put_parameter(
                    Name=self._stack.outputs[output], Value=json.dumps(value), Type="String", Overwrite=True
                )

    def _write_history(self) -> None:
        """Remember successes of four weeks ago, as Drydock does."""
        done = self._account.clock.now() - timedelta(weeks=4)
        for entry in self._file.machines:
            if not entry.history:
                continue
            machine = self._machines[entry.spec.name]
            item = {
                "pk": "HISTORY",
                "sk": f"Install#{machine.instance_id}",
                "schema": 1,
                "platform": entry.spec.platform,
                "patchGroup": entry.spec.tags.get("Patch Group") or entry.spec.tags.get("PatchGroup") or "",
                "doneAt": done.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "doneBy": "",
                "leftService": bool(entry.spec.group),
                **{f"s{number}": int(one.total_seconds()) for number, one in enumerate(entry.history, 1)},
            }
            wire = {key: TypeSerializer().serialize(value) for key, value in item.items()}
            self._account.client("dynamodb").put_item(TableName=self._table, Item=wire)

    def _make_gates_and_groups(self) -> None:
        for calendar in self._runs.calendars:
            self._account.calendars[calendar.name] = Calendar("DEFAULT_OPEN" if calendar.is_open else "DEFAULT_CLOSED")
        for alarm in self._runs.alarms:
            self._account.client("cloudwatch").put_metric_alarm(
                AlarmName=alarm.name, EvaluationPeriods=1, ComparisonOperator="GreaterThanThreshold", Threshold=1
            )
            self._account.alarms.set_state(alarm.name, alarm.state)
        for group in self._runs.groups:
            ids = None if group.machines is None else [self._ids[name] for name in group.machines]
            self._fleet.add_resource_group(group.name, group.tags, ids)

    def _register_targets(self, window_id: str, targets: Sequence[Targets]) -> None:
        """Add targets to a window as people do."""
        members = {name: [instance_id] for name, instance_id in self._ids.items()}
        for group in targets:
            is_group = any(target["key"].startswith("resource-groups:") for target in group)
            self._account.client("ssm").register_target_with_maintenance_window(
                WindowId=window_id,
                ResourceType="RESOURCE_GROUP" if is_group else "INSTANCE",
                Targets=[{"Key": target["key"], "Values": target["values"]} for target in with_ids(group, members)],
            )

    def _begin(self) -> None:
        """Arm everything that happens at a time of the file; they count from now."""
        account, clock = self._account, self._account.clock
        self._began = clock.now()
        windows = {WINDOW, *(window.name for window in self._runs.windows)}
        self._arm_all(lambda fault: not (isinstance(fault, StopRun) and fault.run in windows))
        self._plan_starts()
        for calendar in self._runs.calendars:
            kind = account.calendars[calendar.name].kind
            account.calendars[calendar.name] = Calendar(kind, _periods(calendar, self._began))
            for at, is_open in calendar.changes:
                self._tell_later(at, f"the calendar {calendar.name} {'opens' if is_open else 'closes'}")
        for alarm in self._runs.alarms:
            for at, state in alarm.changes:
                account.alarms.set_state(alarm.name, state, self._began + at)
                self._tell_later(at, f"the alarm {alarm.name} is {state}")

    def _tell_later(self, at: timedelta, text: str) -> None:
        self._account.clock.call_at(self._began + at, lambda: self._tell_news(text), background=True)

    def _tell_news(self, text: str) -> None:
        self._tell(Change(self._account.clock.now(), "", text, is_news=True))

    def _arm_all(self, are_meant: Callable[[Fault], bool]) -> None:
        self._strikes |= {
            number: self._arm(fault, number) for number, fault in enumerate(self._file.faults) if are_meant(fault)
        }

    def _arm(self, fault: Fault, number: int) -> Strikes:
        """Arm a fault, note when it strikes, and tell of it, unless it is one that strikes all the time."""
        meant = fault
        if isinstance(fault, StopRun):
            meant = replace(fault, run=self._first_runs.get(fault.run, fault.run))
        strikes = meant.arm(self._account, self._fleet)

        def hear() -> None:
            now = self._account.clock.now()
            self._struck.setdefault(number, now)
            if not isinstance(fault, EventFault):
                self._tell(Change(now, "", describe(fault), is_fault=True))

        strikes.heard = hear
        return strikes

    def _plan_starts(self) -> None:
        def plan(machine: str, at: timedelta, given: Mapping[str, Any], name: str) -> None:
            def begin() -> None:
                self._account.start_execution(machine, given, name)

            self._account.clock.call_later(at.total_seconds(), begin)

        for number, start in enumerate(self._file.starts, 1):
            given = {"instanceId": self._ids[start.machine], **start.input}
            plan(MACHINE, start.at, given, f"{start.machine}-{number}")
        for number, roll in enumerate(self._file.rolls, 1):
            plan(ROLL_MACHINE, roll.at, {"groupName": roll.group, **roll.input}, f"{roll.group}-{number}")
        members = {name: [instance_id] for name, instance_id in self._ids.items()}
        for run in self._runs.by_hand:
            given = dict(run.input)
            if "targets" in given:
                given["targets"] = with_ids(given["targets"], members)
            self._expected[run.name] = run.expect
            self._labels[run.name] = f"run {run.name}"
            plan(RUN_MACHINE, run.at, given, run.name)

    def _settle(self) -> None:
        """Run until nothing happens any more and nothing is left for Drydock's schedules to find."""
        try:
            self._let_visitors_decide()
            settle(self._account, self._stack, self._file.limit)
        except TimeLimitError as error:
            self._problems.append(f"the rehearsal was {error}")

    def _let_visitors_decide(self) -> None:
        visitors = self._visitors
        while visitors is not None:
            self._account.clock.run(lambda: visitors.are_asked, self._file.limit)
            if not visitors.are_asked:
                return
            visitors.receive()

    def _is_decided(self, run_id: str) -> bool:
        key = {"pk": {"S": f"RUN#{run_id}"}, "sk": {"S": "RUN"}}
        item = self._account.client("dynamodb").get_item(TableName=self._table, Key=key).get("Item", {})
        approval = item.get("approval", {}).get("M", {})
        return bool(approval.get("decision", {}).get("S"))

    def collect(self, seed: int, real_seconds: float) -> RehearsalOutcome:
        """Return what came of it."""
        items = read_items(self._account, self._stack)
        runs = collect_runs(
            self._account,
            self._stack.outputs["LogBucketName"],
            items,
            self._expected,
            self._labels,
            self._people.answers,
        )
        groups = tuple(
            describe_group(
                self._fleet, entry, before, monitor, [item for item in items if item["pk"] == f"GROUP#{entry.name}"]
            )
            for entry in self._file.groups
            for monitor, before in [self._groups[entry.name]]
        )
        began = {run.run_id for run in runs}
        problems = [
            *self._problems,
            *(
                f"{self._labels[name]} ({name}): no run began"
                for name, expect in self._expected.items()
                if name not in began and expect.outcome != "none"
            ),
            *(f"{run.label} ({run.run_id}): {difference}" for run in runs for difference in run.differences),
        ]
        return _collect(
            self._account,
            self._fleet,
            self._file,
            self._recorder,
            items,
            runs,
            groups,
            tuple(
                FaultOutcome(describe(self._file.faults[number]), one.count, self._struck.get(number))
                for number, one in sorted(self._strikes.items())
            ),
            tuple(problems),
            self._began,
            seed,
            real_seconds,
        )


def _periods(calendar: CalendarSpec, began: datetime) -> list[tuple[datetime, datetime]]:
    """Return when a calendar is the opposite of what it is at first; the last time for ever."""
    periods: list[tuple[datetime, datetime]] = []
    since: datetime | None = None
    for at, is_open in sorted(calendar.changes):
        if is_open != calendar.is_open:
            since = since or began + at
        elif since is not None:
            periods.append((since, began + at))
            since = None
    return periods if since is None else [*periods, (since, datetime.max.replace(tzinfo=UTC))]


class _Recorder(Observer):
    """Writes down which execution went where, and passes the changes on."""

    def __init__(
        self,
        account: EmbeddedAccount,
        fleet: Fleet,
        labels: Mapping[str, str],
        watch: Callable[[Change], None],
    ) -> None:
        self.states: dict[str, list[tuple[datetime, str]]] = {}
        self.machines: dict[str, str] = {}
        self.invocations = 0
        self._account = account
        self._names = {machine.instance_id: machine.spec.name for machine in fleet.machines}
        self._labels = labels
        self._watch = watch

    def state_entered(self, execution_arn: str, state: str) -> None:
        """Note the state."""
        if not self._note(execution_arn):
            return
        now = self._account.clock.now()
        self.states[execution_arn].append((now, state))
        if state.endswith("?") or state in ("Succeed", "Fail"):
            return  # decisions take no time
        self._watch(Change(now, self.machines[execution_arn], state))

    def execution_changed(self, arn: str, status: str) -> None:
        """Note the execution, and its end."""
        if self._note(arn) and status != "RUNNING":
            self._watch(Change(self._account.clock.now(), self.machines[arn], status.lower(), is_over=True))

    def function_invoked(self, name: str, event: Any, outcome: Any) -> None:
        """Count the invocations."""
        self.invocations += 1

    def _note(self, arn: str) -> bool:
        """Remember an execution; false for one that people do not watch, a child of a run's Map."""
        if arn not in self.states:
            view = self._account.execution(arn)
            if "/" in view.machine:
                return False
            given = view.input if isinstance(view.input, dict) else {}
            self.states[arn] = []
            group = given.get("groupName")
            name = f"group {group}" if group else self._labels.get(view.name, view.name)
            self.machines[arn] = self._names.get(str(given.get("instanceId", "")), name)
        return True


def _collect(
    account: EmbeddedAccount,
    fleet: Fleet,
    fleet_file: FleetFile,
    recorder: _Recorder,
    items: list[dict[str, Any]],
    runs: tuple[RunOutcome, ...],
    groups: tuple[GroupOutcome, ...],
    faults: tuple[FaultOutcome, ...],
    problems: tuple[str, ...],
    began: datetime,
    seed: int,
    real_seconds: float,
) -> RehearsalOutcome:
    messages = tuple(
        MessageOutcome(
            message.at,
            message.topic.rsplit(":", 1)[-1],
            message.subject or "",
            message.body,
            dict(message.attributes),
            reaches_somebody(message.topic),
        )
        for message in account.messages
    )
    calls = [call for call in account.calls.calls if call.caller.kind == "function"]
    counts: dict[str, int] = {}
    by_execution: dict[str, int] = {}
    for call in calls:
        key = f"{call.service}:{call.operation}"
        counts[key] = counts.get(key, 0) + 1
        execution = call.caller.execution or ""
        by_execution[execution] = by_execution.get(execution, 0) + 1
    executions: dict[str, list[str]] = {}
    for arn, name in recorder.machines.items():
        executions.setdefault(name, []).append(arn)
    views = {arn: describe_execution(account, arn, recorder.states[arn]) for arn in recorder.machines}
    outcomes = []
    # Where somebody cuts the power, or the machine itself, Drydock cannot help that an installation is cut short.
    meddled = {fault.instance for fault in fleet_file.faults if isinstance(fault, StopInstance | TerminateInstance)}
    meddled |= {entry.spec.name for entry in fleet_file.machines if "reboot_loop" in entry.spec.wrong}
    by_name = {machine.name: machine for machine in fleet.machines}
    for entry in fleet_file.machines:
        machine = by_name[entry.spec.name]
        arns = executions.get(entry.spec.name, [])
        outcome = describe_machine(
            fleet,
            machine,
            [item for item in items if item["pk"] == f"INSTANCE#{machine.instance_id}"],
            tuple(views[arn] for arn in arns),
            sum(_is_about(message, machine) for message in messages),
            sum(by_execution.get(arn, 0) for arn in arns),
        )
        said = [run.outcome_of(machine.instance_id) for run in runs]
        outcome = replace(outcome, run=next((one for one in reversed(said) if one), "none"))
        differences = list(find_differences(entry, outcome))
        if outcome.interrupted_installs and entry.spec.name not in meddled:
            differences.append("installation: it was interrupted by a change of power")
        outcomes.append(replace(outcome, differences=tuple(differences)))
    return RehearsalOutcome(
        fleet=fleet_file,
        seed=seed,
        began=began,
        ended=account.clock.now(),
        real_seconds=real_seconds,
        runs=runs,
        machines=tuple(outcomes),
        groups=groups,
        faults=faults,
        messages=messages,
        calls=dict(sorted(counts.items())),
        function_invocations=recorder.invocations,
        transitions=sum(view.transitions for view in account.executions()),
        differences=problems,
    )


def _is_about(message: MessageOutcome, machine: Machine) -> bool:
    """Say whether a message tells somebody of one machine; those of whole runs name machines, too."""
    tells_of_one = message.attributes.get("kind") not in ("run", "progress", APPROVAL)
    return machine.instance_id in message.body and tells_of_one and message.reaches_somebody
