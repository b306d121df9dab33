"""The vocabulary of the scenario tests of runs: fleets, how runs are started and stopped, and how they ended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.engine.messages import Message
from rehearsal.world.fleet import Machine
from tests.scenarios.machine.scenario import Scenario

QUICKLY: Mapping[str, Any] = {"backup": {"before": {"take": False}, "after": {"take": False}}}
"""The policy of a run that is about something else than images."""

FAILING: Mapping[str, Any] = {"wrong": ("install_error",)}
"""A machine whose installation fails."""

MINUTES = 240
"""The deadline of a run by hand, unless its policy says otherwise."""

Targets = str | Sequence[Machine | Mapping[str, Any]] | None
"""The value of the tag `Patch Group`, machines, or targets as the input has them; None for an input without."""


@dataclass(frozen=True)
class RunView:
    """A run as it is now: its execution, what Drydock remembers of it, and what people were told."""

    execution: ExecutionView
    item: Mapping[str, Any]
    """The run's item; empty when there is none."""
    places: Mapping[str, Mapping[str, Any]]
    """The machines whose turn came, by name, and the groups, by subject, with what became of them."""
    plan: Mapping[str, Any]
    """Empty when there is none."""
    report: Mapping[str, Any]
    """Empty when there is none."""
    children: Sequence[ExecutionView]
    """The executions of its machines, in the order they started."""
    messages: Sequence[Message]
    """All that people were told about the run and its machines, in order."""
    names: Mapping[str, str]
    """The names of all machines, by instance id."""

    @property
    def arn(self) -> str:
        return self.execution.arn

    @property
    def run_id(self) -> str:
        return self.execution.name

    @property
    def status(self) -> str:
        """The execution's."""
        return self.execution.status

    @property
    def outcome(self) -> str:
        """What became of the run, as its report says; empty while there is none."""
        return str(self.report.get("outcome", ""))

    @property
    def outcomes(self) -> dict[str, str]:
        """What became of each planned machine, by name, in the order of the plan."""
        return {self._name(machine): machine["outcome"] for machine in self.report.get("machines", [])}

    @property
    def errors(self) -> dict[str, str]:
        """The error of each machine that was not patched, by name."""
        machines = self.report.get("machines", [])
        return {self._name(machine): machine["error"] for machine in machines if machine["error"]}

    @property
    def causes(self) -> dict[str, str]:
        """Why each of them was not, in words."""
        machines = self.report.get("machines", [])
        return {self._name(machine): machine["cause"] for machine in machines if machine["error"]}

    @property
    def left_out(self) -> dict[str, str]:
        """The error of each machine that was not even planned, by name."""
        return {self._name(machine): machine["error"] for machine in self.plan.get("leftOut", [])}

    @property
    def waves(self) -> list[list[str]]:
        """The names of the planned machines, wave by wave."""
        waves: list[list[str]] = [[] for _ in self.plan.get("waves", [])]
        for machine in self.plan.get("machines", []):
            waves[machine["wave"]].append(self._name(machine))
        return waves

    @property
    def planned(self) -> list[str]:
        """The names of the planned machines, in order."""
        return [name for wave in self.waves for name in wave]

    @property
    def began(self) -> dict[str, datetime]:
        """When the execution of each machine began, by name, in that order."""
        return {self.names[child.input["instanceId"]]: child.started for child in self.children}

    @property
    def ended(self) -> dict[str, datetime]:
        """When the execution of each machine ended, by name."""
        return {self.names[child.input["instanceId"]]: child.stopped for child in self.children if child.stopped}

    @property
    def most_in_work(self) -> int:
        """The greatest number of machines that were in work at one moment."""
        starts = [(child.started, 1) for child in self.children]
        ends = [(child.stopped, -1) for child in self.children if child.stopped]
        in_work = most = 0
        # What ends at a moment makes room for what begins at it.
        for _, change in sorted([*starts, *ends]):
            in_work += change
            most = max(most, in_work)
        return most

    @property
    def summaries(self) -> list[Message]:
        """The messages about the run as a whole."""
        return [message for message in self.messages if message.attributes.get("kind") == "run"]

    @property
    def summary(self) -> Message:
        """The one message about the run as a whole."""
        (message,) = self.summaries
        return message

    def _name(self, machine: Mapping[str, Any]) -> str:
        instance_id = str(machine["instanceId"])
        return self.names.get(instance_id, instance_id)


class RunScenario(Scenario):
    """An account with Drydock deployed, in which runs are started."""

    def machines(self, group: str, count: int, /, **spec: Any) -> list[Machine]:
        """So many machines called `<group>-1`, … with `Patch Group` = `<group>`."""
        return [self.member(group, f"{group}-{number}", **spec) for number in range(1, count + 1)]

    def member(self, group: str, name: str, /, *, tags: Mapping[str, str] | None = None, **spec: Any) -> Machine:
        """A machine with `Patch Group` = `<group>`."""
        return self.machine(name, tags={"Patch Group": group, **(tags or {})}, **spec)

    def start_run(
        self, targets: Targets = None, policy: Mapping[str, Any] | None = None, *, name: str | None = None, **more: Any
    ) -> str:
        """Somebody starts MaintenanceRun; returns the execution's ARN. `more` is the rest of the input."""
        given = {
            **({"targets": _targets(targets)} if targets is not None else {}),
            "policy": {"deadlineMinutes": MINUTES, **(policy or {})},
            **more,
        }
        return self.account.start_execution("MaintenanceRun", given, name)

    def run(
        self, targets: Targets = None, policy: Mapping[str, Any] | None = None, *, name: str | None = None, **more: Any
    ) -> RunView:
        """Start a run, and let everything happen until all is quiet."""
        arn = self.start_run(targets, policy, name=name, **more)
        self.settle()
        return self.view(arn)

    def window(self, window_id: str = "") -> RunView:
        """Jump to the next start of a window, the stack's own unless another is named; let everything happen."""
        return self.view(self.start_window(window_id), settle=True)

    def start_window(self, window_id: str = "") -> str:
        """Jump to the next start of a window and let its run begin; returns the ARN of the run's execution."""
        windows = self.account.windows
        execution_id = windows.run_next(window_id or self.stack.outputs["MaintenanceWindowId"])
        execution = windows.find_execution(execution_id)

        def started() -> str | None:
            return next(
                (one.execution for task in execution.tasks for one in task.invocations if one.execution is not None),
                None,
            )

        self.account.clock.run(until=lambda: started() is not None or execution.ended is not None)
        arn = started()
        assert arn is not None, "the window has started nothing"
        return arn

    def stop_run(self, run_id: str, reason: str | None = None) -> dict[str, Any]:
        """Somebody stops a run gently, as `drydock stop` does; what the function answers."""
        given = {"runId": run_id, **({"reason": reason} if reason is not None else {})}
        answer = self.account.client("lambda").invoke(
            FunctionName=self.stack.outputs["StopRunFunctionName"], Payload=json.dumps(given)
        )
        result: dict[str, Any] = json.loads(answer["Payload"].read())
        return result

    def decide(self, run_id: str, decision: str = "approve", *, by: str = "anna", reason: str = "") -> Any:
        """Somebody among the approvers decides, with a signed request; status and answer."""
        arn = f"arn:aws:iam::123456789012:user/{by}"
        given = {"runId": run_id, "hash": self.run_item(run_id)["planHash"], "decision": decision, "reason": reason}
        response = self.account.urls.request(
            self.stack.outputs["DecideUrl"],
            "POST",
            path="/decide",
            headers={"content-type": "application/json"},
            body=json.dumps(given),
            signed_as=arn,
        )
        return response.status, json.loads(response.body)

    def approvers(self, *names: str) -> None:
        """Who may approve, as the operators have written it into Parameter Store."""
        arns = [f"arn:aws:iam::123456789012:user/{name}" for name in names]
        self._set_parameter(self.stack.outputs["ApproversParameterName"], json.dumps(arns))

    def view(self, arn: str, *, settle: bool = False) -> RunView:
        """A run as it is now, or when everything has happened."""
        if settle:
            self.settle()
        execution = self.account.execution(arn)
        run_id = execution.name
        names = {machine.instance_id: machine.name for machine in self.fleet.machines}
        item = self.run_item(run_id)
        items = [one for one in self.items() if one["pk"] == f"RUN#{run_id}" and one["sk"].startswith("MACHINE#")]
        return RunView(
            execution=execution,
            item=item,
            places={names.get(one["instanceId"], one["instanceId"]): one for one in items},
            plan=self._read(str(item.get("planKey", ""))),
            report=self._read(str(item.get("reportKey", ""))),
            children=[
                child
                for child in self.account.executions()
                if child.machine.endswith("-PatchInstance") and child.input.get("runId") == run_id
            ],
            messages=[message for message in self.messages if message.attributes.get("run") == run_id],
            names=names,
        )

    def run_item(self, run_id: str) -> dict[str, Any]:
        """What Drydock remembers of a run; empty when there is none."""
        return next((item for item in self.items() if item["pk"] == f"RUN#{run_id}" and item["sk"] == "RUN"), {})

    def change_object(self, key: str, change: Mapping[str, Any]) -> None:
        """Somebody writes into a file of the bucket."""
        self.put_object(key, {**self._read(key), **change})

    def put_object(self, key: str, content: Any) -> None:
        """Somebody writes a file of the bucket anew."""
        bucket = self.stack.outputs["LogBucketName"]
        self.account.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(content))

    def snapshots(self, machine: Machine) -> set[str]:
        """The patch snapshots of the commands that were sent to a machine."""
        commands = self.fleet.run_command.list_visible(None, machine.instance_id)
        return {command.parameters["SnapshotId"] for command in commands if "SnapshotId" in command.parameters}

    def _read(self, key: str) -> dict[str, Any]:
        if not key:
            return {}
        bucket = self.stack.outputs["LogBucketName"]
        content: dict[str, Any] = json.loads(
            self.account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        )
        return content


def _targets(targets: Targets) -> Any:
    if isinstance(targets, str):
        return [{"key": "tag:Patch Group", "values": [targets]}]
    if targets and all(isinstance(target, Machine) for target in targets):
        return [{"key": "InstanceIds", "values": [target.instance_id for target in targets]}]  # type: ignore[union-attr]
    return targets


@contextmanager
def run_scenario(
    *,
    parameters: Mapping[str, str] | None = None,
    template: Path | None = None,
    seed: int = 0,
    **options: Any,
) -> Iterator[RunScenario]:
    """An account of its own, with Drydock deployed; `options` are the embedded account's."""
    with EmbeddedAccount(seed=seed, **options) as account, account.open_fleet() as fleet:
        yield RunScenario(account, fleet, parameters or {}, template)


def let_a_month_pass(*machines: Machine) -> None:
    """A patch that was installed is missing again, as if a new one had come out."""
    for machine in machines:
        machine.missing.append(machine.installed.pop())


def assert_patched(scene: Scenario, *machines: Machine, power: str = "running") -> None:
    """Nothing is missing on the machines any more, and they were given back as they came."""
    for machine in machines:
        assert machine.missing == [], machine.name
        assert machine.power == power, machine.name
        assert scene.lease(machine) is None, machine.name
        assert machine.interrupted == [], machine.name


def assert_commands_never_overlap(scene: Scenario, *machines: Machine) -> None:
    """No machine was ever sent a command of one execution before that of another was over."""
    for machine in machines:
        sent = scene.fleet.run_command.list_visible(None, machine.instance_id)
        invocations = [one for command in sent for one in command.invocations if one.machine is machine]
        spans = sorted((one.command.requested, one.finished) for one in invocations)
        for (_, finished), (requested, _) in pairwise(spans):
            assert finished is not None, machine.name
            assert finished <= requested, machine.name
