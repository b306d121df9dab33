"""What goes wrong around the machines: events lost, calls failed, functions killed, people who interfere.

A fault is a value. `arm` hooks it into an account and returns how often it struck, so that a rehearsal can tell
a fault that never did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from botocore.exceptions import ClientError

from rehearsal.account import Observer
from rehearsal.engine.calls import Call, FunctionKilled, Interception
from rehearsal.engine.error_codes import status_of

if TYPE_CHECKING:
    from rehearsal.account import EmbeddedAccount
    from rehearsal.world.fleet import Fleet


LONGER_THAN_A_FUNCTION_LIVES = 15 * 60.0
"""Seconds; AWS allows a function no more."""


@dataclass
class Strikes:
    """How often an armed fault struck; `heard` is called each time."""

    fault: Fault
    count: int = 0
    heard: Callable[[], None] = lambda: None

    def add(self) -> None:
        """Count a strike."""
        self.count += 1
        self.heard()


class Fault(Protocol):
    """Something that goes wrong in a rehearsal."""

    def arm(self, account: EmbeddedAccount, fleet: Fleet) -> Strikes:
        """Make the fault happen in this account; call it before anything starts."""
        ...


@dataclass(frozen=True)
class Moment:
    """When something happens: `after` seconds from the rehearsal's beginning, or from the first entry in `state`."""

    after: float = 0
    state: str | None = None

    def __str__(self) -> str:
        return f"in state {self.state!r}" if self.state else f"after {self.after:g} s"


@dataclass(frozen=True, kw_only=True)
class EventFault:
    """A fault of the events whose detail type and source match these patterns (`*` and `?` as in file names)."""

    what: ClassVar[str]
    detail_type: str = "*"
    source: str = "*"

    def arm(self, account: EmbeddedAccount, fleet: Fleet) -> Strikes:
        """Deliver the matching events as `deliveries` says from now on."""
        strikes = Strikes(self)

        def intercept(event: dict[str, Any]) -> list[float] | None:
            if not (fnmatchcase(event["detail-type"], self.detail_type) and fnmatchcase(event["source"], self.source)):
                return None
            strikes.add()
            return self.deliveries()

        account.bus.interceptors.append(intercept)
        return strikes

    def deliveries(self) -> list[float]:
        """Return when a matching event is delivered, in seconds from its time; empty for never."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LoseEvents(EventFault):
    """The events never arrive."""

    what: ClassVar[str] = "lost"

    def deliveries(self) -> list[float]:
        """Return no delivery."""
        return []


@dataclass(frozen=True, kw_only=True)
class DoubleEvents(EventFault):
    """The events arrive at once, and again after so many seconds."""

    what: ClassVar[str] = "delivered twice"

    again: float = 3

    def deliveries(self) -> list[float]:
        """Return two deliveries."""
        return [0, self.again]


@dataclass(frozen=True, kw_only=True)
class DelayEvents(EventFault):
    """The events arrive late by so many seconds."""

    what: ClassVar[str] = "late"

    by: float

    def deliveries(self) -> list[float]:
        """Return one late delivery."""
        return [self.by]


@dataclass(frozen=True)
class FailCall:
    """AWS answers a call of Drydock's with an error, `times` times from the n-th `occurrence` on.

    `call` is service and operation ('ec2:CreateImage'), `error` AWS's code ('RequestLimitExceeded'). With
    `after_effect` the call is done and only its answer is lost. `caller` is a function's folder or a machine's name
    (with `*` and `?`); `instance` counts only the calls made on behalf of that machine's executions, `run` only those
    made on behalf of the run of this name and its Map's children.
    """

    call: str
    error: str
    message: str = "rehearsed fault"
    caller: str = "*"
    occurrence: int = 1
    times: int = 1
    after_effect: bool = False
    instance: str | None = None
    run: str | None = None

    def arm(self, account: EmbeddedAccount, fleet: Fleet) -> Strikes:
        """Count the matching calls from now on and fail those that are meant."""
        strikes = Strikes(self)
        executions = _Executions.of(account)
        seen = 0

        def intercept(call: Call) -> Interception | None:
            nonlocal seen
            if f"{call.service}:{call.operation}" != self.call or call.caller.kind not in ("function", "machine"):
                return None
            if not fnmatchcase(call.caller.name, self.caller) or not executions.are_of(call, self.instance, fleet):
                return None
            if not executions.are_of_run(call, self.run):
                return None
            seen += 1
            if not self.occurrence <= seen < self.occurrence + self.times:
                return None
            strikes.add()
            error = _client_error(call.service, self.error, self.message, call.operation)
            return _interception(error, self.after_effect)

        account.calls.interceptors.append(intercept)
        return strikes


@dataclass(frozen=True)
class KillFunction:
    """A function dies, without a word, at the n-th `call` that it makes.

    Calls are counted over all invocations of the function; with `invocation` only within that one (the first is 1;
    invocations count in the order in which they end). With `after_effect` the call it dies at is still done.
    `instance` counts only what is done on behalf of that machine's executions, `run` only what is done on behalf of the
    run of this name and its Map's children. With `hangs` the function does not die of the call, but of its time-out.
    """

    function: str
    call: int = 1
    invocation: int | None = None
    after_effect: bool = False
    instance: str | None = None
    run: str | None = None
    hangs: bool = False

    def arm(self, account: EmbeddedAccount, fleet: Fleet) -> Strikes:
        """Count the function's calls from now on and kill it once."""
        strikes = Strikes(self)
        executions = _Executions.of(account)
        ended = 0
        calls = 0

        def notice_end(name: str) -> None:
            nonlocal ended, calls
            if name == self.function and self.invocation is not None:
                ended, calls = ended + 1, 0

        def intercept(call: Call) -> Interception | None:
            nonlocal calls
            if call.caller.kind != "function" or call.caller.name != self.function or strikes.count:
                return None
            if not executions.are_of(call, self.instance, fleet) or not executions.are_of_run(call, self.run):
                return None
            calls += 1
            if calls != self.call or (self.invocation is not None and ended + 1 != self.invocation):
                return None
            strikes.add()
            if self.hangs:
                return Interception(delay=LONGER_THAN_A_FUNCTION_LIVES)
            return _interception(FunctionKilled(f"{self.function} was killed"), self.after_effect)

        account.observers.append(_EndObserver(notice_end))
        account.calls.interceptors.append(intercept)
        return strikes


@dataclass(frozen=True)
class StopExecution:
    """Somebody stops the execution that works on a machine."""

    what: ClassVar[str] = "execution stopped"

    instance: str
    moment: Moment

    def arm(self, account: EmbeddedAccount, fleet: Fleet) -> Strikes:
        """Stop the machine's execution when the moment comes, if one is running then."""
        executions = _Executions.of(account)

        def stop(strikes: Strikes) -> None:
            running = executions.running(_instance_id(fleet, self.instance))
            if running is not None:
                strikes.add()
                account.client("stepfunctions").stop_execution(
                    executionArn=running, error="Rehearsal.Stopped", cause="somebody stopped the execution"
                )

        return _at_moment(self, self.moment, self.instance, stop, account, fleet)


@dataclass(frozen=True)
class StopRun:
    """Somebody stops the execution of a run. The moment's state is one of the run's own, or of its Map's children."""

    what: ClassVar[str] = "run stopped"

    run: str
    """The name of the execution."""
    moment: Moment

    def arm(self, account: EmbeddedAccount, fleet: Fleet) -> Strikes:
        """Stop the run when the moment comes, if it is running then."""
        strikes = Strikes(self)
        executions = _Executions.of(account)
        armed = True

        def stop() -> None:
            for view in account.executions():
                if view.name == self.run and view.status == "RUNNING":
                    strikes.add()
                    account.stop_execution(view.arn, "Rehearsal.Stopped", "somebody stopped the run")

        def notice(execution: str, state: str) -> None:
            nonlocal armed
            if armed and state == self.moment.state and executions.is_of_run(execution, self.run):
                armed = False
                account.clock.call_later(self.moment.after, stop)

        if self.moment.state is None:
            account.clock.call_later(self.moment.after, stop)
        else:
            executions.entered.append(notice)
        return strikes


@dataclass(frozen=True)
class LoseCancellations:
    """What an execution has started, and waits for, runs on when that execution is stopped."""

    what: ClassVar[str] = "cancellations lost"

    def arm(self, account: EmbeddedAccount, fleet: Fleet) -> Strikes:
        """Lose every cancellation from now on."""
        strikes = Strikes(self)

        def lose(arn: str) -> bool:
            strikes.add()
            return True

        account.lose_cancellations = lose
        return strikes


@dataclass(frozen=True)
class StopInstance:
    """Somebody stops a machine behind Drydock's back."""

    what: ClassVar[str] = "stopped"

    instance: str
    moment: Moment

    def arm(self, account: EmbeddedAccount, fleet: Fleet) -> Strikes:
        """Stop the machine when the moment comes."""

        def stop(strikes: Strikes) -> None:
            strikes.add()
            fleet.stop_behind_the_back(_instance_id(fleet, self.instance))

        return _at_moment(self, self.moment, self.instance, stop, account, fleet)


@dataclass(frozen=True)
class CancelCommand:
    """Somebody cancels the command that is at work on a machine."""

    what: ClassVar[str] = "command cancelled"

    instance: str
    moment: Moment

    def arm(self, account: EmbeddedAccount, fleet: Fleet) -> Strikes:
        """Cancel the machine's newest command when the moment comes."""

        def cancel(strikes: Strikes) -> None:
            strikes.add()
            ssm, instance_id = account.client("ssm"), _instance_id(fleet, self.instance)
            for command in ssm.list_commands(InstanceId=instance_id, MaxResults=1)["Commands"]:
                ssm.cancel_command(CommandId=command["CommandId"], InstanceIds=[instance_id])

        return _at_moment(self, self.moment, self.instance, cancel, account, fleet)


@dataclass(frozen=True)
class TerminateInstance:
    """Somebody terminates a machine behind Drydock's back."""

    what: ClassVar[str] = "terminated"

    instance: str
    moment: Moment

    def arm(self, account: EmbeddedAccount, fleet: Fleet) -> Strikes:
        """Terminate the machine when the moment comes."""

        def terminate(strikes: Strikes) -> None:
            strikes.add()
            fleet.terminate_behind_the_back(_instance_id(fleet, self.instance))

        return _at_moment(self, self.moment, self.instance, terminate, account, fleet)


@dataclass(frozen=True)
class ChangeTags:
    """Somebody changes the tags of a machine, its patch group for instance; None takes a tag away."""

    what: ClassVar[str] = "tags changed"

    instance: str
    moment: Moment
    tags: Mapping[str, str | None]

    def arm(self, account: EmbeddedAccount, fleet: Fleet) -> Strikes:
        """Change the tags when the moment comes."""

        def change(strikes: Strikes) -> None:
            strikes.add()
            tags = fleet.tags(_instance_id(fleet, self.instance))
            for key, value in self.tags.items():
                if value is None:
                    tags.pop(key, None)
                else:
                    tags[key] = value

        return _at_moment(self, self.moment, self.instance, change, account, fleet)


@dataclass(frozen=True)
class RunAssociation:
    """A State Manager association runs AWS-RunPatchBaseline on a machine: Run Command knows nothing of it."""

    what: ClassVar[str] = "patch association run"

    instance: str
    moment: Moment
    operation: str = "Scan"

    def arm(self, account: EmbeddedAccount, fleet: Fleet) -> Strikes:
        """Run it when the moment comes, or when the agent is there."""

        def run(strikes: Strikes) -> None:
            strikes.add()
            fleet.run_command.associate(fleet.machine(_instance_id(fleet, self.instance)), self.operation)

        return _at_moment(self, self.moment, self.instance, run, account, fleet)


class _Executions(Observer):
    """Which execution works on which instance."""

    def __init__(self, account: EmbeddedAccount) -> None:
        self._account = account
        self._instances: dict[str, str] = {}
        self._open: dict[str, None] = {}
        self.entered: list[Callable[[str, str], None]] = []

    @classmethod
    def of(cls, account: EmbeddedAccount) -> _Executions:
        """Return the account's one observer of executions."""
        for observer in account.observers:
            if isinstance(observer, cls):
                return observer
        observer = cls(account)
        account.observers.append(observer)
        return observer

    def instance_of(self, execution: str) -> str:
        """Return the id of the instance in the execution's input, or nothing."""
        if execution not in self._instances:
            given = self._account.execution(execution).input
            self._instances[execution] = str(given.get("instanceId", "")) if isinstance(given, dict) else ""
        return self._instances[execution]

    def machine_of(self, execution: str) -> str:
        """Return the id of the instance that an execution, or a child of a run's Map, works for, or nothing."""
        given = self._account.execution(execution).input
        item = given.get("item") if isinstance(given, dict) else None
        return str(item.get("instanceId", "")) if isinstance(item, dict) else self.instance_of(execution)

    def is_of_run(self, execution: str, run: str) -> bool:
        """Say whether an execution is that of a run, or a child of its Map."""
        view = self._account.execution(execution)
        if "/" in view.machine and view.parent is not None:
            view = self._account.execution(view.parent)
        return view.name == run

    def running(self, instance_id: str) -> str | None:
        """Return the newest open execution for an instance."""
        mine = [execution for execution in self._open if self.instance_of(execution) == instance_id]
        return mine[-1] if mine else None

    def are_of(self, call: Call, machine: str | None, fleet: Fleet) -> bool:
        """Say whether a call was made on behalf of a machine; any call is when none is asked for."""
        if machine is None:
            return True
        execution = call.caller.execution
        return execution is not None and self.machine_of(execution) == _instance_id(fleet, machine)

    def are_of_run(self, call: Call, run: str | None) -> bool:
        """Say whether a call was made on behalf of a run; any call is when none is asked for."""
        return run is None or (call.caller.execution is not None and self.is_of_run(call.caller.execution, run))

    def state_entered(self, execution_arn: str, state: str) -> None:
        """Tell the armed faults."""
        self._open[execution_arn] = None
        for action in list(self.entered):
            action(execution_arn, state)

    def execution_changed(self, arn: str, status: str) -> None:
        """Keep the open executions."""
        if status == "RUNNING":
            self._open[arn] = None
        else:
            self._open.pop(arn, None)


class _EndObserver(Observer):
    """Hears of every invocation that is over."""

    def __init__(self, notice: Callable[[str], None]) -> None:
        self._notice = notice

    def function_invoked(self, name: str, event: Any, outcome: Any) -> None:
        """Pass the function's name on."""
        self._notice(name)


def _at_moment(
    fault: Fault, moment: Moment, machine: str, act: Callable[[Strikes], None], account: EmbeddedAccount, fleet: Fleet
) -> Strikes:
    strikes = Strikes(fault)
    if moment.state is None:
        account.clock.call_later(moment.after, lambda: act(strikes))
        return strikes
    executions = _Executions.of(account)
    armed = True

    def notice(execution: str, state: str) -> None:
        nonlocal armed
        if armed and state == moment.state and executions.instance_of(execution) == _instance_id(fleet, machine):
            armed = False
            account.clock.call_later(moment.after, lambda: act(strikes))

    executions.entered.append(notice)
    return strikes


def _instance_id(fleet: Fleet, machine: str) -> str:
    return next(one.instance_id for one in fleet.machines if one.spec.name == machine)


def _interception(error: BaseException, after_effect: bool) -> Interception:
    return Interception(after=error) if after_effect else Interception(before=error)


def _client_error(service: str, code: str, message: str, operation: str) -> ClientError:
    status = status_of(service, code)
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, operation)


def describe(fault: Fault) -> str:
    """Return a fault as people read it."""
    match fault:
        case EventFault():
            return f"events {fault.detail_type!r} {fault.what}"
        case FailCall():
            return f"{fault.call} fails with {fault.error}"
        case KillFunction():
            return f"function {fault.function} is killed"
        case StopExecution() | StopInstance() | CancelCommand() | TerminateInstance() | ChangeTags():
            return f"{fault.instance}: {fault.what} by somebody {fault.moment}"
        case RunAssociation():
            return f"{fault.instance}: {fault.what} ({fault.operation}) {fault.moment}"
        case StopRun():
            return f"{fault.run}: {fault.what} by somebody {fault.moment}"
        case LoseCancellations():
            return fault.what
    return str(fault)
