"""The command lines that messages print. Each works when it is pasted: stack, Region and what it needs are in it."""

from __future__ import annotations

import shlex

from drydock.environment import Environment
from drydock.telling.message import Command
from drydock.telling.text import Location


def drydock(where: Location | Environment, *arguments: str) -> Command:
    """A line of Drydock's own command."""
    return Command(shlex.join(["drydock", *arguments, "--stack", where.stack, "--region", where.region]))


def aws(where: Location | Environment, *arguments: str) -> Command:
    """A line of the AWS CLI."""
    return Command(shlex.join(["aws", *arguments, "--region", where.region]))
