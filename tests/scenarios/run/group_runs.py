"""The vocabulary of the scenario tests of runs that roll through groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.play.group_monitor import GroupMonitor
from rehearsal.world.fleet import Group
from tests.scenarios.group.scenario import RollScenario
from tests.scenarios.run.scenario import RunScenario, RunView


class GroupRunScenario(RunScenario, RollScenario):  # type: ignore[misc]
    """An account with Drydock deployed, in which runs roll through groups."""

    def tagged_group(
        self, name: str, members: int | Sequence[Mapping[str, Any]] = 2, **settings: Any
    ) -> tuple[Group, GroupMonitor]:
        """A group whose members have `Patch Group` = its name."""
        particulars: Sequence[Mapping[str, Any]] = [{}] * members if isinstance(members, int) else members
        return self.group(name, [{"tags": {"Patch Group": name}, **one} for one in particulars], **settings)

    def rolls(self, run: RunView) -> list[ExecutionView]:
        """The executions that rolled through groups for a run."""
        found = [one for one in self.account.executions() if one.machine.endswith("-RollGroup")]
        return [one for one in found if one.input.get("runId") == run.run_id]


@contextmanager
def group_run_scenario() -> Iterator[GroupRunScenario]:
    with EmbeddedAccount() as account, account.open_fleet() as fleet:
        yield GroupRunScenario(account, fleet, {})
