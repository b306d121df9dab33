"""Which calls were disturbed at which moment: a line for each pair, as `function back_up ec2:CreateImage after:…`.

Nothing is written unless `record` was called. `tools/covered.py` counts the lines.
"""

from __future__ import annotations

import os
from pathlib import Path

from botocore.exceptions import ClientError

from rehearsal.engine.calls import Call, CallLog, Interception

VARIABLE = "DRYDOCK_PAIRS"
"""The environment variable that names the folder for the files, one for each process."""

_folders: list[Path] = []
_seen: set[str] = set()


def record() -> None:
    """Write down, from now on and in what is forked, every pair once, if the environment says where."""
    # Functions have an environment of their own, so it is looked at here.
    if VARIABLE in os.environ:
        _folders.append(Path(os.environ[VARIABLE]))
        CallLog.heard.append(lambda call, interception: note(call, _moment_of(interception)))


def note(call: Call, moment: str) -> None:
    """Write down that something happened to a call."""
    _write(f"{call.caller.kind} {call.caller.name} {call.service}:{call.operation} {moment}")


def note_state(state: str, moment: str) -> None:
    """Write down that something happened in a state."""
    _write(f"state {state.replace(' ', '_')} - {moment}")


def _moment_of(interception: Interception) -> str:
    error = interception.before or interception.after
    if error is None:
        return f"delay:{interception.delay:g}"
    side = "before" if interception.before is not None else "after"
    return f"{side}:{error.response['Error']['Code'] if isinstance(error, ClientError) else type(error).__name__}"


def _write(line: str) -> None:
    if line in _seen:
        return
    _seen.add(line)
    for folder in _folders:
        with (folder / str(os.getpid())).open("a") as file:
            file.write(f"{line}\n")
