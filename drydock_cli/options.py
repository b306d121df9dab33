"""What a person has asked for, once the command line is read."""

from __future__ import annotations

import shlex
from dataclasses import dataclass


@dataclass(frozen=True)
class Account:
    """Which stack, and as whom; None is what the environment says."""

    stack: str | None = None
    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None

    def again(self, *arguments: str) -> str:
        """The command line that goes on with the same stack and account."""
        given = [*arguments]
        for option in ("stack", "region", "profile", "endpoint_url"):
            if value := getattr(self, option):
                given += [f"--{option.replace('_', '-')}", value]
        return shlex.join(["drydock", *given])


@dataclass(frozen=True)
class Order:
    """The run that is to be started."""

    targets: tuple[str, ...] = ()
    minutes: int | None = None
    operation: str | None = None
    policy: str | None = None
    name: str | None = None
    resume: str | None = None
    follows: str | None = None
    plan: str | None = None
    is_only_planned: bool = False
    window: str | None = None
    is_sure: bool = False
    """Nobody is asked whether to start it."""
