"""The paths through a flow, with and without a failure to remember.

A node is a state and whether `$failure` is set when it is entered. Of a Choice, only what `$failure` alone
decides is decided; everything else may go either way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.rules.project import Flow, State

KNOWN = {"$boolean($failure)": True, "$not($failure)": False, "$summary.failure = null": False}
"""What conditions come to once there is a failure to remember. A run's summary takes over the failure it is given."""

BRINGS_FAILURES = "summary"
"""The variable, beside that of the failure, by which a state that did its work may bring one along."""


@dataclass(frozen=True)
class Node:
    state: str
    failed: bool


def decide(condition: str, failed: bool) -> bool | None:
    """What a condition comes to, or None when that depends on more than `$failure`."""
    parts = [part.strip() for part in condition.removeprefix("{%").removesuffix("%}").split(" and ")]
    values = [KNOWN[part] == failed if part in KNOWN else None for part in parts]
    if False in values:
        return False
    return True if all(values) else None


def _remembers(flow: Flow, catcher: Mapping[str, Any]) -> bool:
    return flow.failure in catcher.get("Assign", {})


def following(flow: Flow, node: Node) -> set[Node]:
    """The nodes that may follow a node."""
    state = flow.states[node.state]
    if state.type == "Choice":
        return _chosen(state, node.failed)
    found = {Node(catcher["Next"], node.failed or _remembers(flow, catcher)) for catcher in state.catchers}
    if "Next" in state.body:
        found.add(Node(state.body["Next"], node.failed))
        if state.name != flow.first.name and {flow.failure, BRINGS_FAILURES} & set(state.body.get("Assign", {})):
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


def reached(flow: Flow, starts: Iterable[Node], without: Iterable[str] = ()) -> set[Node]:
    """All nodes on paths that begin at `starts`, the starts included, and do not go through `without`."""
    seen: set[Node] = set()
    waiting, left_out = list(starts), set(without)
    while waiting:
        node = waiting.pop()
        if node not in seen and node.state not in left_out:
            seen.add(node)
            waiting += following(flow, node)
    return seen


def failures(flow: Flow) -> dict[str, set[Node]]:
    """Where each state goes when it fails: by a Catch, or by a failure that it returns as data."""
    found: dict[str, set[Node]] = {}
    for state in flow.states.values():
        targets = {Node(catcher["Next"], True) for catcher in state.catchers if _remembers(flow, catcher)}
        if state.type != "Choice":
            targets |= {node for node in following(flow, Node(state.name, False)) if node.failed}
        if targets:
            found[state.name] = targets
    return found


def on_loops(flow: Flow, without: Iterable[str] = ()) -> set[str]:
    """The states that can be entered again from themselves, on paths that do not go through some states."""
    left_out = set(without)
    return {
        node.state
        for node in reached(flow, [Node(flow.first.name, False)], left_out)
        if node in reached(flow, following(flow, node), left_out)
    }
