"""What AWS refuses in the definition of a state machine, with its codes, and its words where they are known.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_ValidateStateMachineDefinition.html

Codes, words and locations are those of definitions that AWS refused: LocalStack's recordings (2023-08-04 to
2025-11-06), and what others saw of ValidateStateMachineDefinition in August and September 2026 (floci-io/floci issues
2670, 2735, 2745, 2968 and pull request 2786). Rules that only the documentation has name its page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from rehearsal.engine.expressions import ExpressionError, read, unwrap

SCHEMA = "SCHEMA_VALIDATION_FAILED"
JSONATA = "JSONata"
JSONPATH = "JSONPath"

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
"""RFC 3339, with a capital T, as Step Functions takes it."""


class Refusal(NamedTuple):
    """One thing that AWS does not take in a definition."""

    code: str
    message: str
    location: str | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message} at {self.location or 'null'}"


class Fields(NamedTuple):
    """The fields that a type of state has in either query language, in JSONPath only and in JSONata only."""

    both: frozenset[str]
    path: frozenset[str]
    jsonata: frozenset[str]

    @classmethod
    def named(cls, both: str, path: str = "", jsonata: str = "") -> Fields:
        """Return the fields whose names stand in these texts, with those that every state has."""
        always = "Type Comment QueryLanguage"
        return cls(frozenset(f"{always} {both}".split()), frozenset(path.split()), frozenset(jsonata.split()))


_FILTERS = "InputPath OutputPath"
_RESULTS = f"{_FILTERS} Parameters ResultSelector ResultPath"
STATE_FIELDS: Mapping[str, Fields] = {
    "Pass": Fields.named("Next End Assign", f"{_FILTERS} Parameters Result ResultPath", "Output"),
    "Task": Fields.named(
        "Next End Assign Retry Catch Resource TimeoutSeconds HeartbeatSeconds Credentials",
        f"{_RESULTS} TimeoutSecondsPath HeartbeatSecondsPath",
        "Arguments Output",
    ),
    "Choice": Fields.named("Assign Choices Default", _FILTERS, "Output"),
    "Wait": Fields.named("Next End Assign Seconds Timestamp", f"{_FILTERS} SecondsPath TimestampPath", "Output"),
    "Succeed": Fields.named("", _FILTERS, "Output"),
    "Fail": Fields.named("Error Cause", "ErrorPath CausePath"),
    "Parallel": Fields.named("Next End Assign Retry Catch Branches", _RESULTS, "Arguments Output"),
    "Map": Fields.named(
        "Next End Assign Retry Catch Label ItemProcessor Iterator ItemReader ItemSelector ItemBatcher ResultWriter "
        "MaxConcurrency ToleratedFailureCount ToleratedFailurePercentage",
        f"{_RESULTS} ItemsPath MaxConcurrencyPath ToleratedFailureCountPath ToleratedFailurePercentagePath",
        "Items Output",
    ),
}
"""https://docs.aws.amazon.com/step-functions/latest/dg/workflow-states.html, and the page of each state there."""

INTEGRATIONS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "dynamodb": dict.fromkeys(("getItem", "putItem", "updateItem", "deleteItem"), frozenset({""})),
    "events": {"putEvents": frozenset({"", ".waitForTaskToken"})},
    "lambda": {"invoke": frozenset({"", ".waitForTaskToken"})},
    "sns": {"publish": frozenset({"", ".waitForTaskToken"})},
    "sqs": {"sendMessage": frozenset({"", ".waitForTaskToken"})},
    "states": {"startExecution": frozenset({"", ".sync", ".sync:2", ".waitForTaskToken"})},
}
"""Of these optimized integrations, the actions and the patterns of each; integrations of others are not judged.
https://docs.aws.amazon.com/step-functions/latest/dg/integrate-optimized.html"""

_LABEL = re.compile(r"[^\s?*<>{}\[\]:;,\\|^~$#%&`\"\x00-\x1f\x7f-\x9f]{1,40}")


@dataclass(frozen=True)
class _Scope:
    """States that run together: those of the machine, of a branch, or of a Map's items."""

    body: Mapping[str, Any]
    location: str
    language: str
    kind: str
    outer: frozenset[str] = frozenset()
    """The variables that the scopes around it assign."""
    hidden: frozenset[str] = frozenset()
    """Those of them that it may not read."""
    names: dict[str, str] = field(default_factory=dict)
    """The location of every state of the machine that was seen so far, by its name."""

    @property
    def states(self) -> Mapping[str, Mapping[str, Any]]:
        return self.body["States"]  # type: ignore[no-any-return]

    def at(self, *parts: str) -> str:
        """Return the location of something in it."""
        return "/".join((self.location, *parts))


@lru_cache(maxsize=256)
def find_refusals(definition: str, kind: str = "STANDARD") -> tuple[Refusal, ...]:
    """Return what AWS refuses in the text of a definition, for a machine of type STANDARD or EXPRESS."""
    if not definition.strip():
        return (Refusal(SCHEMA, "Definition must be a valid JSON object"),)
    try:
        machine = json.loads(definition)
    except ValueError as error:
        return (Refusal("INVALID_JSON_DESCRIPTION", str(error)),)
    if not isinstance(machine, dict):
        return (Refusal(SCHEMA, "Definition must be a valid JSON object"),)
    language = machine.get("QueryLanguage", JSONPATH)
    found = list(_check_scope(_Scope(machine, "", language, kind)))
    if not any(refusal.code == SCHEMA for refusal in found):
        found += _check_flow(machine, "")
    return tuple(found)


def _check_scope(scope: _Scope) -> Iterator[Refusal]:
    yield from _check_fields(scope)
    wrong = list(_check_types(scope.body, _SCOPE_TYPES, scope.location))
    if not wrong:
        for name, state in scope.body.get("States", {}).items():
            wrong += _check_types(state, _STATE_TYPES, scope.at("States", name))
    yield from wrong
    if wrong or not scope.body.keys() >= {"States", "StartAt"}:
        return
    for name, state in scope.states.items():
        yield from _check_name(name, scope)
        yield from _check_state(state, scope.at("States", name), scope)
    assigned = frozenset(name for state in scope.states.values() for name in list_assigned(state))
    for name in sorted(assigned & scope.outer):
        # https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html, "Variable scope".
        text = f"The variable '{name}' is assigned in an outer scope, and may not be assigned in an inner one"
        yield Refusal(SCHEMA, text, scope.at("States"))
    for name, state in scope.states.items():
        for inner in _list_inner(scope, name, state, assigned):
            yield from _check_scope(inner)


def _check_types(part: Any, types: Mapping[str, type], where: str) -> Iterator[Refusal]:
    """Check that the fields that others rely on are what they should be."""
    if not isinstance(part, dict):
        yield Refusal(SCHEMA, "Expected value of type Object", where)
        return
    for name, kind in types.items():
        values = part.get(name, [])
        if not isinstance(part.get(name, kind()), kind):
            yield Refusal(SCHEMA, f"Expected value of type {_TYPE_NAMES[kind]}", f"{where}/{name}")
        elif name in _LISTS_OF_OBJECTS and not all(isinstance(value, dict) for value in values):
            yield Refusal(SCHEMA, "Expected value of type Object", f"{where}/{name}")


_TYPE_NAMES: Mapping[type, str] = {dict: "Object", list: "Array", str: "String"}
_LISTS_OF_OBJECTS = frozenset({"Choices", "Catch", "Retry", "Branches"})
_SCOPE_TYPES = {"States": dict, "StartAt": str, "ProcessorConfig": dict}
_STATE_TYPES = {
    **dict.fromkeys(("Type", "Next", "Default"), str),
    **dict.fromkeys(("Assign", "ItemProcessor", "Iterator"), dict),
    **dict.fromkeys(_LISTS_OF_OBJECTS, list),
}


def _list_inner(scope: _Scope, name: str, state: Mapping[str, Any], assigned: frozenset[str]) -> Iterator[_Scope]:
    """The scopes of a state's branches or items. What is hidden stays hidden further in."""
    outer = scope.outer | assigned
    for where, body in list_containers(state):
        is_distributed = body.get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED"
        hidden = outer if is_distributed else scope.hidden
        yield _Scope(body, scope.at("States", name, where), scope.language, scope.kind, outer, hidden, scope.names)


def list_containers(state: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the branches of a state, or what it does with its items, each with its place in the state."""
    for key in ("ItemProcessor", "Iterator"):
        if isinstance(state.get(key), dict):
            yield key, state[key]
    for number, branch in enumerate(state.get("Branches", [])):
        yield f"Branches[{number}]", branch


def list_assigned(state: Mapping[str, Any]) -> Iterator[str]:
    """Yield the variables that a state assigns, in any of its ways out."""
    for holder in (state, *state.get("Choices", []), *state.get("Catch", [])):
        yield from (name.removesuffix(".$") for name in holder.get("Assign", {}))


def _check_fields(scope: _Scope) -> Iterator[Refusal]:
    missing = [name for name in ("States", "StartAt") if name not in scope.body]
    if missing:
        yield Refusal(SCHEMA, f"These fields are required: [{', '.join(missing)}]", scope.location or "/")
    allowed = {"Comment", "StartAt", "States"}
    if not scope.location:
        allowed |= {"Version", "TimeoutSeconds", "QueryLanguage"}
    elif "Branches[" not in scope.location.rpartition("/")[2]:
        allowed |= {"ProcessorConfig"}
    for name in scope.body:
        if name not in allowed:
            yield Refusal(SCHEMA, f"Field '{name}' is not supported", scope.location or "/")


def _check_name(name: str, scope: _Scope) -> Iterator[Refusal]:
    """https://docs.aws.amazon.com/step-functions/latest/dg/statemachine-structure.html: at most 80 characters,
    and unique within the whole machine.
    """
    where = scope.at("States", name)
    if len(name) > 80:
        yield Refusal(SCHEMA, "The name of a state has at most 80 characters", where)
    if name in scope.names:
        yield Refusal(SCHEMA, f"The name of the state stands at {scope.names[name]}, too", where)
    scope.names.setdefault(name, where)


def _check_state(state: Mapping[str, Any], where: str, scope: _Scope) -> Iterator[Refusal]:
    language = state.get("QueryLanguage", scope.language)
    if language == JSONPATH and scope.language == JSONATA:
        text = "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine"
        yield Refusal(SCHEMA, text, where)
        return
    fields = STATE_FIELDS.get(state.get("Type", ""))
    if fields is None:
        yield Refusal(SCHEMA, f"'{state.get('Type')}' is not a type of state", f"{where}/Type")
        return
    other, of_other = (JSONATA, fields.jsonata) if language == JSONPATH else (JSONPATH, fields.path)
    for name in state:
        if name in of_other:
            text = f"The QueryLanguage is set to '{language}', but field '{name}' is only supported for the '{other}'"
            yield Refusal(SCHEMA, f"{text} QueryLanguage", where)
        elif not any(name in names for names in fields):
            yield Refusal(SCHEMA, f"Field '{name}' is not supported", where)
    if "Next" in fields.both and ("Next" in state) == (state.get("End") is True):
        yield Refusal(SCHEMA, "A state has either a Next or an End that is true", where)
    yield from _check_variables(state, where)
    yield from _check_handlers(state, where)
    check = {"Wait": _check_wait, "Task": _check_task, "Map": _check_map}.get(state["Type"])
    if check:
        yield from check(state, where, language, scope.kind)
    if language == JSONATA:
        yield from _check_expressions(state, where, scope.hidden)


def _check_variables(state: Mapping[str, Any], where: str) -> Iterator[Refusal]:
    """https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html, "Variable name syntax"."""
    for name in list_assigned(state):
        if name == "states":
            yield Refusal(SCHEMA, "The variable 'states' is reserved", f"{where}/Assign")
        elif not name.isidentifier() or len(name) > 80:
            yield Refusal(SCHEMA, f"'{name}' is not a name of a variable", f"{where}/Assign")


def _check_handlers(state: Mapping[str, Any], where: str) -> Iterator[Refusal]:
    """https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html: alone, and last."""
    for key in ("Retry", "Catch"):
        handlers = state.get(key, [])
        for number, handler in enumerate(handlers):
            names = handler.get("ErrorEquals", [])
            if "States.ALL" in names and (len(names) > 1 or number < len(handlers) - 1):
                text = "States.ALL must appear alone, and in the last place"
                yield Refusal(SCHEMA, text, f"{where}/{key}[{number}]/ErrorEquals")


def _check_wait(state: Mapping[str, Any], where: str, language: str, kind: str) -> Iterator[Refusal]:
    text = state.get("Timestamp")
    if text is None or (language == JSONATA and unwrap(text) is not None):
        return
    if not is_timestamp(text):
        yield Refusal(SCHEMA, "String does not match RFC3339 timestamp", f"{where}/Timestamp")


def is_timestamp(text: object) -> bool:
    """Return whether a value is an instant as Step Functions takes it."""
    if not isinstance(text, str) or not TIMESTAMP.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return False
    return True


def _check_task(state: Mapping[str, Any], where: str, language: str, kind: str) -> Iterator[Refusal]:
    resource = str(state.get("Resource"))
    pattern = re.search(r"\.(sync(:2)?|waitForTaskToken)$", resource)
    if kind == "EXPRESS" and pattern:
        text = f"Express state machine does not support '{pattern[0]}' service integration "
        yield Refusal(SCHEMA, text, f"{where}/Resource")
    if not _is_known_resource(resource):
        text = (
            f"The resource provided {resource} is not recognized. The value is not a valid resource ARN, or the "
            "resource is not available in this region."
        )
        yield Refusal(SCHEMA, text, f"{where}/Resource")
    heartbeat, limit = state.get("HeartbeatSeconds"), state.get("TimeoutSeconds")
    if isinstance(heartbeat, int) and isinstance(limit, int) and heartbeat >= limit:
        # https://docs.aws.amazon.com/step-functions/latest/dg/state-task.html
        yield Refusal(SCHEMA, "HeartbeatSeconds must be smaller than TimeoutSeconds", f"{where}/HeartbeatSeconds")
    if language == JSONATA and resource.endswith(".waitForTaskToken") and not _passes_token(state.get("Arguments")):
        # https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html, "Wait for a Callback". In
        # JSONPath AWS takes such a state (LocalStack's recording of 2024-04-22).
        yield Refusal(SCHEMA, "The Arguments do not contain the task token", f"{where}/Arguments")


def _is_known_resource(resource: str) -> bool:
    if not resource.startswith("arn:"):
        return False
    service, _, rest = resource.partition(":states:::")[2].partition(":")
    if service not in INTEGRATIONS:
        return True
    action, _, pattern = rest.partition(".")
    return f"{'.' if pattern else ''}{pattern}" in INTEGRATIONS[service].get(action, ())


def _passes_token(arguments: Any) -> bool:
    token = ("context", "Task", "Token")
    for _, expression in list_expressions(arguments, ""):
        try:
            paths = read(expression).states
        except ExpressionError:
            return True
        if any(path == token[: len(path)] for path in paths):
            return True
    return False


def _check_map(state: Mapping[str, Any], where: str, language: str, kind: str) -> Iterator[Refusal]:
    """https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html"""
    if "Label" in state and not _LABEL.fullmatch(state["Label"]):
        text = "A Label has at most 40 characters, without spaces, wildcards, brackets and special characters"
        yield Refusal(SCHEMA, text, f"{where}/Label")
    if "ItemProcessor" not in state and "Iterator" not in state:
        yield Refusal(SCHEMA, "These fields are required: [ItemProcessor]", where)


def _check_expressions(state: Mapping[str, Any], where: str, hidden: frozenset[str]) -> Iterator[Refusal]:
    own = without_inner(state)
    for location, expression in list_expressions(own, where):
        try:
            reads = read(expression)
        except ExpressionError as error:
            yield Refusal("INVALID_JSONATA_EXPRESSION", str(error), location)
            continue
        for name in dict.fromkeys(reads.names):
            text = f"Reference to '{name}' at the top level is not supported."
            yield Refusal("UNSUPPORTED_JSONATA_EXPRESSION", text, location)
        place = location.removeprefix(f"{where}/")
        for name in sorted({path[0] for path in reads.states if path} - _list_available(state["Type"], place)):
            text = f"'$states.{name}' is not available in this field."
            yield Refusal("UNSUPPORTED_JSONATA_EXPRESSION", text, location)
        for name in sorted(reads.variables & hidden):
            # https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html, "Variable scope".
            text = f"The variable '${name}' is assigned outside of the Distributed Map and cannot be read in it."
            yield Refusal("UNSUPPORTED_JSONATA_EXPRESSION", text, location)
    for location, text in _list_texts(own, where):
        # https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html: no spaces around them.
        if text.startswith("{%") != text.endswith("%}"):
            yield Refusal("INVALID_JSONATA_EXPRESSION", "The expression is not opened or closed properly", location)


def _list_available(kind: str, place: str) -> set[str]:
    """The members of $states that there are at a place in a state of this type.

    https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html, "Reserved variable".
    """
    if place.startswith("Catch["):
        return {"input", "context", "errorOutput"}
    if kind in ("Task", "Map", "Parallel") and place.split("/")[0] in ("Assign", "Output"):
        return {"input", "context", "result"}
    return {"input", "context"}


def list_expressions(part: Any, location: str) -> Iterator[tuple[str, str]]:
    """Yield the expressions in a part of a definition, each with its location."""
    for where, text in _list_texts(part, location):
        expression = unwrap(text)
        if expression is not None:
            yield where, expression


def without_inner(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state without its branches and without what it does with its items."""
    return {key: value for key, value in state.items() if key not in ("ItemProcessor", "Iterator", "Branches")}


def _list_texts(node: Any, location: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _list_texts(value, f"{location}/{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _list_texts(value, f"{location}[{number}]")
    elif isinstance(node, str):
        yield location, node


def _check_flow(body: Mapping[str, Any], location: str) -> Iterator[Refusal]:
    states: Mapping[str, Mapping[str, Any]] = body["States"]
    reached = set[str]()
    targets = [(f"{location}/StartAt", body["StartAt"])]
    for name, state in states.items():
        targets += _list_targets(state, f"{location}/States/{name}")
    for where, target in targets:
        if target not in states:
            yield Refusal("MISSING_TRANSITION_TARGET", f"Missing 'Next' target: {target}", where)
    if not any(state.get("End") is True or state["Type"] in ("Succeed", "Fail") for state in states.values()):
        yield Refusal("MISSING_END_STATE", "Workflow has no terminal state")
    else:
        waiting = [body["StartAt"]]
        while waiting:
            name = waiting.pop()
            if name in states and name not in reached:
                reached.add(name)
                waiting += [target for _, target in _list_targets(states[name], "")]
        for name in states:
            if name not in reached:
                text = f'State "{name}" is not reachable.'
                yield Refusal("MISSING_TRANSITION_TARGET", text, f"{location}/States/{name}")
    for name, state in states.items():
        for where, inner in list_containers(state):
            yield from _check_flow(inner, f"{location}/States/{name}/{where}")


def _list_targets(state: Mapping[str, Any], where: str) -> Iterator[tuple[str, str]]:
    for key in ("Next", "Default"):
        if key in state:
            yield f"{where}/{key}", state[key]
    for key in ("Choices", "Catch"):
        for number, branch in enumerate(state.get(key, [])):
            if "Next" in branch:
                yield f"{where}/{key}[{number}]/Next", branch["Next"]
