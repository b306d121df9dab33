"""The command in a process of its own, forked from one that has imported it, and nothing of the embedded account."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path

from drydock_cli import decide, policy_file, start, stop, watch
from drydock_cli.main import carry_out
from drydock_cli.stack import Stack

__all__ = ["decide", "policy_file", "start", "start_command", "stop", "watch"]


@cache
def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    # To import the command takes longer than most commands.
    context.set_forkserver_preload([__name__])
    return context


def start_command(
    arguments: Sequence[str], environment: Mapping[str, str], decide_url: str, out: Path, err: Path
) -> BaseProcess:
    """Start `drydock` with these arguments; what it prints goes into two files.

    With `decide_url` the name of the function's URL, which no DNS knows, is another.
    """
    process = _context().Process(
        target=_carry_out, args=(list(arguments), dict(environment), decide_url, str(out), str(err))
    )
    process.start()
    return process


def _carry_out(arguments: list[str], environment: dict[str, str], decide_url: str, out: str, err: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for stream, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    if decide_url:
        names = vars(Stack)["outputs"].func
        Stack.outputs = property(lambda stack: {**names(stack), "DecideUrl": decide_url})  # type: ignore[assignment]
    sys.exit(carry_out(arguments))
