from __future__ import annotations

import json
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest

from drydock.errors import InstanceBusyError
from drydock.log import logged, logger, name_in_log
from drydock.subject import Group, Instance

CONTEXT = SimpleNamespace(function_name="drydock-back_up", aws_request_id="0a1b")
BEGIN = {"function": "drydock-back_up", "request": "0a1b"}
NAMES = {*BEGIN, "run", "execution", "instance", "group"}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """What the logger writes."""
    stream = StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", stream)
    return stream


def _lines(written: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def _names(written: StringIO) -> list[dict[str, Any]]:
    return [{key: value for key, value in line.items() if key in NAMES} for line in _lines(written)]


def test_the_lines_of_a_function_name_it_and_what_it_works_on(written: StringIO) -> None:
    @logged
    def handler(event: dict[str, Any], context: object) -> None:
        logger.info("begun")
        name_in_log(Instance("i-1"), run="web-1", execution="web-1-i-1")
        logger.info("at work")
        name_in_log(Group("web"))
        logger.info("at another")

    handler({}, CONTEXT)
    known = {**BEGIN, "run": "web-1", "execution": "web-1-i-1"}
    assert _names(written) == [BEGIN, {**known, "instance": "i-1"}, {**known, "group": "web"}]


def test_what_a_function_raises_is_a_line_that_names_the_instance_and_is_raised(written: StringIO) -> None:
    @logged
    def handler(event: dict[str, Any], context: object) -> None:
        name_in_log(Instance("i-1"))
        raise InstanceBusyError("i-1: another execution has it")

    with pytest.raises(InstanceBusyError):
        handler({}, CONTEXT)
    (line,) = _lines(written)
    said = {key: line[key] for key in ("message", "error", "reason", "instance", "function")}
    assert said == {
        "message": "failed",
        "error": "InstanceBusyError",
        "reason": "i-1: another execution has it",
        "instance": "i-1",
        "function": "drydock-back_up",
    }


def test_a_function_that_is_kept_warm_forgets_what_it_worked_on(written: StringIO) -> None:
    @logged
    def handler(event: dict[str, Any], context: object) -> None:
        if event:
            name_in_log(Instance(event["instanceId"]), run="web-1")
        logger.info("at work")

    handler({"instanceId": "i-1"}, CONTEXT)
    handler({}, CONTEXT)
    assert _names(written) == [{**BEGIN, "run": "web-1", "instance": "i-1"}, BEGIN]
