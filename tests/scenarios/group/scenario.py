"""The vocabulary of the scenario tests of rolls: groups, how rolls are started, and how they ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.engine.messages import Message
from rehearsal.play.group_monitor import GroupMonitor
from rehearsal.world.fleet import Group, MachineSpec
from rehearsal.world.group_members import Change, Member
from tests.scenarios.machine.scenario import MISSING, Scenario

QUICKLY: Mapping[str, Any] = {"backup": {"before": {"take": False}, "after": {"take": False}}}
"""The policy of a roll that is about something else than images."""

FAILING: Mapping[str, Any] = {"wrong": ("install_error",)}
"""A machine whose installation fails; it serves all the same."""

MEMBER_TAG = "AutoPatchInstanceInASG"


@dataclass(frozen=True)
class RollView:
    """A roll as it is now: its execution, what Drydock remembers of it, and what people were told."""

    execution: ExecutionView
    result: Mapping[str, Any]
    """Empty while there is none."""
    children: Sequence[ExecutionView]
    """The executions that patch its members, in the order they started."""
    messages: Sequence[Message]
    """All that people were told since it began, in order."""
    names: Mapping[str, str]
    """The names of all machines, by instance id."""

    @property
    def arn(self) -> str:
        return self.execution.arn

    @property
    def status(self) -> str:
        """The execution's."""
        return self.execution.status

    @property
    def error(self) -> str | None:
        return self.execution.error

    @property
    def outcomes(self) -> dict[str, str]:
        """What became of each member, by name."""
        return {self.names[key]: found["outcome"] for key, found in self._members.items()}

    @property
    def moves(self) -> dict[str, str]:
        """Where each member went whose turn came, by name."""
        return {self.names[key]: found["move"] for key, found in self._members.items() if "move" in found}

    @property
    def errors(self) -> dict[str, str]:
        """The error of each member that was not patched, by name."""
        return {self.names[key]: found["error"] for key, found in self._members.items() if found.get("error")}

    @property
    def order(self) -> list[str]:
        """The names of the members whose patching began, in that order."""
        return [self.names[child.input["instanceId"]] for child in self.children]

    @property
    def problems(self) -> list[str]:
        return list(self.result.get("problems") or [])

    @property
    def summary(self) -> Message:
        """The one message about the roll as a whole."""
        (message,) = [one for one in self.messages if one.attributes.get("kind") == "group"]
        return message

    @property
    def _members(self) -> Mapping[str, Mapping[str, Any]]:
        members: Mapping[str, Mapping[str, Any]] = self.result.get("members") or {}
        return members


class RollScenario(Scenario):
    """An account with Drydock deployed, in which groups are rolled through."""

    def group(
        self,
        name: str = "web",
        members: int | Sequence[Mapping[str, Any]] = 4,
        *,
        batch: int = 1,
        min_healthy: int | None = None,
        **settings: Any,
    ) -> tuple[Group, GroupMonitor]:
        """A group over two zones behind a target group, whose members miss two patches, and a monitor of it.

        `members` are a number, or what is particular about each; the first is the oldest. The group may shrink by
        the batch.
        """
        particulars: Sequence[Mapping[str, Any]] = [{}] * members if isinstance(members, int) else members
        machines = [
            MachineSpec(**{"name": f"{name}-{number}", "missing": MISSING["Linux"], **particular})
            for number, particular in enumerate(particulars, 1)
        ]
        bounds = {"min": max(len(machines) - batch, 0), "max": len(machines) + 2}
        group = self.fleet.add_group(name, machines, **{"target_group": name, **bounds, **settings})
        for number, member in enumerate(reversed(group.members.values())):
            member.machine.launch_time -= timedelta(days=number)
        return group, GroupMonitor(self.account, group, batch=batch, min_healthy=min_healthy)

    def start_roll(
        self,
        group: Group | str,
        policy: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        **more: Any,
    ) -> str:
        """Somebody starts RollGroup; returns the execution's ARN. `more` is the rest of the input."""
        group_name = group if isinstance(group, str) else group.name
        given = {"groupName": group_name, **({"policy": policy} if policy is not None else {}), **more}
        return self.account.start_execution("RollGroup", given, name)

    def roll(
        self,
        group: Group | str,
        policy: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        **more: Any,
    ) -> RollView:
        """Roll through a group, and let everything happen until all is quiet."""
        arn = self.start_roll(group, policy, name=name, **more)
        self.settle()
        return self.view(arn)

    def once(self, group: Group, what: str, action: Callable[[Member], Any], *, seconds: float = 0) -> None:
        """Do something when a member first comes to this state of its life cycle, or so many seconds later."""
        armed = True

        def notice(change: Change) -> None:
            nonlocal armed
            if armed and change.what == what and change.instance_id in group.members:
                armed = False
                member = group.members[change.instance_id]
                self.account.clock.call_later(seconds, lambda: action(member))

        group.listeners.append(notice)

    def run_until_out(self, group: Group) -> Member:
        """Let everything happen until a member is in standby; which."""
        clock = self.account.clock
        clock.run(until=lambda: any(member.state == "Standby" for member in group.members.values()))
        return next(member for member in group.members.values() if member.state == "Standby")

    def view(self, arn: str) -> RollView:
        """A roll as it is now."""
        execution = self.account.execution(arn)
        results = [item for item in self.items() if item["sk"].startswith("RESULT#") and item.get("execution") == arn]
        return RollView(
            execution=execution,
            result=results[0] if results else {},
            children=[
                child
                for child in self.account.executions()
                if child.machine.endswith("-PatchInstance") and child.name.startswith(f"{execution.name}-")
            ],
            messages=[message for message in self.messages if message.at >= execution.started],
            names={machine.instance_id: machine.name for machine in self.fleet.machines},
        )

    def group_lease(self, group: Group) -> dict[str, Any] | None:
        pk = f"GROUP#{group.name}"
        return next((item for item in self.items() if item["pk"] == pk and item["sk"] == "LEASE"), None)

    def member_tags(self, group: Group) -> dict[str, str]:
        """How far the members are, by name, as their tags say."""
        tags = {member.machine.name: self.tags(member.machine) for member in group.members.values()}
        return {name: found[MEMBER_TAG] for name, found in tags.items() if MEMBER_TAG in found}


@contextmanager
def roll_scenario(
    *, parameters: Mapping[str, str] | None = None, template: Path | None = None, seed: int = 0, **options: Any
) -> Iterator[RollScenario]:
    """An account of its own, with Drydock deployed; `options` are the embedded account's."""
    with EmbeddedAccount(seed=seed, **options) as account, account.open_fleet() as fleet:
        yield RollScenario(account, fleet, parameters or {}, template)


def assert_group_given_back(
    scene: RollScenario, group: Group, *, sizes: tuple[int, int, int], suspended: Sequence[str] = ()
) -> None:
    """The group has the min, desired capacity and max it should, all members serve, and nobody holds it."""
    assert (group.min, group.desired, group.max) == sizes
    assert sorted(group.suspended) == sorted(suspended)
    assert [member.state for member in group.members.values()] == ["InService"] * group.desired
    assert scene.group_lease(group) is None
    for member in group.members.values():
        assert scene.lease(member.machine) is None, member.machine.name
        assert member.machine.interrupted == [], member.machine.name


def assert_members_patched(group: Group, *names: str) -> None:
    """Nothing is missing any more on these members; on all when none is named."""
    for member in group.members.values():
        if not names or member.machine.name in names:
            assert member.machine.missing == [], member.machine.name
