"""`drydock images`: the images that the stack has made, which of them may go, and why the others stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from drydock_cli.exit_codes import TO_DO
from drydock_cli.problems import CommandError
from drydock_cli.showing import machine_text
from drydock_cli.stack import Stack
from drydock_cli.terminal import Terminal, count

_DOLLARS_A_GIB = 0.05
"""A month of EBS standard snapshots in us-east-1 (https://aws.amazon.com/ebs/pricing/, read 2026-12-01)."""

_GOING = ("disable", "wait", "deregister")
_HEADINGS = {
    "deregister": "Disabled for a week, and go now",
    "disable": "Nobody needs these: they are disabled now, and go in a week",
    "wait": "Disabled, and go within a week",
    "enable": "Disabled, but needed after all: they are enabled again",
    "keep": "Stay",
}
_MOST_SHOWN = 50


def images(stack: Stack, terminal: Terminal, *, prune: bool, is_sure: bool) -> int:
    """Show what would be done to the images; with `prune` do it once, whatever the account's policy says."""
    if prune and not is_sure and (terminal.is_json or not terminal.can_ask):
        raise CommandError("nobody can be asked here: look at the images first, then prune with --yes", TO_DO)
    policy, judged = _judge(stack, {"dryRun": True})
    _show(terminal, policy, judged)
    going = [one for one in judged if one["action"] in ("disable", "deregister", "enable")]
    if not prune:
        terminal.document({"policy": policy, "pruned": False, "images": judged})
        return 0
    if not is_sure and not terminal.ask(f"Do that to {count(len(going), 'image')}?"):
        terminal.note("nothing was pruned")
        return TO_DO
    policy, judged = _judge(stack, {"byHand": True})
    terminal.document({"policy": policy, "pruned": True, "images": judged})
    terminal.say("Done.", "good")
    return 0


def _judge(stack: Stack, event: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """Every image with what is done to it. The function has time for some machines only: it says after which one."""
    judged, after = list[Mapping[str, Any]](), ""
    while True:
        answer = stack.prune_images({**event, "after": after})
        if answer.get("failure"):
            raise CommandError(f"it cannot be read what uses the images, so that none goes: {answer['failure']}")
        judged += answer["judged"]
        after = str(answer["after"])
        if not after:
            return answer["policy"], judged


def _show(terminal: Terminal, policy: Mapping[str, Any], judged: Sequence[Mapping[str, Any]]) -> None:
    way = "Daily" if policy["enabled"] else "Only when somebody asks for it"
    terminal.say_wrapped(
        f"{count(len(judged), 'image')} made by this stack. {way}, those go that are older than "
        f"{count(policy['afterDays'], 'day')} and not among the newest {policy['keep']} of their machine.",
        style="strong",
    )
    for action, heading in _HEADINGS.items():
        some = [one for one in judged if one["action"] == action]
        if not some:
            continue
        terminal.say()
        terminal.say_wrapped(f"{heading} ({len(some):,})", style="strong")
        if action == "keep":
            for reason, number in Counter(str(one["reason"]) for one in some).most_common(_MOST_SHOWN):
                terminal.say_wrapped(f"{count(number, 'image')}: {reason}", "  ", later="    ")
            continue
        for one in some[:_MOST_SHOWN]:
            machine = machine_text(one["instanceId"], one["machine"])
            text = f"{one['imageId']} {one['moment']} patching of {machine}, {terminal.at_text(one['createdAt'])}"
            terminal.say_wrapped(text, "  ", later="    ")
        if len(some) > _MOST_SHOWN:
            terminal.say(f"  and {len(some) - _MOST_SHOWN:,} more")
    gib = sum(int(one["gib"]) for one in judged if one["action"] in _GOING)
    terminal.say()
    terminal.say_wrapped(
        f"What goes has volumes of {gib:,} GiB: at most ${gib * _DOLLARS_A_GIB:,.2f} a month at $0.05 a GiB, the price "
        "of us-east-1. A snapshot holds only what has changed since the one before it, so that it is less."
        if gib
        else "Nothing goes."
    )
