"""What AWS tells of a state machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.stepfunctions.parser.asl.static_analyser.variable_references_static_analyser import (
    VariableReferencesStaticAnalyser,
)
from moto.stepfunctions.responses import StepFunctionResponse

from rehearsal.engine.repairs.patches import Patches


def repair_machine_descriptions(patches: Patches) -> None:
    """moto does not say which variables the states of a machine read (here: those in JSONPath), whether data of
    executions is logged where nobody asked for it (AWS: false), nor when the machine of an execution was updated
    (LocalStack's recordings of 2024-11-20).
    """

    def describe(original: Callable[..., Any], self: Any, state_machine_arn: str) -> ActionResult:
        machine = self.stepfunction_backend.describe_state_machine(state_machine_arn)
        answer = dict(original(self, state_machine_arn).result)
        answer["loggingConfiguration"] = {"includeExecutionData": False, **(answer["loggingConfiguration"] or {})}
        answer["updateDate"] = machine.update_date or machine.creation_date
        read = VariableReferencesStaticAnalyser.process_and_get(machine.definition)
        if read:
            answer["variableReferences"] = {state: sorted(names) for state, names in read.items()}
        return ActionResult(answer)

    patches.wrap(StepFunctionResponse, "_describe_state_machine", describe)
