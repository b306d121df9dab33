"""The embedded AWS account: the project's own template, machines and functions, in this process, in virtual time."""

from __future__ import annotations

import gc
import json
import logging
import os
import random
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from unittest.mock import patch

import time_machine
from moto import mock_aws
from moto.moto_api._internal import mock_random
from moto.sqs.models import sqs_backends

from rehearsal.engine import keys, messages, subscriptions
from rehearsal.engine.answers import answer_calls
from rehearsal.engine.bus import EventBus
from rehearsal.engine.calls import ACCOUNT, REGION, Call, Caller, CallLog, current_caller, make_client, route_calls
from rehearsal.engine.clock import VirtualClock
from rehearsal.engine.deployment import Deployer, Stack
from rehearsal.engine.direct_calls import find_direct_call
from rehearsal.engine.dynamodb.calls import DynamoDB
from rehearsal.engine.functions import FunctionHost, Outcome
from rehearsal.engine.limits import Limits
from rehearsal.engine.messages import Message
from rehearsal.engine.objects import MissingObjects
from rehearsal.engine.permissions import Permissions
from rehearsal.engine.project import PROJECT
from rehearsal.engine.repairs import (
    copies,
    descriptions,
    distributed_map,
    documented,
    dynamodb,
    executions,
    integrations,
    jsonata,
    nested,
    patterns,
    redrive,
    validation,
    waits,
)
from rehearsal.engine.repairs.errors import service_error
from rehearsal.engine.repairs.patches import Patches
from rehearsal.engine.urls import FunctionUrls
from rehearsal.services.window_calls import WindowCalls
from rehearsal.services.wiring import answer_from
from rehearsal.world.fleet import Fleet
from rehearsal.world.gates import Gates
from rehearsal.world.windows import Windows

START = datetime.fromisoformat("2026-01-13T01:00:00+09:00")
RECURSION_LIMIT = 10_000
_BILLION = 1_000_000_000


class Observer:
    """Hears of what happens in the account; every method does nothing until it is overridden."""

    def state_entered(self, execution_arn: str, state: str) -> None: ...

    def execution_changed(self, execution_arn: str, status: str) -> None: ...

    def call_made(self, call: Call) -> None: ...

    def event_put(self, event: dict[str, Any]) -> None: ...

    def message_published(self, message: Message) -> None: ...

    def function_invoked(self, name: str, event: Any, outcome: Outcome) -> None: ...


@dataclass(frozen=True)
class ExecutionView:
    """An execution as it is now."""

    arn: str
    name: str
    machine: str
    status: str
    input: Any
    output: Any
    error: str | None
    cause: str | None
    started: datetime
    stopped: datetime | None
    transitions: int
    parent: str | None
    """ARN of the execution that started it, as a child of its Distributed Map or by a task."""
    _history: list[dict[str, Any]] = field(repr=False)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The history, each event as a dictionary."""
        return [{**event, "type": event["type"].value} for event in self._history]


class EmbeddedAccount:
    """An AWS account in this process, one at a time; it leaves the process as it was.

    What AWS calls eventually consistent (ListExecutions, the indexes of a table) is `late_seconds` behind.
    With `limits`, AWS refuses calls that come faster than its documented rates. With `window_waits`, an execution of a
    maintenance window lasts until the state machines that it started have ended. With `map_child_events`, the children
    of a Distributed Map tell EventBridge of their status. Recordings and documentation disagree on what a missed
    heartbeat is called (`heartbeat_error`, documented: States.HeartbeatTimeout) and on whether States.ALL stands for
    States.DataLimitExceeded, too (`all_catches_data_limit`, documented: no).
    `dynamodb` says whose items a table has: the account's own, which are quick, or moto's. When it is not given, the
    variable DRYDOCK_DYNAMODB says so; without either they are the account's own.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        start: datetime = START,
        call_seconds: float = 0.05,
        late_seconds: float = 3.0,
        enforce_permissions: bool = True,
        limits: bool = False,
        window_waits: bool = True,
        map_child_events: bool = False,
        heartbeat_error: Literal["States.Timeout", "States.HeartbeatTimeout"] = "States.Timeout",
        all_catches_data_limit: bool = True,
        dynamodb: Literal["own", "moto"] | None = None,
        project: Path = PROJECT,
    ) -> None:
        self.project = project
        self.random = random.Random(seed)
        self._identifiers = random.Random(f"{seed} identifiers")
        self.clock = VirtualClock(start)
        self.calls = CallLog(self.clock, call_seconds)
        if limits:
            self.calls.limits = Limits(self.clock.time, random.Random(f"{seed} limits"))
        self.permissions = Permissions(enforce_permissions)
        self.observers: list[Observer] = []
        self.messages: list[Message] = []
        self.bus = EventBus(self.clock, self.random, self.make_uuid, self._deliver)
        self.gates = Gates(self.clock, self.bus)
        self.calendars = self.gates.calendars
        self.alarms = self.gates.alarms
        self.functions = FunctionHost(self.clock, self.calls, self.make_uuid, self._note_invocation, self._send)
        self.urls = FunctionUrls(self.clock, self.functions, self.make_uuid)
        self._deployer = Deployer(project, self.functions, self.urls)
        self.windows = Windows(self, waits=window_waits)
        self._window_calls = WindowCalls(self.windows, self.clock.now, self.make_uuid)
        self._deployer.types.update(self._window_calls.resource_types())
        self._deployer.types.update(keys.resource_types(self.make_uuid))
        self._deployer.types.update(subscriptions.resource_types())
        self.map_child_events = map_child_events
        self._heartbeat_error = heartbeat_error
        self._all_catches_data_limit = all_catches_data_limit
        self.dynamodb = dynamodb or os.environ.get("DRYDOCK_DYNAMODB") or "own"
        self.lose_cancellations: Callable[[str], bool] = lambda arn: False
        """Says, by ARN, which executions run on although the one that started them, and waited for them, is over.

        AWS stops them some seconds later, but as a best effort only.
        """
        self._executions: dict[str, Any] = {}
        self._patches = Patches()
        self._seed = seed
        self.late_seconds = late_seconds

    def __enter__(self) -> EmbeddedAccount:
        try:
            self._set_up()
        except BaseException:
            self._patches.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clock.close()
        self._patches.close()

    def make_uuid(self) -> str:
        """Return a UUID that depends on the seed alone."""
        return str(uuid.UUID(int=self._identifiers.getrandbits(128), version=4))

    def client(self, service: str) -> Any:
        """Return a boto3 client of a person, or of AWS itself: no virtual time, no permissions."""
        return make_client(service)

    def deploy(
        self,
        parameters: Mapping[str, str] | None = None,
        stack: str = "drydock",
        template: Path | None = None,
        before_each: Callable[[str], object] = lambda logical_id: None,
    ) -> Stack:
        """Create the project's stack; raises DeploymentError when that is not possible.

        `before_each` hears of each resource before it is made, by its logical id, and fails it by raising
        ResourceFailedError; the creation is rolled back then.
        """
        self._deployer.resources.before_each = before_each
        deployed = self._deployer.deploy(template or self.project / "template.yaml", stack, parameters or {})
        self.permissions.forget()
        self.bus.start_schedules()
        return deployed

    def delete_stack(self, stack: str = "drydock") -> None:
        """Delete a stack; raises DeploymentError when something cannot be deleted."""
        self._deployer.delete(stack)
        self.permissions.forget()

    @contextmanager
    def open_fleet(
        self, *, connection_lost_after: float = 330.0, pending_snapshots_show: bool = True
    ) -> Iterator[Fleet]:
        """Give the account machines; while they are there, they answer its calls. The knobs are explained in Fleet."""
        fleet = Fleet(self, connection_lost_after=connection_lost_after, pending_snapshots_show=pending_snapshots_show)
        with Patches() as patches:
            answer_from(fleet, patches)
            yield fleet

    def start_execution(self, machine: str, input: Mapping[str, Any], name: str | None = None) -> str:
        """Start a state machine, named by the end of its name; return the ARN of the execution."""
        client = self.client("stepfunctions")
        found = [
            item["stateMachineArn"]
            for item in client.list_state_machines()["stateMachines"]
            if item["name"] == machine or item["name"].endswith(f"-{machine}")
        ]
        if len(found) != 1:
            raise LookupError(f"{len(found)} state machines have a name that ends in {machine}")
        options = {"name": name} if name else {}
        answer = client.start_execution(stateMachineArn=found[0], input=json.dumps(input), **options)
        return str(answer["executionArn"])

    def execution(self, arn: str) -> ExecutionView:
        """Return an execution as it is now; raises KeyError when there is none."""
        execution = self._executions[arn]
        return ExecutionView(
            arn=arn,
            name=execution.name,
            machine=execution.state_machine.name,
            status=str(execution.exec_status.value),
            input=execution.input_data,
            output=execution.output,
            error=execution.error,
            cause=execution.cause,
            started=execution.start_date,
            stopped=execution.stop_date,
            transitions=execution.transitions,
            parent=getattr(execution, "parent_arn", None),
            _history=execution.exec_worker.env.event_manager._history_event_list,
        )

    def status_of(self, execution: str) -> str:
        """Return the status of an execution by its ARN; raises KeyError when there is none."""
        return self.execution(execution).status

    def executions(self) -> list[ExecutionView]:
        """Return every execution, in the order they started."""
        return [self.execution(arn) for arn in self._executions]

    def stop_execution(self, arn: str, error: str | None = None, cause: str | None = None) -> None:
        """Stop an execution as a person does."""
        options = {key: value for key, value in (("error", error), ("cause", cause)) if value is not None}
        self.client("stepfunctions").stop_execution(executionArn=arn, **options)

    def forget(self, arn: str) -> None:
        """Let go of an execution that is over, but for how it ended, and of the calls, events and logs of all."""
        env = self._executions[arn].exec_worker.env
        env.event_manager._history_event_list.clear()
        env.heap.clear()
        env.stack.clear()
        env.states = env.variable_store = None
        self.calls.calls.clear()
        self.bus.events.clear()
        self.functions.logs.clear()

    def run_until_quiet(self, limit: timedelta = timedelta(hours=48)) -> None:
        """Run until nothing but schedules is left; raises TimeLimitError past `limit` of virtual time."""
        self.clock.run(limit=limit)

    def queue(self, arn_or_url: str) -> list[str]:
        """Return the bodies of the messages in a queue."""
        queue = sqs_backends[ACCOUNT][REGION].queues[arn_or_url.replace("/", ":").split(":")[-1]]
        return [message.body for message in queue._messages]

    def _set_up(self) -> None:
        patches = self._patches
        previous = sys.getrecursionlimit()
        sys.setrecursionlimit(max(previous, RECURSION_LIMIT))
        patches.callback(sys.setrecursionlimit, previous)
        # A night makes millions of objects that stay: searching them for garbage took a fifth of its time.
        patches.callback(gc.set_threshold, *gc.get_threshold())
        gc.set_threshold(50_000, 20, 100)
        moto_log = logging.getLogger("moto")
        patches.callback(moto_log.setLevel, moto_log.level)
        moto_log.setLevel(logging.CRITICAL)
        # Configuration of a person must not reach the account.
        variables = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        patches.enter_context(patch.dict(os.environ, variables, clear=True))
        os.environ["AWS_DEFAULT_REGION"] = REGION
        # moto would make, and keep, more than a thousand images of Amazon's for every account.
        os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
        patches.enter_context(
            mock_aws(config={"stepfunctions": {"execute_state_machine": True}, "lambda": {"use_docker": False}})
        )
        self._follow_clock(patches)
        self._make_chance_repeatable(patches)
        route_calls(patches, self.calls, find_direct_call)
        answer_calls(patches, self.functions.find_answer)
        self._answer_about_items(patches)
        self.calls.check_alive = self.functions.check_alive
        self.calls.spend = self.functions.spend
        self.calls.checks.append(self.permissions.check)
        self.calls.checks.append(MissingObjects(self.permissions).check)
        self.calls.observers.append(self._note_call)
        self.bus.observers.append(self._note_event)
        keys.repair_symmetric_keys(patches)
        patterns.repair_event_patterns(patches)
        self.functions.install(patches)
        self._deployer.install(patches)
        answer_calls(patches, self._window_calls.find_answer)
        answer_calls(patches, self.gates.find_answer)
        messages.keep_messages(patches, self.clock, self._note_message)
        subscriptions.repair_pending_subscriptions(patches)
        self._repair_interpreter(patches)

    def _answer_about_items(self, patches: Patches) -> None:
        dynamodb.repair_attribute_values(patches)
        if self.dynamodb == "own":
            items = DynamoDB(ACCOUNT, REGION, self.clock.time, self.late_seconds)
            answer_calls(patches, items.find_answer)
            return
        dynamodb.repair_transactions(patches)
        dynamodb.repair_queries(patches)
        dynamodb.repair_projections(patches)
        dynamodb.repair_repeated_parsing(patches)
        dynamodb.repair_item_copies(patches)
        dynamodb.repair_item_sizes(patches)
        dynamodb.repair_repeated_checks(patches)
        dynamodb.delay_indexes(patches, self.clock.time, self.late_seconds)

    def _follow_clock(self, patches: Patches) -> None:
        travel = time_machine.travel(self.clock.now(), tick=False)
        traveller = travel.start()
        patches.callback(travel.stop)
        at = round(self.clock.time() * _BILLION)
        # Without a time zone, which would be set again and again.
        traveller.move_to(at // _BILLION)
        traveller.shift(at % _BILLION / _BILLION)

        def follow(now: float) -> None:
            nonlocal at
            # By what has passed, which is quicker than to an instant, and to the nanosecond the same.
            passed, at = round(now * _BILLION) - at, round(now * _BILLION)
            traveller.shift(passed / _BILLION)

        self.clock.on_advance = follow
        patches.replace(time, "sleep", self.clock.sleep)

    def _make_chance_repeatable(self, patches: Patches) -> None:
        for source in (random, mock_random):
            patches.callback(source.setstate, source.getstate())
            source.seed(self._seed)
        # What the process does once only, such as making clients, must not shift the account's own identifiers.
        others = random.Random(f"{self._seed} others")
        patches.replace(uuid, "uuid4", lambda: uuid.UUID(int=others.getrandbits(128), version=4))

    def _repair_interpreter(self, patches: Patches) -> None:
        shared = executions.Executions(
            self.clock,
            self.random,
            self.make_uuid,
            self._note_status,
            self._note_state,
            self._enter_execution,
            lambda arn: self.lose_cancellations(arn),
        )
        executions.run_on_clock(patches, shared)
        executions.repair_identifiers(patches, shared)
        copies.repair_copies(patches)
        executions.repair_parsing(patches)
        executions.repair_strings(patches)
        validation.repair_validation(patches)
        executions.repair_start(patches, shared)
        executions.repair_life_cycle(patches, shared)
        redrive.repair_redrive(patches, shared)
        executions.repair_descriptions(patches, shared)
        executions.delay_lists(patches, shared, self.late_seconds)
        descriptions.repair_machine_descriptions(patches)
        executions.repair_history(patches)
        executions.repair_state_context(patches)
        executions.repair_task_time(patches, shared)
        executions.repair_task_tokens(patches, shared)
        waits.repair_waits(patches, shared)
        executions.repair_error_names(patches)
        executions.repair_jitter(patches, shared)
        executions.repair_assigned_variables(patches)
        jsonata.repair_jsonata_evaluation(patches, self.make_uuid)
        jsonata.repair_evaluation_events(patches)
        jsonata.repair_query_language_stack(patches)
        nested.repair_nested_executions(patches, shared, self.calls)
        distributed_map.repair_map_settings(patches)
        distributed_map.repair_distributed_map(patches, shared, self.calls)
        integrations.repair_clients(patches)
        integrations.repair_lambda_invocation(patches, self.calls, self.functions)
        if self._heartbeat_error == "States.HeartbeatTimeout":
            documented.name_missed_heartbeats(patches)
        if not self._all_catches_data_limit:
            documented.except_data_limits(patches)

    def _enter_execution(self, execution: Any) -> None:
        # A child of a Distributed Map works for the machine that the Map is in.
        name = execution.state_machine.name.split("/")[0]
        current_caller.set(Caller("machine", name, execution.role_arn, execution.exec_arn))

    def _note_state(self, execution: Any, state: str) -> None:
        for observer in self.observers:
            observer.state_entered(execution.exec_arn, state)

    def _note_status(self, execution: Any) -> None:
        self._executions[execution.exec_arn] = execution
        status = str(execution.exec_status.value)
        for observer in self.observers:
            observer.execution_changed(execution.exec_arn, status)
        self.windows.note_execution(execution.exec_arn, status)
        if hasattr(execution, "map_run_arn") and not self.map_child_events:
            return
        detail = {
            "executionArn": execution.exec_arn,
            "stateMachineArn": execution.state_machine.arn,
            "name": execution.name,
            "status": status,
            "startDate": _milliseconds(execution.start_date),
            "stopDate": _milliseconds(execution.stop_date),
            "input": execution.execution_input,
            "inputDetails": {"included": True},
            "output": json.dumps(execution.output, separators=(",", ":")) if status == "SUCCEEDED" else None,
            "outputDetails": {"included": True} if status == "SUCCEEDED" else None,
            "error": execution.error,
            "cause": execution.cause,
            "stateMachineVersionArn": None,
            "stateMachineAliasArn": None,
            "redriveCount": getattr(execution, "redrive_count", 0),
            "redriveDate": _milliseconds(getattr(execution, "redrive_date", None)),
            "redriveStatus": "NOT_REDRIVABLE" if status in ("RUNNING", "SUCCEEDED") else "REDRIVABLE",
            "redriveStatusReason": (
                f"Execution is {status} and cannot be redriven" if status in ("RUNNING", "SUCCEEDED") else None
            ),
        }
        self.bus.put("aws.states", "Step Functions Execution Status Change", detail, [execution.exec_arn])

    def _note_call(self, call: Call) -> None:
        for observer in self.observers:
            observer.call_made(call)

    def _note_event(self, event: dict[str, Any]) -> None:
        for observer in self.observers:
            observer.event_put(event)

    def _note_message(self, message: Message) -> None:
        self.messages.append(message)
        for observer in self.observers:
            observer.message_published(message)

    def _note_invocation(self, name: str, payload: str, outcome: Outcome) -> None:
        listening = [one for one in self.observers if type(one).function_invoked is not Observer.function_invoked]
        event = json.loads(payload) if listening else None
        for observer in listening:
            observer.function_invoked(name, event, outcome)

    def _deliver(self, service: str, arn: str, payload: str) -> None:
        """Deliver an event's payload to a target; raises ServiceException when the target refuses."""
        if service == "lambda":
            function = self.functions.find(arn)
            if not any(
                name == function.name and principal == "events.amazonaws.com"
                for name, principal, _ in self._deployer.permissions
            ):
                raise service_error("lambda", "AccessDeniedException", f"EventBridge may not invoke {function.name}")
            self.functions.invoke_later(arn, payload)
        elif service == "states":
            self.client("stepfunctions").start_execution(stateMachineArn=arn, input=payload)
        elif service in ("sns", "sqs"):
            self._send(arn, payload)
        else:
            raise NotImplementedError(f"targets of the service {service} are not delivered to: {arn}")

    def _send(self, arn: str, body: str) -> None:
        if arn.split(":")[2] == "sns":
            self.client("sns").publish(TopicArn=arn, Message=body)
        else:
            sqs_backends[ACCOUNT][REGION].send_message(queue_name=arn.split(":")[-1], message_body=body)


def _milliseconds(instant: datetime | None) -> int | None:
    return None if instant is None else int(instant.astimezone(UTC).timestamp() * 1000)
