"""`drydock stop`: let no new machine of a run begin."""

from __future__ import annotations

from drydock_cli.exit_codes import TO_DO
from drydock_cli.options import Account
from drydock_cli.problems import CommandError
from drydock_cli.showing import brief
from drydock_cli.stack import Stack
from drydock_cli.terminal import Terminal


def stop(account: Account, stack: Stack, terminal: Terminal, run_id: str, reason: str) -> int:
    """Stop a run gently: machines in work are finished."""
    caller = stack.caller()
    answer = stack.stop_run(run_id, f"{reason} ({caller})" if reason else f"stopped by {caller}")
    was_stopped = bool(answer.get("stopped"))
    said = str(answer.get("reason") or "")
    terminal.document({"runId": run_id, "stopped": was_stopped, "reason": said})
    if not was_stopped:
        if terminal.is_json:
            return TO_DO
        raise CommandError(f"run {run_id} is not stopped: {brief(said)}", TO_DO)
    terminal.say(f"No machine of run {run_id} begins any more; those in work are finished.", "strong")
    terminal.say_wrapped(f"Reason: {said}", "  ", later="    ")
    terminal.say(f"  Watch it: {account.again('watch', run_id)}")
    return 0
