"""Copies of what states are given and give, which moto makes by the general machinery of Python."""

from __future__ import annotations

import copy
from typing import Any

from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.component.common.string import string_expression
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service
from moto.stepfunctions.parser.asl.eval import environment, states

from rehearsal.engine.repairs.patches import Patches


def copy_json(value: Any) -> Any:
    """Return a copy of what is JSON, however deep; anything else in it is copied as Python does it."""
    kind = type(value)
    if kind is dict:
        return {name: copy_json(item) for name, item in value.items()}
    if kind is list:
        return [copy_json(item) for item in value]
    if kind is str or kind is int or kind is bool or kind is float or value is None:
        return value
    return copy.deepcopy(value)


class _Copies:
    """The `copy` of a module that copies JSON."""

    copy = staticmethod(copy.copy)
    deepcopy = staticmethod(copy_json)


def repair_copies(patches: Patches) -> None:
    """moto asks of each value in a state's data which of a dozen ways there are to copy it."""
    for module in (environment, result_path, state_task_service, states, string_expression):
        patches.replace(module, "copy", _Copies)
