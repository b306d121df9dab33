"""The vocabulary of the scenario tests: machines, what is started, what goes wrong, and what must be true."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rehearsal.account import EmbeddedAccount, ExecutionView, Observer
from rehearsal.engine.messages import Message
from rehearsal.ledger import read_items, settle
from rehearsal.play.faults import Fault, Strikes
from rehearsal.world.fleet import Fleet, Image, Machine, MachineSpec

MISSING = {"Linux": ("openssl-3.0.8", "kernel-6.1.90"), "Windows": ("KB5034439", "KB5035857")}


LOOK = "At First"
"""In the comments of the commands by which a machine that runs is looked at before anything is done."""


class StateLog(Observer):
    """The states that each execution entered, by its ARN, in order."""

    def __init__(self) -> None:
        self.entered: dict[str, list[str]] = defaultdict(list)

    def state_entered(self, execution_arn: str, state: str) -> None:
        self.entered[execution_arn].append(state)


class Scenario:
    """An account with Drydock deployed, and machines in it."""

    def __init__(
        self, account: EmbeddedAccount, fleet: Fleet, parameters: Mapping[str, str], template: Path | None = None
    ) -> None:
        self.account = account
        self.fleet = fleet
        self.stack = account.deploy(parameters, template=template)
        self._log = StateLog()
        account.observers.append(self._log)

    def machine(self, name: str = "web-1", **spec: Any) -> Machine:
        """A machine that misses two patches, unless the scenario says otherwise."""
        missing = spec.pop("missing", MISSING[spec.get("platform", "Linux")])
        return self.fleet.machine(self.fleet.add(MachineSpec(name=name, missing=missing, **spec)))

    def settings(self, policy: Mapping[str, Any] | str | None) -> None:
        """What the operators have written into Parameter Store; None: nothing, as in a new account."""
        text = json.dumps(policy) if isinstance(policy, Mapping) else policy
        self._set_parameter(self.stack.outputs["PolicyParameterName"], text)

    def topic(self, arn: str | None) -> None:
        """Another topic for results that the operators have written into Parameter Store; None: no other."""
        self._set_parameter(self.stack.outputs["TopicParameterName"], arn)

    def _set_parameter(self, name: str, value: str | None) -> None:
        ssm = self.account.client("ssm")
        if value is None:
            ssm.delete_parameter(Name=name)
        else:
            ssm.put_parameter(Name=name, Value=value, Type="String", Overwrite=True)

    def given(self, *faults: Fault) -> list[Strikes]:
        """Arm faults; they strike when their time comes."""
        return [fault.arm(self.account, self.fleet) for fault in faults]

    def start(self, machine: Machine | str, policy: Mapping[str, Any] | None = None, **more: Any) -> str:
        """Somebody starts PatchInstance for a machine; returns the execution's ARN."""
        instance_id = machine if isinstance(machine, str) else machine.instance_id
        given = {"instanceId": instance_id, **({"policy": policy} if policy is not None else {}), **more}
        return self.account.start_execution("PatchInstance", given)

    def patch(self, machine: Machine | str, policy: Mapping[str, Any] | None = None, **more: Any) -> ExecutionView:
        """Start, and let everything happen until all is quiet."""
        arn = self.start(machine, policy, **more)
        self.settle()
        return self.account.execution(arn)

    def settle(self) -> None:
        """Let everything happen, sweeps included, until no lease, no open run and nothing untold is left."""
        settle(self.account, self.stack)

    def run_until(self, execution: str, state: str, seconds: float = 0) -> None:
        """Let everything happen until an execution has entered a state, and some seconds more."""
        self.account.clock.run(until=lambda: state in self._log.entered[execution], limit=timedelta(days=2))
        self.run_for(seconds / 60)

    def run_until_any(self, is_meant: Callable[[str, str], bool]) -> str:
        """Let everything happen until an execution is in a state that is meant; its ARN, or none when all is over.

        `is_meant` is asked about the ARN of each execution, and the last state that it entered.
        """

        def found() -> str:
            return next((arn for arn, states in self._log.entered.items() if is_meant(arn, states[-1])), "")

        self.account.clock.run(until=lambda: bool(found()))
        return found()

    def run_for(self, minutes: float) -> None:
        """Let everything happen for a while, and stop in the middle of it."""
        end = self.account.clock.now() + timedelta(minutes=minutes)
        self.account.clock.call_at(end, lambda: None)
        self.account.clock.run(until=lambda: self.account.clock.now() >= end)

    def items(self) -> list[dict[str, Any]]:
        """Everything that Drydock remembers."""
        return read_items(self.account, self.stack)

    def prune(self, **event: Any) -> Mapping[str, Any]:
        """What the daily schedule starts, or a person; the index of the table follows."""
        self.run_for(1)
        answer = self.account.client("lambda").invoke(
            FunctionName=self.stack.outputs["PruneImagesFunctionName"], Payload=json.dumps(event).encode()
        )
        done: Mapping[str, Any] = json.loads(answer["Payload"].read())
        return done

    def prunings(self) -> list[dict[str, Any]]:
        """The images that are on their way out."""
        return [item for item in self.items() if item["sk"].startswith("PRUNING#")]

    def end_days_of_grace(self) -> None:
        """A week passes for the images that are on their way out."""
        began = self.account.clock.now() - timedelta(days=7)
        for item in self.prunings():
            self.account.client("dynamodb").update_item(
                TableName=self.stack.outputs["StateTableName"],
                Key={"pk": {"S": item["pk"]}, "sk": {"S": item["sk"]}},
                UpdateExpression="SET startedAt = :began",
                ExpressionAttributeValues={":began": {"S": began.strftime("%Y-%m-%dT%H:%M:%S.000Z")}},
            )

    def lease(self, machine: Machine) -> dict[str, Any] | None:
        pk = f"INSTANCE#{machine.instance_id}"
        return next((item for item in self.items() if item["pk"] == pk and item["sk"] == "LEASE"), None)

    def results(self, machine: Machine) -> list[dict[str, Any]]:
        pk = f"INSTANCE#{machine.instance_id}"
        return [item for item in self.items() if item["pk"] == pk and item["sk"].startswith("RESULT#")]

    def result(self, machine: Machine) -> dict[str, Any]:
        """The one result of a machine."""
        (result,) = self.results(machine)
        return result

    def images(self, machine: Machine) -> list[Image]:
        return [image for image in self.fleet.images.by_id.values() if image.machine is machine]

    def tags(self, machine: Machine) -> dict[str, str]:
        return dict(self.fleet.tags(machine.instance_id))

    def commands(self, machine: Machine, document: str = "", *, with_look: bool = False) -> list[str]:
        """The documents of the commands that were sent to a machine, in order; without those that look at it first."""
        sent = self.fleet.run_command.list_visible(None, machine.instance_id)
        return [
            command.document.name
            for command in reversed(sent)
            if document in command.document.name and (with_look or LOOK not in command.request["Comment"])
        ]

    @property
    def messages(self) -> list[Message]:
        return self.account.messages

    def told(self, machine: Machine) -> list[Message]:
        """What people were told about a machine, in order."""
        return [message for message in self.messages if machine.instance_id in message.said]

    def states(self, execution: str) -> list[str]:
        """The states that an execution entered, in order."""
        return list(self._log.entered[execution])


@contextmanager
def scenario(
    *, parameters: Mapping[str, str] | None = None, template: Path | None = None, seed: int = 0, **knobs: Any
) -> Iterator[Scenario]:
    """An account of its own for one test, with the project's template unless it gives another, and such knobs."""
    with EmbeddedAccount(seed=seed, **knobs) as account, account.open_fleet() as fleet:
        yield Scenario(account, fleet, parameters or {}, template)


def assert_given_back(scene: Scenario, machine: Machine, power: str) -> None:
    """The machine has the power state it came with, nobody holds it, and nothing was cut short."""
    assert machine.power == power
    assert scene.lease(machine) is None
    assert machine.interrupted == []


def assert_untouched(scene: Scenario, machine: Machine) -> None:
    """Drydock did nothing to the machine: no lease, image, command, tag, boot or power change."""
    assert scene.lease(machine) is None
    assert scene.images(machine) == []
    assert scene.commands(machine, with_look=True) == []
    group = {"aws:autoscaling:groupName": machine.spec.group} if machine.spec.group else {}
    assert scene.tags(machine) == {"Name": machine.name, **machine.spec.tags, **group}
    assert [state for _, state in machine.power_log] == [machine.spec.power]
    assert machine.boots == 1


@pytest.fixture(scope="module")
def scene() -> Iterator[Scenario]:
    """One account for all tests of a module: each has machines of its own and leaves the rest as it was."""
    with scenario() as opened:
        yield opened
