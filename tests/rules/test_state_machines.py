from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from drydock.commands import _SEEN_AFTER
from drydock.evidence import _MOST_READS
from drydock.policy import MOST_SECONDS
from drydock.settling import SETTLE_LIMIT
from rehearsal.repairs.jsonata import evaluate
from tests.rules.flow import Node, failures, following, on_loops, reached
from tests.rules.project import ROOT, State, choices, functions, machine, machines, plain, retries_seconds, states

PATCH_INSTANCE = "PatchInstance"
WAIT_ENDS = ["States.HeartbeatTimeout", "States.Timeout"]
EXPRESSION = re.compile(r"\{%(.*)%\}", re.DOTALL)

LONGEST_SECONDS: dict[str, float] = {
    "back_up": MOST_SECONDS["imageSeconds"],
    "start_instance": MOST_SECONDS["startSeconds"],
    "wait_until_reachable": MOST_SECONDS["startSeconds"],
    "probe_instance": MOST_SECONDS["hookSeconds"],
    "run_hook": MOST_SECONDS["hookSeconds"],
    "check_health": MOST_SECONDS["hookSeconds"],
    "install_patches": MOST_SECONDS["patchSeconds"],
    "finish_install": MOST_SECONDS["patchSeconds"],
    "scan_patches": MOST_SECONDS["patchSeconds"],
    "restore_power": MOST_SECONDS["stopSeconds"],
    "settle_commands": SETTLE_LIMIT.total_seconds(),
}
"""The longest that a step may last by its own deadline, under any policy, by function."""

POLLED_SECONDS = {
    "AgentNotReadyError": float(MOST_SECONDS["startSeconds"]),
    "CommandNotReadyError": _SEEN_AFTER.total_seconds(),
    "InstanceNotReadyError": 600.0,
}
"""How long a passing error may go on. An instance that stops or starts has no deadline but these ten minutes."""

SENDS_COMMANDS = {"probe_instance", "run_hook", "install_patches", "scan_patches", "check_health"}

ENDED_BY_GIVE_BACK = {"Settle Commands", "Restore Power", "Release Instance"}
"""What fails straight away: the lease stays, and give_back ends the work; or the lease is gone already."""

FORGIVEN = {"Announce Success"}
"""What may fail without failing the execution: the machine is well and released by then."""


def _value(text: str, **variables: Any) -> Any:
    match = EXPRESSION.fullmatch(text)
    assert match, f"{text} is no expression"
    return evaluate(match[1].strip(), variables, lambda: "")


def _tasks() -> list[State]:
    found = states("Task")
    assert found
    return found


def _waiting() -> list[State]:
    found = [state for state in _tasks() if state.waits_for_token]
    assert found
    return found


def _lasts(state: State) -> float:
    """The longest that a state may last, in seconds, when nothing is wrong with Lambda."""
    if state.type == "Wait":
        return 120
    if state.type != "Task":
        return 0
    own = LONGEST_SECONDS.get(state.function.folder, state.body["TimeoutSeconds"])
    return float(own) + float(state.body.get("HeartbeatSeconds", 0))


def test_every_state_machine_is_used_by_the_template() -> None:
    used = {ROOT / one.properties["DefinitionUri"] for one in machines()}
    assert used == set((ROOT / "statemachines").glob("*.asl.yaml"))


def test_a_state_machine_is_named_as_its_file() -> None:
    for one in machines():
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", one.logical_id).lower()
        assert Path(one.properties["DefinitionUri"]).name == f"{snake}.asl.yaml"
        assert plain(one.properties["Name"]) == f"drydock-{one.logical_id}"


def test_every_machine_says_what_it_is_for_and_is_jsonata() -> None:
    for one in machines():
        assert one.definition.get("Comment"), one.logical_id
        assert one.definition["QueryLanguage"] == "JSONata"


def test_every_task_has_a_timeout_longer_than_its_function_may_run() -> None:
    wrong = [
        state.name for state in _tasks() if state.body.get("TimeoutSeconds", 0) <= state.function.properties["Timeout"]
    ]
    assert wrong == []


def test_every_wait_for_a_token_hears_a_heartbeat_at_least_twice_as_long_as_its_function_may_run() -> None:
    wrong = [
        state.name
        for state in _waiting()
        if state.body.get("HeartbeatSeconds", 0) < 2 * state.function.properties["Timeout"]
        or state.body["TimeoutSeconds"] <= state.body["HeartbeatSeconds"]
    ]
    assert wrong == []


def test_every_wait_for_a_token_is_entered_again_until_the_longest_deadline_of_its_step() -> None:
    for state in _waiting():
        again = [retrier for retrier in state.retriers if set(WAIT_ENDS) & set(retrier["ErrorEquals"])]
        assert [retrier["ErrorEquals"] for retrier in again] == [WAIT_ENDS], state.name
        assert again[0]["BackoffRate"] == 1, state.name
        assert "JitterStrategy" not in again[0], state.name
        lasts = again[0]["MaxAttempts"] * state.body["HeartbeatSeconds"]
        assert lasts >= LONGEST_SECONDS[state.function.folder], state.name


def test_polling_lasts_as_long_as_what_is_polled_for() -> None:
    seen = set()
    for state in _tasks():
        for retrier in state.retriers:
            for name in set(retrier["ErrorEquals"]) & set(POLLED_SECONDS):
                seen.add(name)
                assert retrier["ErrorEquals"] == [name], state.name
                assert "JitterStrategy" not in retrier, f"{state.name}: jitter would shorten it"
                assert retries_seconds(retrier) >= POLLED_SECONDS[name], f"{state.name}: {name}"
    assert seen == set(POLLED_SECONDS)


def test_a_patch_state_is_read_as_often_as_the_step_asks_for() -> None:
    attempts = [
        retrier["MaxAttempts"]
        for state in _tasks()
        for retrier in state.retriers
        if "PatchStateNotReadyError" in retrier["ErrorEquals"]
    ]
    assert attempts
    assert min(attempts) >= _MOST_READS


def test_a_state_machine_lasts_longer_than_all_its_states_together() -> None:
    for one in machines():
        assert one.definition["TimeoutSeconds"] > sum(map(_lasts, one.states.values())), one.logical_id


def test_states_of_one_function_wait_and_retry_alike() -> None:
    for function in functions():
        ways = {
            str([state.body.get(key) for key in ("Resource", "TimeoutSeconds", "HeartbeatSeconds", "Retry")])
            for state in _tasks()
            if state.function == function
        }
        assert len(ways) <= 1, function.folder


def test_every_task_catches_everything() -> None:
    wrong = [
        state.name for state in _tasks() if not state.catchers or state.catchers[-1]["ErrorEquals"] != ["States.ALL"]
    ]
    assert wrong == []


def test_all_variables_are_assigned_in_the_first_state_however_it_ends() -> None:
    for one in machines():
        everywhere = {
            name
            for state in one.states.values()
            for holder in [state.body, *state.catchers, *state.body.get("Choices", [])]
            for name in holder.get("Assign", {})
        }
        first = one.first
        assert set(first.body["Assign"]) == everywhere
        for catcher in first.catchers:
            assert set(catcher["Assign"]) == everywhere


def test_a_catch_remembers_the_error_and_its_cause() -> None:
    error = {"Error": "ImageFailedError", "Cause": "no"}
    for state in _tasks():
        for catcher in state.catchers:
            if state.name not in FORGIVEN:
                value = _value(catcher["Assign"]["failure"], failure=None, states={"errorOutput": error, "input": {}})
                assert value == {"error": "ImageFailedError", "cause": "no"}, state.name


def test_an_error_without_a_cause_is_remembered_and_told_without_one() -> None:
    error = {"Error": "States.HeartbeatTimeout"}
    for state in _tasks():
        for catcher in state.catchers:
            if state.name not in FORGIVEN:
                value = _value(catcher["Assign"]["failure"], failure=None, states={"errorOutput": error, "input": {}})
                assert value["error"] == "States.HeartbeatTimeout", state.name
                assert not value.get("cause"), state.name
    for fail in states("Fail"):
        assert _value(fail.body["Error"], failure={"error": "States.Timeout"}) == "States.Timeout"
        assert _value(fail.body["Cause"], failure={"error": "States.Timeout"}) == ""


def test_what_is_forgiven_is_said_in_the_output_beside_all_the_rest() -> None:
    for state in _tasks():
        if state.name in FORGIVEN:
            (catcher,) = state.catchers
            assert machine(state.machine).states[catcher["Next"]].type == "Succeed", state.name
            assert "failure" not in catcher["Assign"], state.name
            states_variable = {"errorOutput": {"Error": "AwsCallFailedError", "Cause": "denied"}}
            outcome = _value(catcher["Assign"]["outcome"], outcome={"verdict": "compliant"}, states=states_variable)
            assert outcome.pop("verdict") == "compliant", state.name
            assert list(outcome.values()) == ["AwsCallFailedError"], state.name


def test_nothing_overwrites_the_first_failure() -> None:
    first = {"error": "HookFailedError", "cause": "the first"}
    later = {"errorOutput": {"Error": "ImageFailedError", "Cause": "no"}, "result": {"Payload": {"failure": None}}}
    for one in machines():
        for state in one.states.values():
            if state == one.first:
                continue
            for catcher in state.catchers:
                if "failure" in catcher["Assign"]:
                    assert _value(catcher["Assign"]["failure"], failure=first, states=later) == first, state.name
            own = state.body.get("Assign", {}).get("failure")
            given = state.body.get("Arguments", {}).get("Payload", {}).get("data", {}).get("failure")
            if own and given != "{% $failure %}":
                assert _value(own, failure=first, states=later) == first, state.name


def test_a_machine_fails_with_the_first_error_and_cause() -> None:
    first = {"error": "HookFailedError", "cause": "the first"}
    for state in states("Fail"):
        assert _value(state.body["Error"], failure=first) == "HookFailedError"
        assert _value(state.body["Cause"], failure=first) == "the first"


def test_every_failure_path_ends_in_fail() -> None:
    for one in machines():
        found = failures(one)
        assert {state.name for state in one.states.values() if state.type == "Task"} <= set(found) | FORGIVEN
        assert FORGIVEN.isdisjoint(found)
        for name, starts in found.items():
            ends = {node.state for node in reached(one, starts) if one.states[node.state].type in ("Succeed", "Fail")}
            assert {one.states[end].type for end in ends} == {"Fail"}, f"after {name} fails"


def test_a_machine_without_a_failure_succeeds() -> None:
    for one in machines():
        ends = {
            node.state
            for node in reached(one, [Node(one.first.name, False)])
            if not node.failed and one.states[node.state].type in ("Succeed", "Fail")
        }
        assert {one.states[end].type for end in ends} == {"Succeed"}


def test_a_failure_passes_the_release_unless_give_back_ends_the_work() -> None:
    patch = machine(PATCH_INSTANCE)
    ending = {name for name, starts in failures(patch).items() if Node("Fail", True) in starts}
    assert ending == ENDED_BY_GIVE_BACK
    for name, starts in failures(patch).items():
        if name == "Release Instance":
            continue
        around = reached(patch, starts, without=["Release Instance"])
        before = {node.state for node in around if Node("Fail", True) in following(patch, node)}
        assert before <= ENDED_BY_GIVE_BACK, f"after {name} fails"


def test_a_success_passes_the_release() -> None:
    patch = machine(PATCH_INSTANCE)
    around = reached(patch, [Node(patch.first.name, False)], without=["Release Instance"])
    assert "Succeed" not in {node.state for node in around}


def test_a_refused_machine_is_not_touched() -> None:
    patch = machine(PATCH_INSTANCE)
    after = reached(patch, failures(patch)[patch.first.name])
    assert {patch.states[node.state].function.folder for node in after if patch.states[node.state].type == "Task"} == {
        "release_instance"
    }


def test_after_a_failure_the_power_waits_until_commands_are_settled() -> None:
    patch = machine(PATCH_INSTANCE)
    senders = {state.name for state in _tasks() if state.function.folder in SENDS_COMMANDS}
    first = [Node(name, False) for name in senders]
    ended = reached(patch, [Node("Is Power To Be Restored?", False), Node("Is Power To Be Restored?", True)])
    in_between = {node.state for node in reached(patch, first)} - {node.state for node in ended}
    assert senders <= in_between
    for name in in_between - {"Settle Commands"}:
        for catcher in patch.states[name].catchers:
            assert catcher["Next"] == "Settle Commands", name


def test_nothing_goes_round_for_ever() -> None:
    patch = machine(PATCH_INSTANCE)
    choices_again = {
        choice["Next"]: choice["Condition"]
        for choice in patch.states["What Follows Patching?"].body["Choices"]
        if patch.states[choice["Next"]].type == "Task" and choice["Next"] in on_loops(patch)
    }
    assert on_loops(patch, without=choices_again) == set()
    judged = choices_again.pop("Probe Instance After")
    probe = patch.states["Probe Instance After"]
    for holder in (probe.body, *probe.catchers):
        assert holder["Assign"]["isProbedAfter"] is True
    failed = {"installs": [{}], "failure": {"error": "HookFailedError", "cause": ""}}
    assert _value(judged, isProbedAfter=False, **failed) is True
    assert _value(judged, isProbedAfter=True, **failed) is False
    for name, condition in choices_again.items():
        hook = patch.states[name]
        key = hook.body["Arguments"]["Payload"]["data"]["hook"]
        for holder in (hook.body, *hook.catchers):
            assert key in _value(holder["Assign"]["hooks"], hooks={"preInstall": "ran"}), name
        policy = {"operation": "Install", "hooks": {key: "ADocument"}}
        known = {"policy": policy, "probeBefore": {"bootId": "1"}, "installs": [{}], "failure": None}
        assert _value(condition, hooks={}, **known) is True, name
        assert _value(condition, hooks={key: "failed"}, **known) is False, name


def test_the_name_of_a_task_begins_with_its_function() -> None:
    wrong = {
        state.name: state.function.folder
        for state in _tasks()
        if not f"{state.name.lower().replace(' ', '_')}_".startswith(f"{state.function.folder}_")
    }
    assert wrong == {}


def test_choices_are_questions_and_nothing_else_is() -> None:
    assert [state.name for state in states() if state.name.endswith("?") != (state.type == "Choice")] == []


def test_a_machine_substitutes_and_may_invoke_exactly_the_functions_of_its_states() -> None:
    for one in machines():
        used = {state.function.logical_id for state in one.states.values() if state.type == "Task"}
        substitutions = one.properties["DefinitionSubstitutions"]
        assert {name: value for name, value in substitutions.items() if name != "Partition"} == {
            name: {"Fn::GetAtt": [name, "Arn"]} for name in used
        }
        assert substitutions["Partition"] == {"Ref": "AWS::Partition"}
        invoked = [
            resource["Fn::GetAtt"]
            for policy in one.properties["Policies"]
            for statement in choices(policy["Statement"])
            if statement["Action"] == "lambda:InvokeFunction"
            for resource in statement["Resource"]
        ]
        assert sorted(invoked) == sorted([name, "Arn"] for name in used)


def test_every_step_is_told_which_execution_asks_and_for_which_instance() -> None:
    for state in _tasks():
        payload = state.body["Arguments"]["Payload"]
        assert payload["context"] == "{% $states.context %}", state.name
        assert "instanceId" in payload, state.name
        if state != machine(state.machine).first:
            assert {"policy", "machine"} <= set(payload), state.name


def test_a_function_that_waits_may_answer_tokens_and_is_waited_for() -> None:
    waited_for = {state.function.folder for state in _waiting()}
    assert waited_for == set(LONGEST_SECONDS) - {"wait_until_reachable"}
    assert waited_for.isdisjoint(state.function.folder for state in _tasks() if not state.waits_for_token)
