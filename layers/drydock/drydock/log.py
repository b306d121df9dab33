"""The one logger: its lines name the function and, as far as they are known, run, execution and instance or group.

All functions write to one log group, so a line has to say what it is about. Task tokens and policies are never logged.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from aws_lambda_powertools import Logger

from drydock.subject import Group, Instance, Subject

logger = Logger()

_Answer = TypeVar("_Answer")


def logged(handler: Callable[[dict[str, Any], Any], _Answer]) -> Callable[[dict[str, Any], Any], _Answer]:
    """Every handler is made with this: its lines name function and request, and what it raises is a line as well.

    Lambda writes a traceback of its own, which names nothing but the request.
    """

    @wraps(handler)
    def handle(event: dict[str, Any], context: Any) -> _Answer:
        logger.thread_safe_clear_keys()
        logger.thread_safe_append_keys(function=context.function_name, request=context.aws_request_id)
        try:
            return handler(event, context)
        except Exception as error:
            log_failure(error)
            raise

    return handle


def log_failure(error: Exception) -> None:
    """Write the line of an error that fails a state."""
    logger.warning("failed", error=type(error).__name__, reason=str(error))


def name_in_log(*subjects: Subject, run: str = "", execution: str = "") -> None:
    """Let the lines from here on name these, and go on naming what is left out. Subjects replace those before."""
    keys: dict[str, str | None] = {}
    if run:
        keys["run"] = run
    if execution:
        keys["execution"] = execution
    if subjects:
        keys["instance"] = next((one.id for one in subjects if isinstance(one, Instance)), None) or None
        keys["group"] = next((one.name for one in subjects if isinstance(one, Group)), None) or None
    logger.thread_safe_append_keys(**keys)
