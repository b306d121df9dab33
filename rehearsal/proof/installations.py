"""What may not happen to a machine while something installs on it, whatever the status of its command says."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.calls import Call
from rehearsal.engine.deployment import Stack
from rehearsal.world.fleet import Fleet, Group
from rehearsal.world.group_members import Change

_MEMBERSHIP = ("EnteringStandby", "Pending", "Terminating", "Detaching")
"""The changes with which a member goes to, or comes from, where it is."""

_DELETES = ("DeleteItem", "TransactWriteItems")
_SECONDS = (1.0, 61.0)
"""A call has taken effect by then; one of a function that hangs, as long as that may live."""


class InstallationWatch:
    """Watches machines from now on: no change of membership, and no release, while something installs.

    Power that is cut under an installation is in `Machine.interrupted`, and Drydock has no call that changes a root
    volume.
    """

    def __init__(self, account: EmbeddedAccount, fleet: Fleet, stack: Stack) -> None:
        self.violations: list[str] = []
        self._account = account
        self._fleet = fleet
        self._table = stack.resource("StateTable")
        account.calls.observers.append(self._notice_call)

    def watch_group(self, group: Group) -> None:
        """Watch the members of a group, too."""
        group.listeners.append(self._notice_change)

    def _notice_change(self, change: Change) -> None:
        if change.what in _MEMBERSHIP and self._installs(change.instance_id):
            self._violate(change.instance_id, change.what)

    def _notice_call(self, call: Call) -> None:
        for instance_id in _released_by(call):
            for seconds in _SECONDS:
                self._account.clock.call_later(seconds, partial(self._look_for_lease, instance_id))

    def _look_for_lease(self, instance_id: str) -> None:
        if not self._installs(instance_id):
            return
        key = {"pk": {"S": f"INSTANCE#{instance_id}"}, "sk": {"S": "LEASE"}}
        if "Item" not in self._account.client("dynamodb").get_item(TableName=self._table, Key=key):
            self._violate(instance_id, "released")

    def _installs(self, instance_id: str) -> bool:
        machines = [machine for machine in self._fleet.machines if machine.instance_id == instance_id]
        return any(job.installs for machine in machines for job in machine.jobs)

    def _violate(self, instance_id: str, what: str) -> None:
        self.violations.append(f"{self._account.clock.now():%H:%M:%S} {instance_id}: {what} while something installs")


def _released_by(call: Call) -> list[str]:
    """The machines whose leases a call deletes, if its condition holds."""
    if call.operation not in _DELETES:
        return []
    parts: list[Mapping[str, Any]] = [call.parameters]
    parts += [write["Delete"] for write in call.parameters.get("TransactItems", []) if "Delete" in write]
    keys = [part["Key"] for part in parts if "Key" in part]
    return [key["pk"]["S"].removeprefix("INSTANCE#") for key in keys if key["sk"] == {"S": "LEASE"}]
