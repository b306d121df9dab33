"""The crash matrix: what can happen at every point of a flow happens there, and all that Drydock promises must be true.

The cases of a flow are the same up to their points. So the flow is played once, undisturbed, and at each point the
process is forked for each case: the child carries on with what happens there, and is judged.
"""

from __future__ import annotations

import json
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import zip_longest
from typing import Any

from botocore.exceptions import ClientError

from rehearsal.account import EmbeddedAccount, ExecutionView, Observer
from rehearsal.engine.calls import Call, FunctionKilled, Interception
from rehearsal.engine.clock import TimeLimitError
from rehearsal.engine.deployment import Stack
from rehearsal.engine.messages import Message
from rehearsal.ledger import read_items, settle
from rehearsal.play.faults import (
    LONGER_THAN_A_FUNCTION_LIVES,
    Fault,
    LoseCancellations,
    LoseEvents,
    Moment,
    StopExecution,
    StopRun,
)
from rehearsal.play.group_monitor import GroupMonitor
from rehearsal.play.people import arn_of
from rehearsal.proof.cases import (
    AT_STATES,
    COMPLETES,
    HANG_SECONDS,
    REDRIVEN_LATE,
    REFUSED_HOURS,
    STOPS,
    Case,
    Point,
)
from rehearsal.proof.flows import DRAINING, FLOWS, HEALTH_PROBE, HOOKS, STATES_OF_A_MEMBER
from rehearsal.proof.forks import Forks, work_apart
from rehearsal.proof.installations import InstallationWatch
from rehearsal.proof.machine_promises import (
    MachineAllowance,
    MachineBefore,
    broken_machine_promises,
    find_told_ends,
)
from rehearsal.proof.pairs import note, note_state
from rehearsal.proof.promises import Allowance, broken_promises
from rehearsal.proof.roll_promises import GroupBefore, RollAllowance, broken_roll_promises
from rehearsal.world.fleet import Fleet, Machine, MachineSpec

_THROTTLED = {
    "autoscaling": "Throttling",
    "dynamodb": "ThrottlingException",
    "ec2": "RequestLimitExceeded",
    "lambda": "TooManyRequestsException",
    "s3": "SlowDown",
    "sns": "Throttled",
    "ssm": "ThrottlingException",
    "stepfunctions": "ThrottlingException",
}
_REFUSED = {"autoscaling": "AccessDenied", "ec2": "UnauthorizedOperation", "sns": "AuthorizationError"}
_READING = ("Describe", "Get", "List", "Query", "Scan")
_LASTING = ("Task", "Wait", "Map")
"""The types of states that take time: in the others nobody can stop an execution."""

ENDS = ("as found", "finished", "half-way")


@dataclass(frozen=True)
class Strike:
    """A disturbance that happened; `was_open` says whether the execution was running."""

    mode: str
    at: datetime
    was_open: bool
    what: str
    call: Call | None = None
    was_published: bool = False
    """Whether a message had been sent before."""

    @property
    def may_tell_twice(self) -> bool:
        """Whether a message was sent but not marked as told: SNS has no token by which it would know it again."""
        call = self.call
        if call is None or call.caller.name not in (
            "ask_for_approval",
            "alert_failure",
            "summarise_run",
        ):
            return False
        if call.operation == "Publish":
            return self.mode in ("dies_after", "answer_lost")
        breaks_off = (
            "dies_before",
            "times_out",
            "throttled",
            "refused",
            *(("dies_after",) if _only_reads(call) else ()),
        )
        return self.was_published and self.mode in breaks_off


@dataclass(frozen=True)
class SoakOutcome:
    """What came of a case. `end` is one of ENDS; `told_twice` says that a message was repeated where it may be."""

    case: Case
    what: str
    end: str
    violations: tuple[str, ...]
    told_twice: bool = False
    log: tuple[str, ...] = ()
    calls: int = 0
    """So many calls to AWS were made."""
    told: tuple[str, ...] = ()
    """The subjects of all messages."""


@dataclass(frozen=True)
class Undisturbed:
    """How a flow goes when nothing is disturbed: its points, and all that is the same whenever it is carried on."""

    points: tuple[Point, ...]
    trace: Any


class Trial(Observer):
    """An account in which one case happens to one machine."""

    def __init__(self, case: Case, account: EmbeddedAccount, fleet: Fleet) -> None:
        self.case = case
        self.account = account
        self.fleet = fleet
        self.flow = FLOWS[case.flow]
        self.points: list[Point] = []
        self.strikes: list[Strike] = []
        self.redrives = 0
        self.ends = 1
        """How many ends of the execution have a result and a message of their own."""
        self.log: list[str] = []
        self.forks: Forks | None = None
        self.partings: Mapping[int, Sequence[Case]] = {}
        """The cases that part from this one, by the point at which they do."""
        self.expected: object = None
        """The trace of the undisturbed flow, once it is known."""
        self.stack: Stack = account.deploy()
        self.stopped: datetime | None = None
        """When nobody might begin any more."""
        self._is_over = self._has_journal = self._was_published = False
        self.installations = InstallationWatch(account, fleet, self.stack)
        self._lasting = _find_lasting_states(account)
        for document in sorted({*HOOKS.values(), *DRAINING.values(), HEALTH_PROBE}):
            fleet.add_document(document)
        if self.flow.approvers:
            name = self.stack.outputs["ApproversParameterName"]
            value = json.dumps([arn_of(approver) for approver in self.flow.approvers])
            account.client("ssm").put_parameter(Name=name, Value=value, Type="String", Overwrite=True)
        self.machines: list[Machine] = self._add_machines(
            [
                MachineSpec(name=f"{self.flow.name}-{number}" if number else self.flow.name, **spec)
                for number, spec in enumerate([self.flow.spec, *self.flow.others])
            ]
        )
        if self.flow.owes_reboot:
            self._owe_reboot(self.machines[0])
        self.before = [MachineBefore.of(machine) for machine in self.machines]
        self.execution = ""

    def play(self) -> SoakOutcome:
        """Let the case happen, and judge it. What is forked on the way comes back here as well, with its own case."""
        if self.case.loses_events:
            LoseEvents().arm(self.account, self.fleet)
        if self.case.loses_cancellations:
            LoseCancellations().arm(self.account, self.fleet)
        if self.flow.stopped_in is not None:
            self._stop_in(self.flow.stopped_in).arm(self.account, self.fleet).heard = self._note_stop
        self.disturbed_by = [fault.arm(self.account, self.fleet) for fault in self.flow.faults]
        given = self._prepare()
        self.account.calls.interceptors.append(self._intercept)
        self.account.observers.append(self)
        self.execution = self._start(given)
        try:
            settle(self.account, self.stack)
            if set(REDRIVEN_LATE) & set(self.case.modes.values()):
                self._redrive()
                settle(self.account, self.stack)
            self._is_over = True
            violations = [*self._judge_execution(), *self.installations.violations, *self.judge()]
        except TimeLimitError as error:
            violations = [f"not quiet: {error}"]
        return SoakOutcome(
            self.case,
            ", ".join(strike.what for strike in self.strikes),
            self.end(),
            tuple(violations),
            self.ends < len(self.messages()) <= self.ends + self.repeats,
            tuple(self.log),
            len(self.account.calls.calls),
            tuple(str(message.subject) for message in self.account.messages),
        )

    @property
    def view(self) -> ExecutionView:
        return self.account.execution(self.execution)

    @property
    def repeats(self) -> int:
        """How often a message may have been repeated; more often than twice it never is."""
        return min(2, sum(2 if strike.mode == "refused" else 1 for strike in self.strikes if strike.may_tell_twice))

    @property
    def is_completed(self) -> bool:
        """Whether the flow must end as it does undisturbed. A stop may come when it is over already."""
        return all(mode in COMPLETES or (mode in AT_STATES and not self.strikes) for mode in self.case.modes.values())

    def messages(self) -> list[Message]:
        """What people were told of ends of the execution on the machine."""
        return find_told_ends(self.account, self.machines[0])

    def end(self) -> str:
        """What the machine is like, whatever anybody says about it."""
        return self.before[0].end

    def trace(self) -> object:
        """What is there in the end of all that was done, and the same whenever the flow is carried on."""
        (machine,) = self.machines
        results = [item for item in read_items(self.account, self.stack) if item["sk"].startswith("RESULT#")]
        return (
            self._documents(machine),
            sum(image.machine is machine for image in self.fleet.images.by_id.values()),
            machine.boots,
            [(item["outcome"], item["verdict"], (item.get("failure") or {}).get("error")) for item in results],
        )

    def _documents(self, machine: Machine) -> list[str]:
        """Those of the commands. Probes in a row are one: how often a machine is asked depends on when."""
        sent = self.fleet.run_command.list_visible(None, machine.instance_id)
        names = [command.document.name for command in sent]
        return [name for name, after in zip_longest(names, names[1:]) if name != after or not name.endswith("-Probe")]

    def judge(self) -> Iterator[str]:
        """All that is not as Drydock promises, but for the execution's own end."""
        allowance = MachineAllowance(
            repeats=self.repeats,
            redrives=self.redrives,
            ends=self.ends,
            silent=self.case.loses_events,
            has_journal=self._has_journal,
        )
        yield from broken_machine_promises(self.account, self.fleet, self.stack, self.before[0], allowance)

    def state_entered(self, execution_arn: str, state: str) -> None:
        """Take down a state that takes time, and let happen what happens there."""
        view = self.account.execution(execution_arn)
        is_own = execution_arn == self.execution
        is_of_map = "/" in view.machine and view.parent == self.execution
        is_of_member = self.flow.members > 0 and state in STATES_OF_A_MEMBER
        if not (is_own or is_of_map or is_of_member):
            return
        if state not in self._lasting[view.machine.split("/")[0]] or self._is_over:
            return
        mode = self._reach(Point("state" if is_own else "child", state, "", state))
        if mode is not None:
            stopped = execution_arn if mode == "child_stopped" else self.execution
            self.account.clock.call_later(AT_STATES[mode], lambda: self._stop_late(mode, stopped, state))

    def _owe_reboot(self, machine: Machine) -> None:
        """Write down what an execution has that put a reboot off."""
        texts = {"platform": machine.spec.platform, "patchGroup": "", "owedBoot": machine.boot_id}
        texts |= {"pk": "HISTORY", "sk": f"Install#{machine.instance_id}", "owedSince": "2026-01-05T02:00:00.000Z"}
        item = {**{key: {"S": value} for key, value in texts.items()}, "owedReasons": {"L": []}}
        self.account.client("dynamodb").put_item(TableName=self.stack.resource("StateTable"), Item=item)

    def _add_machines(self, specs: Sequence[MachineSpec]) -> list[Machine]:
        return [self.fleet.machine(self.fleet.add(spec)) for spec in specs]

    def _prepare(self) -> dict[str, Any]:
        """The input of the execution; what has to have been done before is, undisturbed."""
        return {"instanceId": self.machines[0].instance_id, "policy": dict(self.flow.policy)}

    def _start(self, given: dict[str, Any]) -> str:
        return self.account.start_execution(self.flow.machine, given, f"soak-{self.flow.name}")

    def _stop_in(self, moment: Moment) -> Fault:
        return StopExecution(self.flow.name, moment)

    def _intercept(self, call: Call) -> Interception | None:
        functions = self.flow.functions
        if call.caller.kind != "function" or (functions and call.caller.name not in functions) or self._is_over:
            return None
        point = _point_of(call)
        mode = self._reach(point)
        self._has_journal |= "journal" in str(call.parameters.get("UpdateExpression", ""))
        was_published, self._was_published = self._was_published, self._was_published or call.operation == "Publish"
        if mode is None:
            is_refused = any(strike.mode == "refused" and _is_same(call, strike) for strike in self.strikes)
            return Interception(before=_error(_REFUSED, "AccessDeniedException", call)) if is_refused else None
        note(call, mode)
        is_open = self.view.status == "RUNNING"
        self.strikes.append(Strike(mode, call.at, is_open, point.text, call, was_published))
        return self._strike(mode, call)

    def _reach(self, point: Point) -> str | None:
        """Take down a point, part with the cases that are different from here on, and say what happens here."""
        self.points.append(point)
        number = len(self.points)
        for case in self.partings.get(number, ()):
            if self.forks is not None and self.forks.fork(case):
                self.case, self.partings = case, {}
                break
        self._note(point.text)
        mode = self.case.modes.get(number)
        if mode is not None and mode not in point.modes:
            # The second disturbance of a case may meet another point than it was meant for.
            return None
        if mode is not None:
            self._note(f"*** {mode}")
        return mode

    def _strike(self, mode: str, call: Call) -> Interception | None:
        match mode:
            case "dies_before":
                return Interception(before=FunctionKilled(mode))
            case "dies_after":
                return Interception(after=FunctionKilled(mode))
            case "times_out":
                return Interception(delay=LONGER_THAN_A_FUNCTION_LIVES)
            case "hangs":
                return Interception(delay=HANG_SECONDS)
            case "throttled":
                return Interception(before=_error(_THROTTLED, "ThrottlingException", call))
            case "answer_lost":
                return Interception(after=_error({}, "InternalServerError", call))
            case "refused":
                return Interception(before=_error(_REFUSED, "AccessDeniedException", call))
        self.account.clock.spawn(self._stop, "stop")
        if mode == "redriven":
            self.account.clock.call_later(5, self._redrive)
        return Interception(delay=HANG_SECONDS) if mode == "stopped_hung" else None

    def _stop(self) -> None:
        self._note_stop()
        self.account.stop_execution(self.execution, "Soak.Stopped", "somebody stopped the execution")

    def _stop_late(self, mode: str, execution: str, state: str) -> None:
        if self.account.execution(execution).status != "RUNNING":
            return
        note_state(state, mode)
        self.strikes.append(Strike(mode, self.account.clock.now(), True, f"{mode} in {state}"))
        if mode == "child_stopped":
            self.account.stop_execution(execution, "Soak.Stopped", "somebody stopped a child")
            return
        self._stop()
        if mode == "redriven_soon":
            self.account.clock.call_later(5, self._redrive)

    def _note_stop(self) -> None:
        if self.view.status == "RUNNING" and self.stopped is None:
            self.stopped = self.account.clock.now()

    def _redrive(self) -> None:
        if self.view.status != "ABORTED":
            return
        self.redrives += 1
        # Once all is released as patched, a redrive has nothing to do and nothing to tell.
        self.ends += not self._is_done()
        self._note("redriven")
        self.account.client("stepfunctions").redrive_execution(executionArn=self.execution)

    def _is_done(self) -> bool:
        ends = {item.get("outcome") for item in read_items(self.account, self.stack)}
        return not ends.isdisjoint(("succeeded", "already_compliant"))

    def _note(self, text: str) -> None:
        """Write down something for who replays the case."""
        self.log.append(f"{self.account.clock.now():%H:%M:%S.%f} {text}")

    def _judge_execution(self) -> Iterator[str]:
        status, mode = self.view.status, self.case.mode
        if mode != "clean" and mode not in AT_STATES and not self.strikes and not self.case.loses:
            yield "the fault never struck"
        if status == "RUNNING":
            yield "execution: still running"
        is_stopped = any(strike.mode in STOPS and strike.was_open for strike in self.strikes)
        expected = "ABORTED" if is_stopped and not self.redrives else None
        if self.is_completed:
            expected = self.flow.status
        if expected and status != expected:
            yield f"execution: {status} ({self.view.error}: {self.view.cause}), not {expected}"
        if self.is_completed and self.flow.stopped_in is None:
            if self.end() != self.flow.end:
                yield f"it is left {self.end()}"
            if self.expected is not None and (trace := self.trace()) != self.expected:
                yield f"{trace}, undisturbed {self.expected}"
        if "refused" not in self.case.modes.values() and not self.case.then:
            letters = self.account.queue(self.stack.resource("DeadLetterQueue"))
            if letters:
                yield f"dead letters: {letters}"


class RunTrial(Trial):
    """An account in which one case happens to a run of several machines."""

    def messages(self) -> list[Message]:
        """What people were told about the run as a whole."""
        about_runs = [message for message in self.account.messages if message.attributes.get("kind") == "run"]
        return [message for message in about_runs if message.attributes.get("run") == self.view.name]

    def end(self) -> str:
        """What the machines are like, all of them."""
        if any(machine.runs_old_code for machine in self.machines):
            return "half-way"
        patched = [not machine.missing for machine in self.machines]
        return "finished" if all(patched) else "half-way" if any(patched) else "as found"

    def trace(self) -> object:
        """What became of each machine, and how many failures were counted."""
        items = [item for item in read_items(self.account, self.stack) if item["pk"] == f"RUN#{self.view.name}"]
        places = {item["instanceId"]: item.get("outcome") for item in items if item["sk"].startswith("MACHINE#")}
        return places, [(item["outcome"], item.get("failed")) for item in items if item["sk"] == "RUN"]

    def judge(self) -> Iterator[str]:
        """All that is not as Drydock promises of a run."""
        allowance = Allowance(
            repeats=self.repeats,
            stopped=self.stopped,
            in_flight=int(self.flow.policy.get("maxConcurrency", 1)),
            silent=self.case.loses_events,
        )
        yield from broken_promises(self.account, self.fleet, self.stack, self.view.name, allowance)
        if self.redrives and (self.view.status, self.view.error) != ("FAILED", "RunOverError"):
            yield f"redriven, and {self.view.status} ({self.view.error})"

    def _prepare(self) -> dict[str, Any]:
        ids = [machine.instance_id for machine in self.machines]
        if self.flow.carries_out:
            return {"window": {"windowId": self._plan_ahead(ids)}}
        return {"targets": [{"key": "InstanceIds", "values": ids}], "policy": dict(self.flow.policy)}

    def _start(self, given: dict[str, Any]) -> str:
        """A run that carries a plan out is started by its window, which opens then."""
        if not self.flow.carries_out:
            return super()._start(given)
        execution = self.account.windows.find_execution(self.account.windows.run_next(given["window"]["windowId"]))

        def started() -> list[str]:
            return [one.execution for task in execution.tasks for one in task.invocations if one.execution]

        self.account.clock.run(until=lambda: bool(started()))
        (run,) = started()
        return run

    def _plan_ahead(self, ids: list[str]) -> str:
        """Make a window for the machines, and a plan for its opening that the first of the approvers approves."""
        ssm, outputs, made = self.account.client("ssm"), self.stack.outputs, f"made-{self.flow.name}"
        settings = json.dumps(self.flow.policy)
        ssm.put_parameter(Name=outputs["PolicyParameterName"], Value=settings, Type="String", Overwrite=True)
        opens = self.account.clock.now() + timedelta(hours=8)
        window = {"Name": self.flow.name, "Schedule": f"at({opens:%Y-%m-%dT%H:%M:%S})", "Duration": 12, "Cutoff": 0}
        window_id: str = ssm.create_maintenance_window(**window, AllowUnassociatedTargets=False)["WindowId"]
        targets = [{"Key": "InstanceIds", "Values": ids}]
        ssm.register_target_with_maintenance_window(WindowId=window_id, ResourceType="INSTANCE", Targets=targets)
        task = {"window": {"windowId": "{{WINDOW_ID}}", "executionId": "{{WINDOW_EXECUTION_ID}}"}}
        ssm.register_task_with_maintenance_window(
            WindowId=window_id,
            TaskType="STEP_FUNCTIONS",
            TaskArn=outputs["MaintenanceRunArn"],
            ServiceRoleArn=outputs["MaintenanceWindowRoleArn"],
            TaskInvocationParameters={"StepFunctions": {"Name": "{{WINDOW_EXECUTION_ID}}", "Input": json.dumps(task)}},
        )
        self.account.start_execution("MaintenanceRun", {"window": {"windowId": window_id}, "planOnly": True}, made)
        settle(self.account, self.stack)
        (item,) = [
            one for one in read_items(self.account, self.stack) if one["pk"] == f"RUN#{made}" and one["sk"] == "RUN"
        ]
        answer = self.account.urls.request(
            outputs["DecideUrl"],
            "POST",
            path="/decide",
            headers={"content-type": "application/json"},
            body=json.dumps({"runId": made, "hash": item["planHash"], "decision": "approve"}),
            signed_as=arn_of(self.flow.approvers[0]),
        )
        assert answer.status == 200, answer.body
        return window_id

    def _stop_in(self, moment: Moment) -> Fault:
        return StopRun(f"soak-{self.flow.name}", moment)


class RollTrial(RunTrial):
    """An account in which one case happens to a roll through an Auto Scaling group."""

    def messages(self) -> list[Message]:
        """What people were told about the roll as a whole."""
        return [message for message in self.account.messages if message.attributes.get("kind") == "group"]

    def trace(self) -> object:
        """What became of each member, and where it went."""
        items = [item for item in read_items(self.account, self.stack) if item.get("execution") == self.execution]
        return [
            (item["outcome"], {key: (one["outcome"], one.get("move")) for key, one in item["members"].items()})
            for item in items
            if item["sk"].startswith("RESULT#")
        ]

    def judge(self) -> Iterator[str]:
        """All that is not as Drydock promises of a roll."""
        low, desired, high = self.found.sizes
        allowance = RollAllowance(
            repeats=self.repeats,
            redrives=self.redrives,
            stopped=None if self.redrives else self.stopped,
            in_flight=1,
            # A roll that was stopped before it did anything has no result.
            silent=self.case.loses_events or self.case.number == 1,
            sizes=(low, desired + sum(fault.count for fault in self.disturbed_by), high),
        )
        if not self.messages() and not self.case.loses_events:
            yield "nobody was told"
        yield from self.monitor.violations
        yield from broken_roll_promises(self.account, self.fleet, self.stack, self.found, self.execution, allowance)

    def _add_machines(self, specs: Sequence[MachineSpec]) -> list[Machine]:
        (spec,) = specs
        named = [replace(spec, name=f"{spec.name}-{number + 1}") for number in range(self.flow.members)]
        settings = {"min": len(named), "max": len(named) + 1, "target_group": spec.name, **self.flow.group}
        group = self.fleet.add_group(spec.name, named, **settings)
        self.monitor = GroupMonitor(self.account, group)
        self.installations.watch_group(group)
        self.found = GroupBefore.of(group)
        return list(self.found.machines)

    def _prepare(self) -> dict[str, Any]:
        return {"groupName": self.found.group.name, "policy": dict(self.flow.policy)}

    def _is_done(self) -> bool:
        items = read_items(self.account, self.stack)
        return any(item["pk"].startswith("GROUP#") and item.get("outcome") == "succeeded" for item in items)


def _find_lasting_states(account: EmbeddedAccount) -> Mapping[str, set[str]]:
    """The names of the states that take time, by state machine; those of a Map's children are among them."""
    client = account.client("stepfunctions")
    return {
        machine["name"]: {
            name
            for name, state in _walk(json.loads(client.describe_state_machine(**_arn_of(machine))["definition"]))
            if state["Type"] in _LASTING
        }
        for machine in client.list_state_machines()["stateMachines"]
    }


def _arn_of(machine: Mapping[str, Any]) -> dict[str, str]:
    return {"stateMachineArn": machine["stateMachineArn"]}


def _walk(states: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, state in states["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from _walk(state["ItemProcessor"])


def _only_reads(call: Call) -> bool:
    return call.operation.startswith(_READING)


def _is_same(call: Call, strike: Strike) -> bool:
    """Whether a function still misses the permission for a call."""
    calls = (call, strike.call) if strike.call is not None else ()
    kinds = {(each.caller.name, each.service, each.operation) for each in calls}
    return len(kinds) == 1 and call.at - strike.at < timedelta(hours=REFUSED_HOURS)


def _point_of(call: Call) -> Point:
    parameters = call.parameters
    values = parameters.get("ExpressionAttributeValues", {})
    names = parameters.get("ExpressionAttributeNames", {})
    # The key of an object in S3 is a text.
    key = parameters.get("Key") or parameters.get("Item") or {}
    items: Mapping[str, Any] = key if isinstance(key, Mapping) else {}
    details = [
        *(value["S"].split("#")[0] for name, value in items.items() if name in ("pk", "sk")),
        *([key.rpartition("/")[2]] if isinstance(key, str) else []),
        *(names[name] for name in ("#name", "#intent", "#wait") if name in names),
        *(value["S"] for name, value in values.items() if name in (":active", ":restoring") and "S" in value),
        str(parameters.get("DocumentName", "")),
        str(parameters.get("Name", "")),
    ]
    what = f"{call.service}:{call.operation}"
    text = f"{call.caller.name} {what} {' '.join(detail for detail in details if detail)}"
    return Point("read" if _only_reads(call) else "change", call.caller.name, what, text.strip())


def _error(codes: Mapping[str, str], other: str, call: Call) -> ClientError:
    code = codes.get(call.service, other)
    response: Any = {"Error": {"Code": code, "Message": "soak"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(response, call.operation)


def _make_trial(case: Case, account: EmbeddedAccount, fleet: Fleet) -> Trial:
    kinds = {"PatchInstance": Trial, "MaintenanceRun": RunTrial, "RollGroup": RollTrial}
    return kinds[FLOWS[case.flow].machine](case, account, fleet)


@cache
def find_undisturbed(flow: str) -> Undisturbed:
    """Play a flow undisturbed, once in this process."""
    with EmbeddedAccount() as account, account.open_fleet() as fleet:
        trial = _make_trial(Case(flow), account, fleet)
        trial.play()
        return Undisturbed(tuple(trial.points), trial.trace())


def play(case: Case) -> SoakOutcome:
    """Let a case happen from its beginning, in an account of its own."""
    expected = find_undisturbed(case.flow).trace
    with EmbeddedAccount() as account, account.open_fleet() as fleet:
        trial = _make_trial(case, account, fleet)
        trial.expected = expected
        return trial.play()


def play_all(
    cases: Sequence[Case], processes: int, heard: Callable[[SoakOutcome], None] = lambda _: None
) -> list[SoakOutcome]:
    """Play all cases, those with the same beginning together, in so many processes at a time; in the cases' order.

    `heard` gets each verdict as it comes. Only a process with one thread can do this.
    """
    together: dict[Case, list[Case]] = defaultdict(list)
    for case in cases:
        together[case.beginning].append(case)
    verdicts: dict[Case, SoakOutcome] = {}
    for beginning, parting in together.items():
        # In this process: clients and whatever else is made once are there for all children then.
        find_undisturbed(beginning.flow)
        for case, verdict in work_apart(partial(_play_together, beginning, parting, processes)).items():
            verdicts[case] = verdict
            heard(verdict)
    return [verdicts[case] for case in cases]


def _play_together(beginning: Case, cases: Sequence[Case], processes: int) -> dict[Case, SoakOutcome]:
    expected = find_undisturbed(beginning.flow).trace
    with Forks(processes) as forks, EmbeddedAccount() as account, account.open_fleet() as fleet:
        trial = _make_trial(beginning, account, fleet)
        trial.expected = expected
        trial.forks = forks
        partings: dict[int, list[Case]] = defaultdict(list)
        for case in cases:
            partings[case.number].append(case)
        trial.partings = partings
        try:
            verdict = trial.play()
        except Exception:
            if not forks.is_child:
                raise
            verdict = SoakOutcome(trial.case, "", trial.end(), (traceback.format_exc(),))
        if forks.is_child:
            forks.answer(verdict)
        forks.join()
    # Calls are counted where nothing gets lost. Where something does there may be fewer: such a case is the clean one.
    never = verdict if beginning.loses else RuntimeError("the fault never struck")
    answers = {beginning: verdict, **{case: forks.results.get(case, never) for case in cases if case != beginning}}
    return {case: _read(case, answers[case]) for case in cases}


def _read(case: Case, answer: SoakOutcome | RuntimeError) -> SoakOutcome:
    return replace(answer, case=case) if isinstance(answer, SoakOutcome) else SoakOutcome(case, "", "", (str(answer),))
