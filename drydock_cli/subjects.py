"""What a name on the command line stands for: a run, a machine or an Auto Scaling group."""

from __future__ import annotations

from dataclasses import dataclass

from drydock.aws.ec2 import escape
from drydock.request.checking import INSTANCE_ID, RUN_ID
from drydock.subject import Group, Instance, Subject, read_subject
from drydock_cli.exit_codes import TO_DO
from drydock_cli.problems import CommandError
from drydock_cli.stack import Stack

_MOST_NAMED = 5
_THERE = ("pending", "running", "stopping", "stopped")


@dataclass(frozen=True)
class NamedRun:
    """A run, by its whole id."""

    run_id: str


def find_named(stack: Stack, name: str) -> NamedRun | Subject:
    """The run, machine or group that is meant: an instance id, `group/NAME`, a run's id or the beginning of one,
    the name of a group that was rolled through, or the Name tag of a machine. Raises CommandError.
    """
    if not RUN_ID("", name) and not _is_instance(name):
        run_id = stack.find_run_id(name)
        if stack.read_run(run_id).run is not None or stack.find_execution(run_id) is not None:
            return NamedRun(run_id)
    return find_subject(stack, name)


def find_subject(stack: Stack, name: str) -> Subject:
    """The machine or group that is meant, as `find_named` does. Raises CommandError."""
    if _is_instance(name):
        return Instance(name)
    subject = read_subject(name)
    if isinstance(subject, Group):
        return subject
    if stack.table.query(Group(name).partition):
        return Group(name)
    found = [
        str(one["InstanceId"])
        for one in stack.describe_instances({"tag:Name": [escape(name)], "instance-state-name": _THERE})
    ]
    if len(found) == 1:
        return Instance(found[0])
    if found:
        raise CommandError(f"more than one machine is named {name}: {', '.join(sorted(found)[:_MOST_NAMED])}", TO_DO)
    raise CommandError(
        f"the stack {stack.name} in {stack.region} knows no run, machine or group {name}: "
        "`drydock list` has the runs; machines are named by id or Name, groups as group/NAME",
        TO_DO,
    )


def _is_instance(name: str) -> bool:
    return not INSTANCE_ID("", name)
