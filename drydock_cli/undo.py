"""`drydock undo`: bring a machine back to what it was before it was patched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drydock_cli.documents import UndoneMachine
from drydock_cli.exit_codes import FAILED, TO_DO, WELL
from drydock_cli.problems import CommandError
from drydock_cli.showing import error_line
from drydock_cli.stack import Stack
from drydock_cli.start import new_run_id
from drydock_cli.terminal import Terminal


def undo(stack: Stack, terminal: Terminal, given: Mapping[str, Any], *, is_sure: bool, interval: float | None) -> int:
    """Say what is lost, ask, start RestoreInstance, and show how it ends. `given` is its input.

    Whether the machine can be brought back is decided there, before anything is touched.
    """
    if not is_sure and (terminal.is_json or not terminal.can_ask):
        raise CommandError("nobody can be asked here: read what an undo loses, then start it with --yes", TO_DO)
    machine = str(given["instanceId"])
    source = given.get("imageId") or given.get("volumeId") or "the image that its last patching made before"
    terminal.say_wrapped(f"The root volume of {machine} is replaced from {source}.", style="strong")
    terminal.say_wrapped(
        "What was written on it since is lost to the machine; the volume of now is kept. Data volumes are not brought "
        "back: what was upgraded on one stays so. Security patches go, too.",
        "  ",
    )
    if not is_sure and not terminal.ask(f"Bring {machine} back?"):
        terminal.note("nothing was touched")
        return TO_DO
    name = new_run_id(terminal.now(), "undo")
    execution = stack.start_restore(name, given)
    terminal.say(f"{name} has begun.", "strong")
    terminal.say(f"  Console:  {stack.console_link_of(execution)}")
    if interval is None:
        terminal.document(UndoneMachine(executionArn=execution, outcome="", restored=None, input=given))
        return WELL
    return _show_end(stack, terminal, execution, given, interval)


def _show_end(stack: Stack, terminal: Terminal, execution: str, given: Mapping[str, Any], interval: float) -> int:
    while (found := stack.describe_execution(execution))["status"] == "RUNNING":
        terminal.sleep(interval)
    result = stack.find_result(str(given["instanceId"]), execution)
    restored = result.work.restored if result is not None and result.work is not None else None
    outcome = result.outcome if result is not None else "failed"
    terminal.document(UndoneMachine(executionArn=execution, outcome=outcome, restored=restored, input=given))
    if found["status"] == "SUCCEEDED":
        terminal.say(f"{given['instanceId']} was brought back.", "good")
        for note in result.work.problems if result is not None and result.work is not None else ():
            terminal.say_wrapped(f"Note: {note}", "  ", later="    ")
        if restored is not None:
            terminal.say_wrapped(f"The root volume of before is kept: {restored['keptVolumeId']}", "  ")
        return WELL
    failure = (result.failure if result is not None else None) or {
        "error": str(found.get("error", "")),
        "cause": str(found.get("cause", "")),
    }
    terminal.note(f"{given['instanceId']}: {error_line(failure['error'], failure['cause'])}")
    return TO_DO if outcome == "refused" else FAILED
