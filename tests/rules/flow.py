"""The paths through a state machine, with and without a failure to remember.

A node is a state and whether `$failure` is set when it is entered. Of a Choice, only what `$failure` alone
decides is decided; everything else may go either way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.rules.project import Machine, State


@dataclass(frozen=True)
class Node:
    state: str
    failed: bool


def decide(condition: str, failed: bool) -> bool | None:
    """What a condition comes to, or None when that depends on more than `$failure`."""
    parts = [part.strip() for part in condition.removeprefix("{%").removesuffix("%}").split(" and ")]
    known = {"$boolean($failure)": failed, "$not($failure)": not failed}
    values = [known.get(part) for part in parts]
    if False in values:
        return False
    return True if all(values) else None


def _remembers(catcher: Mapping[str, Any]) -> bool:
    return "failure" in catcher.get("Assign", {})


def following(machine: Machine, node: Node) -> set[Node]:
    """The nodes that may follow a node."""
    state = machine.states[node.state]
    if state.type == "Choice":
        return _chosen(state, node.failed)
    found = {Node(catcher["Next"], node.failed or _remembers(catcher)) for catcher in state.catchers}
    if "Next" in state.body:
        found.add(Node(state.body["Next"], node.failed))
        if state.name != machine.first.name and "failure" in state.body.get("Assign", {}):
            found.add(Node(state.body["Next"], True))
    return found


def _chosen(state: State, failed: bool) -> set[Node]:
    found = set()
    for choice in state.body["Choices"]:
        verdict = decide(choice["Condition"], failed)
        if verdict is not False:
            found.add(Node(choice["Next"], failed))
        if verdict is True:
            return found
    return {*found, Node(state.body["Default"], failed)}


def reached(machine: Machine, starts: Iterable[Node], without: Iterable[str] = ()) -> set[Node]:
    """All nodes on paths that begin at `starts`, the starts included, and do not go through `without`."""
    seen: set[Node] = set()
    waiting, left_out = list(starts), set(without)
    while waiting:
        node = waiting.pop()
        if node not in seen and node.state not in left_out:
            seen.add(node)
            waiting += following(machine, node)
    return seen


def failures(machine: Machine) -> dict[str, set[Node]]:
    """Where each state goes when it fails: by a Catch, or by a failure that it returns as data."""
    found: dict[str, set[Node]] = {}
    for state in machine.states.values():
        targets = {Node(catcher["Next"], True) for catcher in state.catchers if _remembers(catcher)}
        if state.type != "Choice":
            targets |= {node for node in following(machine, Node(state.name, False)) if node.failed}
        if targets:
            found[state.name] = targets
    return found


def on_loops(machine: Machine, without: Iterable[str] = ()) -> set[str]:
    """The states that can be entered again from themselves, on paths that do not go through some states."""
    left_out = set(without)
    return {
        node.state
        for node in reached(machine, [Node(machine.first.name, False)], left_out)
        if node in reached(machine, following(machine, node), left_out)
    }
