"""Texts and numbers that JSON can hold and little else can: each ends in an error that has a name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest

from drydock.approval.approvals import DecisionRefusedError
from drydock.approval.approvers import read_approvers
from drydock.approval.deciding import _read_form, _read_json
from drydock.errors import DrydockError, RunNotFoundError
from drydock.plan.run_request import read_run_request
from drydock.request.group import read_group_request
from drydock.request.instance import read_request
from drydock.request.policy import DEFAULTS
from drydock.telling.failures import readable_cause, subject_of
from drydock_files.marked_text import MarkedText, UnreadableTextError, json_as_yaml
from tests.unit.world import INSTANCE, World

SETTINGS = "/drydock/policy"


def nested(depth: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value


VALUES: Mapping[str, Any] = {
    "half of a pair": "\ud800",
    "half of a pair in a text": "web\udfff",
    "NUL": "web\0",
    "ten thousand digits": 10**10_000,
    "no number": float("nan"),
    "deep lists": nested(900, lambda inner: [inner]),
    "deep objects": nested(900, lambda inner: {"hooks": inner}),
    "a long text": "x" * 100_000,
}


def odd_texts(depth: int) -> dict[str, str]:
    return {
        "half of a pair": '"\\ud800"',
        "half of a pair as it is": '"\ud800"',
        "NUL": '"a\0b"',
        "NUL as an escape": '"\\u0000"',
        "ten thousand digits": "1" * 10_000,
        "deep lists": "[" * depth + "]" * depth,
        "deep objects": '{"a":' * depth + "1" + "}" * depth,
        "no number": "NaN",
        "a mark of the byte order": "\ufeff{}",
    }


TEXTS = odd_texts(depth=5_000)


def paths(section: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in section.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from paths(value, (*above, key))


def policy_with(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    policy = {path[-1]: value}
    for key in reversed(path[:-1]):
        policy = {key: policy}
    return policy


def requests(value: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    """Every place of every input in which a value may stand, with a name."""

    def instance(**given: Any) -> object:
        return read_request({"instanceId": INSTANCE, **given}, "{}", SETTINGS, "execution")

    def group(**given: Any) -> object:
        return read_group_request({"groupName": "web", **given}, "{}", SETTINGS, "execution")

    def run(**given: Any) -> object:
        targets = {} if {"window", "plan", "resume"} & set(given) else {"targets": [{"key": "tag:a", "values": ["b"]}]}
        return read_run_request({**targets, "policy": {"deadlineMinutes": 60}, **given}, "{}", SETTINGS, "run-1")

    for key in ("instanceId", "runId", "snapshotId", "group", "unlessDoneSince", "policy"):
        yield f"instance {key}", partial(instance, **{key: value})
    for key in ("groupName", "runId", "snapshotId", "unlessDoneSince", "only", "policy"):
        yield f"group {key}", partial(group, **{key: value})
    for key in ("targets", "window", "plan", "resume", "operations", "planOnly", "follows", "snapshotId", "policy"):
        yield f"run {key}", partial(run, **{key: value})
    yield "a target's key", partial(run, targets=[{"key": value, "values": ["a"]}])
    yield "a target's value", partial(run, targets=[{"key": "tag:a", "values": [value]}])
    yield "the window's id", partial(run, window={"windowId": value, "executionId": value})
    for path in paths(DEFAULTS):
        yield f"policy {path}", partial(instance, policy=policy_with(path, value))
        yield f"policy {path}[]", partial(instance, policy=policy_with(path, [value]))
    if isinstance(value, str):
        yield "an unknown key", partial(instance, **{value: 1})
        yield "an unknown key of the policy", partial(instance, policy={value: 1})
        yield "a tag's key", partial(run, targets=[{"key": f"tag:{value}", "values": ["a"]}])
        unknown = json.dumps({value: 1})
        yield "an unknown key of the settings", partial(read_request, {"instanceId": INSTANCE}, unknown, SETTINGS, "e")


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_an_odd_value_anywhere_in_an_input_is_refused_by_name(value: Any) -> None:
    for where, read in requests(value):
        with pytest.raises(DrydockError) as refused:
            read()
            pytest.fail(f"{where} was taken")
        said = str(refused.value)
        assert "\0" not in said, where
        assert len(said.encode()) < 32_768, where


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_odd_texts_in_settings_and_decisions_are_refused_by_name_and_what_others_wrote_is_passed_on(text: str) -> None:
    for settings in (text, f'{{"healthProbe": {text}}}'):
        with pytest.raises(DrydockError, match=f"^{SETTINGS}: "):
            read_request({"instanceId": INSTANCE}, settings, SETTINGS, "execution")
    decision = f'{{"runId": "run-1", "hash": "0", "decision": "approved", "reason": {text}}}'
    for body in (text, decision):
        with pytest.raises(DecisionRefusedError):
            _read_json(body)
    for cause in (text, f'{{"errorMessage": {text}}}', f'{{"instanceId": {text}}}', f'{{"groupName": {text}}}'):
        assert isinstance(readable_cause(cause), str)
        assert subject_of({"input": cause}).key.encode() is not None


@pytest.mark.parametrize("form", ["reason=a%00b", "reason=%ED%A0%80", "reason=\ud800"])
def test_a_form_with_characters_that_cannot_be_kept_is_refused(form: str) -> None:
    with pytest.raises(DecisionRefusedError):
        _read_form(form)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_run_that_cannot_be_is_not_stopped(world: World, value: Any) -> None:
    with pytest.raises(RunNotFoundError):
        world.run("stop_run", {"runId": value, "reason": value})


# The scanner of YAML takes four times as long for twice the depth; the parser stops far before this one.
FILES = (
    *(f"{before}{text}" for text in odd_texts(depth=1_000).values() for before in ("", "seed: 1\nlimit: ")),
    *("a: {1: 2}", "? [a]\n: 1", "a: !!python/object:os.system x", "a: &x [*x]", "<<: 1", "a: 0x", "a: !!int x"),
    *("a: !!float x", "a: !!binary x", "a: !!set {b}", "a: !foo x", "a: 190:20:30", "a: 1_000", "a: *b", "a: [", "\t"),
)


@pytest.mark.parametrize("text", FILES, ids=range(len(FILES)))
@pytest.mark.parametrize("as_json", [False, True], ids=["yaml", "json"])
def test_a_file_that_cannot_be_read_names_itself_and_a_line(text: str, as_json: bool) -> None:
    try:
        MarkedText(json_as_yaml(text) if as_json else text, "fleet.yaml")
    except UnreadableTextError as error:
        said = str(error)
        name, line, _ = said.split(":", 2)
        assert (name, line.isdigit()) == ("fleet.yaml", True)
        assert said.encode() and "\n" not in said


def test_approvers_that_cannot_be_read_are_nobody() -> None:
    for text in TEXTS.values():
        read_approvers(text)
