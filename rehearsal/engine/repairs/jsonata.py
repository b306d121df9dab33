"""Repairs of how moto's Step Functions interpreter evaluates JSONata."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from typing import Any

from jsonata import Jsonata
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
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor

from rehearsal.engine.expressions import parse
from rehearsal.engine.repairs.patches import Patches

UNDEFINED = object()


class UnsupportedResultError(Exception):
    """Raised when an expression returns what JSON cannot hold, such as a function."""


def evaluate(expression: str, variables: dict[str, Any], uuid: Callable[[], str]) -> Any:
    """Return the JSON value of a JSONata expression, or UNDEFINED.

    `variables` are bound by name (without the dollar sign). Raises whatever the evaluator raises.
    """
    compiled = parse(expression)
    bindings = {name: Utils.NULL_VALUE if value is None else value for name, value in variables.items()}
    bindings["parse"] = Jsonata.JLambda(json.loads)
    bindings["uuid"] = Jsonata.JLambda(lambda: uuid())
    bindings["hash"] = Jsonata.JLambda(_hash)
    # Functions of the library look their evaluator up here.
    Jsonata.CURRENT.jsonata = compiled
    result = compiled.evaluate(None, bindings)
    return UNDEFINED if result is None else _to_json(result)


def _hash(text: str, algorithm: str = "SHA-256") -> str:
    return hashlib.new(algorithm.replace("-", "").lower(), text.encode()).hexdigest()


def _to_json(value: Any) -> Any:
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
        except Exception as error:
            raise evaluation_failure(env, f"The JSONata expression '{self.expression}' failed: {error}") from error
        if result is UNDEFINED:
            raise evaluation_failure(env, f"The JSONata expression '{self.expression}' returned nothing (undefined).")
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


def evaluation_failure(env: Any, cause: str) -> FailureEventException:
    """Return the exception that fails a state with States.QueryEvaluationError."""
    name = StatesErrorName(typ=StatesErrorNameType.StatesQueryEvaluationError)
    return FailureEventException(
        failure_event=FailureEvent(
            env=env,
            error_name=name,
            event_type=HistoryEventType.EvaluationFailed,
            event_details=EventDetails(
                evaluationFailedEventDetails=EvaluationFailedEventDetails(error=name.error_name, cause=cause)
            ),
        )
    )


def repair_query_language_stack(patches: Patches) -> None:
    """moto keeps the stack of query languages of its parser in a class attribute: one rejected definition poisons
    every later one.
    """

    def begin(original: Callable[..., None], self: Any, *arguments: Any, **keywords: Any) -> None:
        original(self, *arguments, **keywords)
        self._query_language_per_scope = []

    patches.wrap(Preprocessor, "__init__", begin)
