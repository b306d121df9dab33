"""Definitions of state machines are refused as AWS refuses them: when they are created, updated or validated.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_ValidateStateMachineDefinition.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.stepfunctions.parser.api import InvalidDefinition
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from rehearsal.engine.definitions import find_refusals
from rehearsal.engine.repairs.errors import service_error
from rehearsal.engine.repairs.patches import Patches

MOST_DIAGNOSTICS = 100


def repair_validation(patches: Patches) -> None:
    """moto takes definitions that AWS refuses, answers a refused one without a code (AWS: InvalidDefinition,
    LocalStack's recording of 2023-08-04), and has no ValidateStateMachineDefinition.
    """

    parse = StepFunctionsParserBackend._validate_definition

    def create(original: Callable[..., Any], self: Any, *arguments: Any, **keywords: Any) -> Any:
        check_definition(keywords["definition"], keywords.get("sm_type") or "STANDARD")
        return original(self, *arguments, **keywords)

    def update(
        original: Callable[..., Any], self: Any, arn: str, definition: str | None, *others: Any, **named: Any
    ) -> Any:
        if definition is not None:
            check_definition(definition, self.describe_state_machine(arn).type)
        return original(self, arn, definition, *others, **named)

    def validate(definition: str) -> None:
        try:
            parse(definition)
        except InvalidDefinition as error:
            # AWS may well take it: it is moto's grammar that lacks something.
            raise _refuse(str(error.message)) from error

    def answer(self: Any) -> ActionResult:
        found = find_refusals(self._get_param("definition"), self._get_param("type") or "STANDARD")
        most = self._get_int_param("maxResults") or MOST_DIAGNOSTICS
        diagnostics = [
            {key: value for key, value in {**refusal._asdict(), "severity": "ERROR"}.items() if value is not None}
            for refusal in found[:most]
        ]
        result = "FAIL" if found else "OK"
        return ActionResult({"result": result, "diagnostics": diagnostics, "truncated": len(found) > most})

    patches.wrap(StepFunctionsParserBackend, "create_state_machine", create)
    patches.wrap(StepFunctionsParserBackend, "update_state_machine", update)
    patches.replace(StepFunctionsParserBackend, "_validate_definition", staticmethod(validate))
    patches.replace(StepFunctionResponse, "validate_state_machine_definition", answer)


def check_definition(definition: str, kind: str) -> None:
    """Raise InvalidDefinition, as AWS answers it, for a definition that is refused."""
    found = find_refusals(definition, kind)
    if found:
        raise _refuse(", ".join(map(str, found)))


def _refuse(reasons: str) -> ServiceException:
    return service_error("stepfunctions", "InvalidDefinition", f"Invalid State Machine Definition: '{reasons}'")
