"""Repairs of how moto's Step Functions interpreter evaluates JSONata."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from jsonata import Jsonata
from jsonata.jexception import JException
from jsonata.utils import Utils
from moto.stepfunctions.parser.api import EvaluationFailedEventDetails, HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from moto.stepfunctions.parser.asl.component.common.query_language import QueryLanguageMode
from moto.stepfunctions.parser.asl.component.common.string import string_expression
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.state import CommonStateField
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor

from rehearsal.engine.definitions import list_containers, list_expressions, without_inner
from rehearsal.engine.expressions import describe_error, parse
from rehearsal.engine.repairs.executions import running
from rehearsal.engine.repairs.patches import Patches

UNDEFINED = object()


class UnsupportedResultError(Exception):
    """Raised when an expression returns what JSON cannot hold, such as a function."""


def evaluate(expression: str, variables: dict[str, Any], uuid: Callable[[], str]) -> Any:
    """Return the JSON value of a JSONata expression, or UNDEFINED.

    `variables` are bound by name (without the dollar sign). Raises whatever the evaluator raises.
    """
    found = _follow(_path_of(expression), variables)
    if found is not UNDEFINED:
        return _to_json(found)
    compiled = parse(expression)
    # Of some thirty variables an expression reads one or two.
    bindings = {}
    for name in _variables_of(expression):
        if name in _FUNCTIONS:
            bindings[name] = _FUNCTIONS[name]
        elif name == "uuid":
            bindings[name] = Jsonata.JLambda(lambda: uuid())
        elif name in variables:
            bindings[name] = Utils.NULL_VALUE if variables[name] is None else variables[name]
    # Functions of the library look their evaluator up here.
    Jsonata.CURRENT.jsonata = compiled
    result = compiled.evaluate(None, bindings)
    return UNDEFINED if result is None else _to_json(result)


_PATH = re.compile(r"\$([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*)*)")
_WORDS = frozenset({"and", "function", "in", "or", "false", "null", "true"})


@lru_cache(maxsize=4096)
def _path_of(expression: str) -> tuple[str, ...]:
    """The names on the way that an expression goes when it does nothing else, `$states.input.name`."""
    path = _PATH.fullmatch(expression.strip())
    names = (path[1], *path[2].split(".")[1:]) if path else ()
    return () if _WORDS.intersection(names) or not _BOUND.isdisjoint(names[:1]) else names


def _follow(path: tuple[str, ...], variables: dict[str, Any]) -> Any:
    """Return what stands at the end of a path through objects; UNDEFINED where it needs JSONata's rules, of arrays."""
    found: Any = variables if path else None
    for name in path:
        if type(found) is not dict:
            return UNDEFINED
        found = found.get(name)
    return found if type(found) in (str, bool, int, dict) else UNDEFINED


def _hash(text: str, algorithm: str = "SHA-256") -> str:
    return hashlib.new(algorithm.replace("-", "").lower(), text.encode()).hexdigest()


def _partition(array: list[Any], size: float) -> list[Any]:
    step = math.floor(size)
    return [array[start : start + step] for start in range(0, len(array), step)]


def _range(first: float, last: float, step: float) -> Any:
    delta = math.floor(step)
    # Up to the last number itself. One that is alone is returned alone, as of every sequence.
    found = list(range(math.floor(first), math.floor(last) + (1 if delta > 0 else -1), delta))
    return found[0] if len(found) == 1 else found


_FUNCTIONS = {
    "parse": Jsonata.JLambda(json.loads),
    "hash": Jsonata.JLambda(_hash),
    "partition": Jsonata.JLambda(_partition),
    "range": Jsonata.JLambda(_range),
}


_BOUND = {*_FUNCTIONS, "uuid"}


@lru_cache(maxsize=4096)
def _variables_of(expression: str) -> tuple[str, ...]:
    """The names that follow a dollar sign, each once."""
    return tuple(dict.fromkeys(re.findall(r"\$(\w+)", expression)))


def _to_json(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is bool or kind is int:
        return value
    if kind is dict:
        return {name if type(name) is str else str(name): _to_json(item) for name, item in value.items()}
    if value is None or value is Utils.NULL_VALUE:
        return None
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UnsupportedResultError("the expression returned a number that is not finite")
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, list):
        # By index, because the library's ranges leave out their last number when iterated.
        return [_to_json(value[index]) for index in range(len(value))]
    raise UnsupportedResultError("returned an unsupported result type.")


def repair_jsonata_evaluation(patches: Patches, uuid: Callable[[], str]) -> None:
    """moto has no JSONata evaluator: its function pointer is None. It also pastes variables into the text of the
    expression, strings unescaped, so that a quotation mark in a value breaks it. Here variables are bound, each
    expression is parsed once, and every failure is a States.QueryEvaluationError.
    """

    def eval_jsonata(self: Any, env: Any) -> None:
        variables = {**env.variable_store._outer_scope, **env.variable_store._inner_scope}
        variables["states"] = {
            name: value
            for name, value in env.states._states_data.items()
            if value is not None or name not in ("result", "errorOutput")
        }
        try:
            result = evaluate(self.expression, variables, uuid)
        except UnsupportedResultError as error:
            raise _expression_failure(env, self.expression, str(error)) from error
        except JException as error:
            text = f"threw an error during evaluation. {error.error}: {describe_error(error)}"
            raise _expression_failure(env, self.expression, text) from error
        except Exception as error:
            text = f"threw an error during evaluation: {error}"
            raise _expression_failure(env, self.expression, text) from error
        if result is UNDEFINED:
            raise _expression_failure(env, self.expression, "returned nothing (undefined).")
        env.stack.append(result)

    def eval_variable_sample(self: Any, env: Any) -> None:
        if self.query_language_mode == QueryLanguageMode.JSONata:
            eval_jsonata(self, env)
        else:
            variables = {**env.variable_store._outer_scope, **env.variable_store._inner_scope}
            result = evaluate(self.expression, variables, uuid)
            env.stack.append(None if result is UNDEFINED else result)

    patches.replace(string_expression.StringJSONata, "_eval_body", eval_jsonata)
    patches.replace(string_expression.StringVariableSample, "_eval_body", eval_variable_sample)


def _expression_failure(env: Any, expression: str, reason: str) -> FailureEventException:
    execution = running.get()
    place = _find_field(execution.state_machine.definition, env.next_state_name, expression)
    text = f"The JSONata expression '{expression}' specified for the field '{place}' {reason}"
    return evaluation_failure(env, text, place)


@lru_cache(maxsize=256)
def _find_field(definition: str, state: str, expression: str) -> str | None:
    """Return where an expression stands in a state: the first place, when there are several."""

    def visit(body: Any) -> Iterator[str]:
        for name, found in body["States"].items():
            if name == state:
                for place, text in list_expressions(without_inner(found), ""):
                    if text.strip() == expression:
                        yield place.removeprefix("/")
            for _, inner in list_containers(found):
                yield from visit(inner)

    return next(visit(json.loads(definition)), None)


def evaluation_failure(env: Any, cause: str, location: str | None) -> FailureEventException:
    """Return the exception that fails a state with States.QueryEvaluationError, because of one of its fields."""
    name = StatesErrorName(typ=StatesErrorNameType.StatesQueryEvaluationError)
    state = env.next_state_name
    entered = _find_entry(env.event_manager, state)["id"]
    text = f"An error occurred while executing the state '{state}' (entered at the event id #{entered}). {cause}"
    details = EvaluationFailedEventDetails(error=name.error_name, cause=text, state=state)
    if location:
        details["location"] = location
    return FailureEventException(
        failure_event=FailureEvent(
            env=env,
            error_name=name,
            event_type=HistoryEventType.EvaluationFailed,
            event_details=EventDetails(evaluationFailedEventDetails=details),
        )
    )


def _find_entry(history: EventManager, state: str) -> Any:
    """The event of the last entry into a state."""
    events = reversed(history._history_event_list)
    return next(event for event in events if event.get("stateEnteredEventDetails", {}).get("name") == state)


def repair_evaluation_events(patches: Patches) -> None:
    """moto tells of an expression that fails only in a task and a Map, and not where it stands (AWS: EvaluationFailed
    with field, state and a cause that names both, LocalStack's recordings of 2024-11-21).
    """

    def note(failure: FailureEventException, env: Any) -> None:
        event = failure.failure_event
        if event.event_type == HistoryEventType.EvaluationFailed:
            env.event_manager.add_event(env.event_history_context, event.event_type, event.event_details)

    def evaluate_state(original: Callable[..., None], self: Any, env: Any) -> None:
        try:
            original(self, env)
        except FailureEventException as failure:
            # A state that can retry tells of its failures itself.
            if not isinstance(self, ExecutionState):
                note(failure, env)
            raise

    def evaluate_output(original: Callable[..., None], self: Any, env: Any) -> None:
        try:
            original(self, env)
        except FailureEventException as failure:
            if isinstance(self, ExecutionState):
                note(failure, env)
            raise

    def describe(original: Callable[..., Any], self: Any) -> Any:
        details = (self.failure_event.event_details or {}).get("evaluationFailedEventDetails", {})
        # The cause has all that moto would put before it.
        return dict(details) if "state" in details else original(self)

    def end(original: Callable[..., Any], self: Any) -> Any:
        details = (self.failure_event.event_details or {}).get("evaluationFailedEventDetails", {})
        return {key: details[key] for key in ("error", "cause")} if "state" in details else original(self)

    def publish(original: Callable[..., None], self: Any, **keywords: Any) -> None:
        details = (keywords["event_details"] or {}).get("evaluationFailedEventDetails")
        if details and details.get("location") != "Timestamp":
            # It follows what the entry into the state followed.
            keywords["source_event_id"] = _find_entry(self, details["state"])["previousEventId"]
        original(self, **keywords)

    patches.wrap(CommonStateField, "_eval_body", evaluate_state)
    patches.wrap(CommonStateField, "_eval_state_output", evaluate_output)
    patches.wrap(FailureEventException, "get_evaluation_failed_event_details", describe)
    patches.wrap(FailureEventException, "get_execution_failed_event_details", end)
    patches.wrap(EventManager, "_publish_history_event", publish)


def repair_query_language_stack(patches: Patches) -> None:
    """moto keeps the stack of query languages of its parser in a class attribute: one rejected definition poisons
    every later one.
    """

    def begin(original: Callable[..., None], self: Any, *arguments: Any, **keywords: Any) -> None:
        original(self, *arguments, **keywords)
        self._query_language_per_scope = []

    patches.wrap(Preprocessor, "__init__", begin)
