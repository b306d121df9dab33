"""`drydock check`: is the stack well, and can its machines be patched? Each finding has the way out."""

from __future__ import annotations

from collections.abc import Sequence

from drydock.plan.targets import Target
from drydock_cli.check_machines import check_machines
from drydock_cli.check_stack import check_stack
from drydock_cli.documents import CheckDocument, Finding
from drydock_cli.exit_codes import TO_DO, WELL
from drydock_cli.findings import Findings
from drydock_cli.stack import Stack
from drydock_cli.start import read_target
from drydock_cli.terminal import Terminal, count

_MARKS = {"problem": "bad", "unknown": "warn", "note": ""}
_WORDS = {"problem": "To do", "unknown": "Not known", "note": "Note"}


def check(stack: Stack, terminal: Terminal, given: Sequence[str]) -> int:
    """Look at the stack and at the machines that are meant, those of its window where none are named."""
    findings = Findings()
    targets: list[list[Target]] = [[Target(**read_target(text)) for text in given]] if given else []  # type: ignore[typeddict-item]
    registered = check_stack(stack, findings)
    machines = check_machines(stack, findings, targets or registered)
    found = findings.found
    is_well = all(one["level"] == "note" for one in found)
    document: CheckDocument = {
        "stack": stack.name,
        "region": stack.region,
        "machines": machines,
        "isWell": is_well,
        "findings": found,
    }
    terminal.document(document)
    _show(terminal, stack, document)
    return WELL if is_well else TO_DO


def _show(terminal: Terminal, stack: Stack, document: CheckDocument) -> None:
    found, machines = document["findings"], document["machines"]
    about_stack = [one for one in found if not one["subject"]]
    terminal.say(f"Stack {stack.name} in {stack.region}", "strong")
    if not about_stack:
        terminal.say("  It is well.", "good")
    for one in about_stack:
        _tell(terminal, one)
    terminal.say()
    by_machine: dict[str, list[Finding]] = {}
    for one in found:
        if one["subject"]:
            by_machine.setdefault(one["subject"], []).append(one)
    with_problems = sum(any(one["level"] != "note" for one in some) for some in by_machine.values())
    terminal.say(
        f"Machines: {machines:,} looked at, {with_problems:,} with something to do"
        if machines
        else "No machine is meant",
        "strong",
    )
    if machines and not by_machine:
        terminal.say("  They can be patched.", "good")
    # What is the same on many machines is said once.
    same: dict[tuple[str, str, str], list[str]] = {}
    for some in by_machine.values():
        for one in some:
            same.setdefault((one["level"], one["what"], one["way"]), []).append(one["name"] or one["subject"])
    for (level, what, way), names in sorted(same.items(), key=lambda entry: list(_MARKS).index(entry[0][0])):
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
        _tell(terminal, {"level": level, "subject": "", "name": "", "what": f"{shown}: {what}", "way": way})
    problems = sum(one["level"] != "note" for one in found)
    terminal.say()
    if problems:
        terminal.say(f"{count(problems, 'finding')} to look at")
    else:
        terminal.say("Nothing to do.", "good")


def _tell(terminal: Terminal, one: Finding) -> None:
    style = _MARKS[one["level"]]
    terminal.say_wrapped(f"{_WORDS[one['level']]}: {one['what']}", "  ", style, later="    ")  # type: ignore[arg-type]
    if one["way"]:
        terminal.say_wrapped(one["way"], "    ", later="    ")
