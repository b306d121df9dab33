from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from drydock.errors import Failure
from drydock.machine.commands import _SEEN_AFTER
from drydock.machine.evidence import _MOST_READS
from drydock.machine.settling import SETTLE_LIMIT
from drydock.request.policy import MOST_SECONDS, effective_policy
from drydock.run.outcomes import SUCCESSES, outcome_of_run
from drydock.telling.failures import readable_failure
from rehearsal.engine.repairs.jsonata import evaluate
from tests.rules.flow import Node, failures, following, on_loops, reached
from tests.rules.project import (
    LAYER,
    ROOT,
    Flow,
    Machine,
    State,
    choices,
    document,
    flow,
    flows,
    functions,
    machine,
    machines,
    parse,
    plain,
    retries_seconds,
    states,
)
from tests.rules.test_errors import OWN
from tests.unit.records.recorded import a_run

PATCH_INSTANCE = "PatchInstance"
MAINTENANCE_RUN = "MaintenanceRun"
RESTORE_INSTANCE = "RestoreInstance"
ROLL_GROUP = "RollGroup"
OF_ONE_MACHINE = [PATCH_INSTANCE, RESTORE_INSTANCE]
ITEMS = "MaintenanceRun/Carry Out Wave"
MEMBERS = "RollGroup/Roll Members"
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
    "update_agent": MOST_SECONDS["agentSeconds"],
    "restore_power": MOST_SECONDS["stopSeconds"],
    "replace_root_volume": MOST_SECONDS["replaceSeconds"],
    "settle_commands": SETTLE_LIMIT.total_seconds(),
    "ask_for_approval": 86_400,
}
"""The longest that a step may last by its own deadline, under any policy, by function."""

LONGEST_RUN_SECONDS = 4320 * 60
"""No machine of a run begins later than this, under any policy; a maintenance window lasts 24 hours at the most."""

LONGEST_DRAIN_SECONDS = 3600
"""A target group lets connections drain so long at the most."""

POLLED_SECONDS = {
    "AgentNotReadyError": float(MOST_SECONDS["startSeconds"]),
    "CommandNotReadyError": _SEEN_AFTER.total_seconds(),
    "InstanceNotReadyError": 600.0,
    "GroupNotReadyError": 900.0,
    "MachinesNotReadyError": float(machine(PATCH_INSTANCE).definition["TimeoutSeconds"]),
    "PatchingNotReadyError": 1800.0,
    "RootVolumeNotReadyError": float(MOST_SECONDS["replaceSeconds"]),
    "MemberNotReadyError": float(LONGEST_DRAIN_SECONDS + MOST_SECONDS["standbySeconds"]),
}
"""How long a passing error may go on. An instance that stops or starts has no deadline but these ten minutes, a group
that others change a quarter of an hour, a machine that others patch half an hour; a run
waits for the executions of its machines as long as these may last."""

SENDS_COMMANDS = {
    "check_health",
    "install_patches",
    "probe_instance",
    "run_hook",
    "scan_patches",
    "update_agent",
}

ENDED_BY_GIVE_BACK = {
    PATCH_INSTANCE: {"Settle Commands", "Restore Power", "Release Instance", "Release Instance After Failure"},
    RESTORE_INSTANCE: {
        "Replace Root Volume",
        "Settle Commands",
        "Restore Power",
        "Release Instance",
        "Release Instance After Failure",
    },
    ROLL_GROUP: {"Remove Surge", "Restore Group", "Release Group"},
}
"""What fails straight away: the lease stays, and give_back ends the work; or the lease is gone already."""

UNCAUGHT = {
    "Record Member": "its item fails, which the Map tolerates; the group's lease still says that its end is not known",
    "Stop Run": "its item fails, which the Map tolerates; the gate and the summary ask the machine's execution",
    "Summarise Run": "the execution fails with it, and give_back has the run reported",
}
"""The tasks that catch nothing, and what happens then."""

NO_STEPS = {
    "alert_failure": "EventBridge invokes it when an execution ends badly, and the sweep",
    "decide_run": "approvers invoke it by the function URL, and EventBridge when they write a parameter",
    "follow_image": "resume_waiting hands an image over to it that has ended, and the sweep",
    "give_back": "EventBridge invokes it when an execution ends badly, and the schedule",
    "prune_images": "the schedule invokes it, and drydock images",
    "resume_waiting": "EventBridge invokes it when something happened that a step may wait for",
}
"""The functions of no state, and who invokes them."""


def _value(text: str, **variables: Any) -> Any:
    match = EXPRESSION.fullmatch(text)
    assert match, f"{text} is no expression"
    return evaluate(match[1].strip(), variables, lambda: "")


def _tasks() -> list[State]:
    """The states that invoke a function."""
    found = [state for state in states("Task") if state.invokes]
    assert found
    return found


def _starting() -> list[State]:
    """The states that start an execution and wait for its end."""
    found = [state for state in states("Task") if state.calls == "states:startExecution"]
    assert found
    return found


def _maps() -> list[State]:
    found = states("Map")
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
    if state in _starting():
        return float(state.body["TimeoutSeconds"])
    polled = [error for retrier in state.retriers for error in set(retrier["ErrorEquals"]) & set(POLLED_SECONDS)]
    if "MemberNotReadyError" in polled:
        return POLLED_SECONDS["MemberNotReadyError"]
    own = LONGEST_SECONDS.get(state.function.folder, state.body["TimeoutSeconds"])
    return float(own) + float(state.body.get("HeartbeatSeconds", 0))


def _longest(one: Machine) -> float:
    """The longest that a machine may last. What a run waits for before its last machine, ends by its deadline.

    A roll lasts as long as it has members; this is what one of them takes.
    """
    if one.logical_id != MAINTENANCE_RUN:
        return sum(map(_lasts, one.states))
    last_machine = max(state.body["TimeoutSeconds"] for state in one.states if state in _starting())
    steps = [state for state in one.states if state.type == "Task" and state.invokes and not state.waits_for_token]
    return float(LONGEST_RUN_SECONDS + last_machine + sum(map(_lasts, steps)))


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a state, and where it stands; what stands in the states of a Map's items is theirs."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            if key != "ItemProcessor":
                yield from _texts(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, path)


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


def test_every_task_invokes_a_function_or_starts_an_execution_that_it_waits_for() -> None:
    assert {state.name for state in states("Task")} == {state.name for state in [*_tasks(), *_starting()]}
    for state in _starting():
        assert state.body["Resource"].endswith(":states:startExecution.sync:2"), state.name


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
        assert one.definition["TimeoutSeconds"] > _longest(one), one.logical_id


@pytest.mark.parametrize(
    ("key", "seconds", "policy"),
    [
        ("ask_for_approval", LONGEST_SECONDS["ask_for_approval"], lambda most: {"approval": {"seconds": most}}),
        ("deadline", LONGEST_RUN_SECONDS, lambda most: {"deadlineMinutes": most // 60}),
    ],
)
def test_no_policy_lets_a_run_last_longer_than_its_states_wait(key: str, seconds: int, policy: Any) -> None:
    assert effective_policy("{}", "", policy(seconds))[1] == []
    assert effective_policy("{}", "", policy(seconds + 60))[1] != [], key


def test_states_of_one_function_wait_and_retry_alike() -> None:
    for function in functions():
        ways = {
            str([state.body.get(key) for key in ("Resource", "TimeoutSeconds", "HeartbeatSeconds", "Retry")])
            for state in _tasks()
            if state.function == function
        }
        assert len(ways) <= 1, function.folder


def test_every_task_and_map_catches_everything_unless_what_happens_then_is_known() -> None:
    wrong = {
        state.name
        for state in [*states("Task"), *_maps()]
        if not state.catchers or state.catchers[-1]["ErrorEquals"] != ["States.ALL"]
    }
    assert wrong == set(UNCAUGHT)
    for state in states("Task"):
        if state.name in UNCAUGHT:
            assert not state.catchers, state.name
            is_last = reached(flow(state.flow), following(flow(state.flow), Node(state.name, False)))
            names = {node.state for node in is_last} or {state.name}
            assert any(is_good_end(flow(state.flow).states[name]) for name in names), state.name


def test_all_variables_are_assigned_in_the_first_state_however_it_ends() -> None:
    for one in flows():
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


NO_FAILURES = {"MemberDrainingError"}
"""What a catcher takes to go another way; everything else that is caught is a failure."""


def _catching_failures(state: State) -> list[Mapping[str, Any]]:
    return [catcher for catcher in state.catchers if not NO_FAILURES & set(catcher["ErrorEquals"])]


def test_a_catch_remembers_the_error_and_its_cause() -> None:
    error = {"Error": "ImageFailedError", "Cause": "no"}
    for state in [*states("Task"), *_maps()]:
        for catcher in _catching_failures(state):
            value = _value(
                catcher["Assign"][flow(state.flow).failure],
                **{flow(state.flow).failure: None},
                states={"errorOutput": error, "input": {}},
            )
            assert value == {"error": "ImageFailedError", "cause": "no"}, state.name


def test_an_error_without_a_cause_is_remembered_and_told_without_one() -> None:
    error = {"Error": "States.HeartbeatTimeout"}
    for state in [*states("Task"), *_maps()]:
        for catcher in _catching_failures(state):
            value = _value(
                catcher["Assign"][flow(state.flow).failure],
                **{flow(state.flow).failure: None},
                states={"errorOutput": error, "input": {}},
            )
            assert value["error"] == "States.HeartbeatTimeout", state.name
            assert not value.get("cause"), state.name
    for fail in states("Fail"):
        assert _ends_with(fail, {"error": "States.Timeout"}) == ("States.Timeout", "")


def _ends_with(fail: State, failure: dict[str, str]) -> tuple[str, str]:
    """Error and cause of a Fail state, after the failure that its flow remembers, or that its summary took over."""
    known = {"failure": failure, "summary": {"failure": readable_failure(failure)}}
    return _value(fail.body["Error"], **known), _value(fail.body["Cause"], **known)


def test_nothing_overwrites_the_first_failure() -> None:
    first = {"error": "HookFailedError", "cause": "the first"}
    later = {"errorOutput": {"Error": "ImageFailedError", "Cause": "no"}, "result": {"Payload": {"failure": None}}}
    seen = 0
    for one in flows():
        # Where a run has failed, it goes straight to its summary: no state before that may meet another failure.
        starts = {node for targets in failures(one).values() for node in targets}
        after_a_failure = {node.state for node in reached(one, starts)}
        for state in one.states.values():
            if state == one.first or (one.name not in OF_ONE_MACHINE and state.name not in after_a_failure):
                continue
            if one.name == MEMBERS:
                # What failed is what becomes of the member: its return makes data of it, and what fails then is worse.
                continue
            for catcher in state.catchers:
                if one.failure in catcher.get("Assign", {}):
                    seen += 1
                    value = _value(catcher["Assign"][one.failure], **{one.failure: first}, states=later)
                    assert value == first, state.name
            own = state.body.get("Assign", {}).get(one.failure)
            given = state.body.get("Arguments", {}).get("Payload", {}).get("data", {}).get("failure")
            if own and given != f"{{% ${one.failure} %}}":
                assert _value(own, **{one.failure: first}, states=later) == first, state.name
    assert seen


def test_a_run_goes_straight_from_a_failure_to_its_summary() -> None:
    run = flow(MAINTENANCE_RUN)
    found = failures(run)
    assert found.pop("Summarise Run") == {Node("Did It Succeed?", True)}
    assert {node for targets in found.values() for node in targets} == {Node("Summarise Run", True)}
    assert run.states["Summarise Run"].body["Arguments"]["Payload"]["data"]["failure"] == "{% $failure %}"


@pytest.mark.parametrize("error", sorted({*OWN, "States.Timeout", "ABORTED"}))
def test_the_summary_of_a_run_takes_its_failure_over(error: str) -> None:
    outcomes: list[Any] = [{"outcome": "not_attempted"}]
    failure: Failure = {"error": error, "cause": ""}
    assert outcome_of_run(outcomes, a_run(), failure) not in SUCCESSES
    assert outcome_of_run([], a_run(), failure) not in SUCCESSES or error in (
        "MachinesFailedError",
        "RunIncompleteError",
        "RunLateError",
    )


def test_a_machine_fails_with_the_first_error_and_cause() -> None:
    first = {"error": "HookFailedError", "cause": "the first"}
    assert {state.flow for state in states("Fail")} == {one.logical_id for one in machines()}
    for state in states("Fail"):
        assert _ends_with(state, first) == ("HookFailedError", "the first")


def is_good_end(state: State) -> bool:
    """Whether an execution that ends with a state has succeeded: with its last task, or a Succeed state."""
    return state.type == "Succeed" or bool(state.body.get("End"))


def _ends(one: Flow, nodes: set[Node]) -> set[str]:
    """How paths from nodes end: good or Fail."""
    ends = [one.states[node.state] for node in reached(one, nodes)]
    return {"good" if is_good_end(state) else "Fail" for state in ends if is_good_end(state) or state.type == "Fail"}


def test_every_failure_path_ends_in_fail() -> None:
    for one in machines():
        found = failures(one.flow)
        assert {state.name for state in one.flow.states.values() if state.type in ("Task", "Map")} <= set(found)
        for name, starts in found.items():
            assert _ends(one.flow, starts) == {"Fail"}, f"after {name} fails"


def test_a_machine_without_a_failure_succeeds() -> None:
    for one in flows():
        ends = {
            node.state
            for node in reached(one, [Node(one.first.name, False)])
            if not node.failed and (is_good_end(one.states[node.state]) or one.states[node.state].type == "Fail")
        }
        assert all(is_good_end(one.states[end]) for end in ends) and ends


def test_what_becomes_of_a_machine_of_a_run_is_recorded_and_fails_nothing() -> None:
    items = flow(ITEMS)
    assert {state.type for state in items.states.values()} == {"Task", "Choice", "Succeed"}
    started = {state.name for state in _starting() if state.flow == ITEMS}
    caught = failures(items)
    assert set(caught) == {items.first.name, "Record Outcome"} | started
    assert {node.state for node in caught["Record Outcome"]} == {"Stop Run"}
    for name in {items.first.name} | started:
        after = caught[name] | (following(items, Node(name, False)) if name in started else set())
        assert reached(items, after, without=["Record Outcome"]) == set(), f"after {name}"
    recording = items.states["Record Outcome"].body["Arguments"]["Payload"]["data"]
    assert recording["failure"] == f"{{% ${items.failure} %}}"
    assert _ends(items, {Node(items.first.name, False)}) == {"good"}


def test_what_becomes_of_a_member_of_a_roll_is_recorded_and_fails_nothing() -> None:
    items = flow(MEMBERS)
    assert {state.type for state in items.states.values()} == {"Task", "Choice", "Succeed"}
    caught = failures(items)
    assert {state.name for state in items.states.values() if state.type == "Task"} - set(caught) == {"Record Member"}
    for name, starts in caught.items():
        assert reached(items, starts, without=["Record Member"]) <= {
            Node(state, failed)
            for state in ("Return Member", "Is It To Come Back?", "Await In Service")
            for failed in (True, False)
        }, f"after {name}"
    recording = items.states["Record Member"].body["Arguments"]["Payload"]["data"]
    assert recording["failure"] == f"{{% ${items.failure} %}}"
    assert _ends(items, {Node(items.first.name, False)}) == {"good"}


def test_a_member_that_may_have_left_service_is_returned_however_its_patching_ends() -> None:
    items = flow(MEMBERS)
    assert {node.state for node in following(items, Node("Patch Member", False))} == {"Return Member"}


def test_a_group_is_restored_and_released_however_its_roll_ends() -> None:
    roll = flow(ROLL_GROUP)
    for name, starts in failures(roll).items():
        if name in {roll.first.name, *ENDED_BY_GIVE_BACK[ROLL_GROUP]}:
            continue
        # What cannot remove a surge instance leaves the group to give_back, with its lease.
        after = {node.state for node in reached(roll, starts, without=["Remove Surge", "Restore Group"])}
        assert {"Release Group", "Fail", "Succeed"}.isdisjoint(after), f"after {name}"
    assert roll.states["Remove Surge"].body["Next"] == "Restore Group"
    around = reached(roll, [Node(roll.first.name, False)], without=["Restore Group"])
    assert "Release Group" not in {node.state for node in around if not node.failed}
    around = reached(roll, [Node(roll.first.name, False)], without=["Release Group"])
    assert "Succeed" not in {node.state for node in around}


def test_a_refused_group_is_not_touched() -> None:
    roll = flow(ROLL_GROUP)
    after = reached(roll, failures(roll)[roll.first.name])
    tasks = [roll.states[node.state] for node in after if node.failed and roll.states[node.state].type == "Task"]
    assert {state.function.folder for state in tasks} == {"release_group"}


def test_a_map_of_machines_tolerates_all_failures_and_begins_nothing_twice() -> None:
    for state in _maps():
        body = state.body
        assert body["ToleratedFailurePercentage"] == 100, state.name
        assert "ToleratedFailureCount" not in body, state.name
        assert state.retriers == [], state.name
        assert body["Label"], state.name
        assert body["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
        assert "ItemBatcher" not in body, state.name


def test_a_map_of_machines_always_works_on_one_at_least_and_never_on_all() -> None:
    """Step Functions takes a MaxConcurrency of 0 for no limit."""
    assert {state.name: state.body["MaxConcurrency"] for state in _maps()} == {
        "Carry Out Wave": "{% $plan.maxConcurrency %}",
        "Roll Members": "{% $group.batch %}",
    }
    assert effective_policy("{}", "", {"batch": 1})[1] == []
    assert effective_policy("{}", "", {"batch": 0})[1] != []
    computed = [
        value
        for node in ast.walk(parse(LAYER / "drydock" / "run" / "planning.py"))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "maxConcurrency"
    ]
    assert computed
    for value in computed:
        assert isinstance(value, ast.Call) and ast.unparse(value.func) == "slots_of"
        assert ast.unparse(value.args[2]) == "1"


def test_what_the_items_of_a_map_return_is_small_however_many_they_are() -> None:
    for one in flows():
        if one.is_of_items:
            for state in one.states.values():
                # The others give on what they were given.
                if state.type == "Task":
                    assert all(body["Output"] == {} for body in [state.body, *state.catchers]), state.name
                else:
                    assert "Output" not in state.body, state.name


def test_every_execution_that_a_state_starts_has_the_name_that_admission_gave_it() -> None:
    for state in _starting():
        assert state.body["Arguments"]["Name"] == "{% $admission.childName %}", state.name
        admission = flow(state.flow).first
        assert admission.function.folder == {ITEMS: "admit_machine", MEMBERS: "take_turn"}[state.flow]
        assert admission.body["Assign"]["admission"] == "{% $states.result.Payload %}"
        path = reached(flow(state.flow), [Node(admission.name, False)], without=["What Was Admitted?", "Was It Taken?"])
        assert state.name not in {node.state for node in path}, "it is started without admission"


def test_a_state_waits_longer_for_an_execution_than_that_may_last() -> None:
    for state in _starting():
        placeholder = state.body["Arguments"]["StateMachineArn"]
        (started,) = [one for one in machines() if placeholder == f"${{{one.logical_id}Arn}}"]
        assert state.body["TimeoutSeconds"] > started.definition["TimeoutSeconds"], state.name


def test_no_task_token_gets_into_the_data_of_states() -> None:
    """The context object holds it: functions are given the whole of it, data only parts without it."""
    for state in states():
        for path, text in _texts(state.body):
            if path == "Arguments.Payload.context":
                assert text == "{% $states.context %}", state.name
            elif path != "Resource":
                assert not re.search(r"states\.context(?!\.(Execution|Map|State)\.)", text), f"{state.name}: {path}"
                assert not re.search(r"token|https?:|url", text, re.IGNORECASE), f"{state.name}: {path}"
        assigned = str(state.body.get("Assign", {}))
        assert not re.search(r"context(?!\.Execution\.(Id|RedriveCount)\b)", assigned), state.name


RELEASES = ["Release Instance", "Release Instance After Failure"]


@pytest.mark.parametrize("of", OF_ONE_MACHINE)
def test_a_failure_passes_the_release_unless_give_back_ends_the_work(of: str) -> None:
    patch = flow(of)
    for name, expected in ENDED_BY_GIVE_BACK.items():
        ending = {state for state, starts in failures(flow(name)).items() if Node("Fail", True) in starts}
        assert ending == expected, name
    for name, starts in failures(patch).items():
        if name in RELEASES:
            continue
        around = reached(patch, starts, without=RELEASES)
        before = {node.state for node in around if Node("Fail", True) in following(patch, node)}
        assert before <= ENDED_BY_GIVE_BACK[of], f"after {name} fails"


@pytest.mark.parametrize("of", OF_ONE_MACHINE)
def test_only_the_release_is_a_good_end_and_only_without_a_failure(of: str) -> None:
    patch = flow(of)
    assert [name for name, state in patch.states.items() if is_good_end(state)] == ["Release Instance"]
    ways = {node for name, starts in failures(patch).items() if name != "Release Instance" for node in starts}
    assert not any(node.state == "Release Instance" for node in reached(patch, ways) if node.failed)


@pytest.mark.parametrize("of", OF_ONE_MACHINE)
def test_a_refused_machine_is_not_touched(of: str) -> None:
    patch = flow(of)
    after = reached(patch, failures(patch)[patch.first.name])
    assert {patch.states[node.state].function.folder for node in after if patch.states[node.state].type == "Task"} == {
        "release_instance"
    }


@pytest.mark.parametrize("of", OF_ONE_MACHINE)
def test_after_a_failure_the_power_waits_until_commands_are_settled(of: str) -> None:
    patch = flow(of)
    senders = {state.name for state in _tasks() if state.function.folder in SENDS_COMMANDS and state.flow == of}
    assert senders
    for name in senders:
        assert [catcher["Next"] for catcher in patch.states[name].catchers] == ["Settle Commands"], name


AGAIN: dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]] = {
    ("What Comes Before Patching?", "Probe Instance At First"): ({"looks": True, "scan": None}, {"scan": {"ended": 1}}),
    ("What Comes Before Patching?", "Wait Before Leaving"): (
        {
            "patchedAt": "2026-01-13T01:00:00.000Z",
            "leave": {"owner": 1},
            "hasLeft": False,
            "policy": {"document": "AWS-RunPatchBaseline"},
        },
        {"patchedAt": None},
    ),
    ("What Comes Before Patching?", "Enter Standby"): ({"leave": {"owner": 1}, "hasLeft": False}, {"hasLeft": True}),
    ("What Comes Before Patching?", "Run Hook Before Anything"): ({"hooks": {}}, {"hooks": {"beforeAnything": "ran"}}),
    ("What Comes Before Patching?", "Back Up Before"): ({"isBackedUp": False}, {"isBackedUp": True}),
    ("What Comes Before Patching?", "Take Image Before"): (
        {
            "isBackedUp": False,
            "policy": {"operation": "Install", "backup": {"before": {"take": True, "wait": "begun"}}},
        },
        {"isBackedUp": True},
    ),
    ("What Is To Be Done?", "Run Hook Before Anything"): ({"hooks": {}}, {"hooks": {"beforeAnything": "failed"}}),
    ("What Is To Be Done?", "Scan Patches Before"): ({"scan": None}, {"scan": {"ended": 1}}),
    ("What Is To Be Done?", "Run Hook Before Install"): ({"hooks": {}}, {"hooks": {"preInstall": "failed"}}),
    ("What Is To Be Done?", "Finish Install Before"): (
        {"owesReboot": True, "owedReboot": None},
        {"owedReboot": {"succeeded": False}},
    ),
    ("What Is To Be Done?", "Probe Instance Before Install"): (
        {
            "policy": {"reboot": "Later"},
            "owedReboot": {"succeeded": True},
            "probeBeforeInstall": None,
            "hooks": {},
            "hasLeft": False,
        },
        {"probeBeforeInstall": {"bootId": "2"}},
    ),
    ("What Follows Patching?", "Run Hook After Install"): ({"hooks": {}}, {"hooks": {"postInstall": "failed"}}),
    ("What Follows Patching?", "Probe Instance After Install"): (
        {"probeAfterInstall": None},
        {"probeAfterInstall": {"reboot": "needed"}},
    ),
    ("What Follows Patching?", "Finish Install"): (
        {"probeAfterInstall": {"reboot": "unknown"}, "isRebootAsked": False},
        {"isRebootAsked": True},
    ),
    ("What Follows Patching?", "Run Hook On Exit"): ({"hooks": {}}, {"hooks": {"onExit": "failed"}}),
    ("What Follows Patching?", "Probe Instance After"): (
        {"isProbedAfter": False, "failure": {"error": "HookFailedError", "cause": ""}},
        {"isProbedAfter": True},
    ),
    ("What Is Left To Do?", "Check Health"): ({"health": None}, {"health": {"succeeded": True}}),
    ("What Is Left To Do?", "Restore Power"): (
        {"machine": {"power": "stopped"}, "isPowerRestored": False},
        {"isPowerRestored": True},
    ),
    ("What Follows Patching?", "Probe Instance Before Image"): ({"isImagedAfter": False}, {"isImagedAfter": True}),
    ("What Is To Be Done?", "Await Standby"): ({"leave": {"owner": 1}, "hasLeft": False}, {"hasLeft": True}),
}
"""What a question that is come back to knows before it leads to a state, and what else after that state."""

ASSIGNED_LATER = {
    "Enter Standby": "Await Standby",
    "Probe Instance Before Image": "Take Image With Reboot",
}
"""The states after which that is known only once the next has passed, and the next."""


def test_nothing_goes_round_for_ever() -> None:
    patch = flow(PATCH_INSTANCE)
    assert on_loops(patch, without={state for _, state in AGAIN}) == set()
    hooks = dict.fromkeys(("beforeAnything", "preInstall", "postInstall", "onExit"), "ADocument")
    backup = {"before": {"take": True, "reboot": True}, "after": {"take": True, "reboot": True}}
    policy = {"operation": "Install", "reboot": "WhenNeeded", "hooks": hooks, "backup": backup, "healthProbe": "AProbe"}
    usual: dict[str, Any] = {"policy": policy, "machine": {"power": "running"}, "failure": None, "installs": [{}]}
    usual |= {"probeBefore": {"bootId": "1"}}
    for (question, name), (before, after) in AGAIN.items():
        [condition] = [one["Condition"] for one in patch.states[question].body["Choices"] if one["Next"] == name]
        assert _value(condition, **{**usual, **before}) is True, (question, name)
        assert _value(condition, **{**usual, **before, **after}) is False, (question, name)
        for variable in after:
            if variable != "scan":
                assigning = patch.states[ASSIGNED_LATER.get(name, name)]
                assert variable in assigning.body["Assign"], (name, variable)


def test_a_run_goes_on_to_another_wave_or_ends() -> None:
    run = flow(MAINTENANCE_RUN)
    assert on_loops(run, without=["Carry Out Wave", "Soak"]) == set()
    assert run.states["Check Gates"].body["Assign"]["nextWave"] == "{% $states.result.Payload.nextWave %}"
    assert _value(run.states["Carry Out Wave"].body["Assign"]["wave"], nextWave=2) == 2
    leaving, *_ = run.states["Is Another Wave Left?"].body["Choices"]
    assert leaving["Next"] == "Summarise Run"
    for wave in (1, 2, 3):
        assert _value(leaving["Condition"], wave=wave, waves=[{}, {}]) is (wave >= 2)


def test_a_run_soaks_in_slices_and_looks_at_the_gates_between_them() -> None:
    run = flow(MAINTENANCE_RUN)
    soaking, going, *_ = run.states["Is the Gate Open?"].body["Choices"]
    assert (soaking["Next"], going["Next"], run.states["Soak"].body["Next"]) == (
        "Soak",
        "Carry Out Wave",
        "Check Gates",
    )
    assert [
        _value(soaking["Condition"], isOpen=is_open, soakLeft=left)
        for is_open, left in ((True, 1), (True, 0), (False, 1))
    ] == [
        True,
        False,
        False,
    ]
    seconds = run.states["Soak"].body["Seconds"]
    assert [_value(seconds, soakLeft=left) for left in (60, 86_400)] == [60, 600]


def test_every_function_is_a_step_or_it_is_known_who_else_invokes_it() -> None:
    steps = {state.function.folder for state in _tasks()}
    assert {function.folder for function in functions()} - steps == set(NO_STEPS)
    assert steps.isdisjoint(NO_STEPS)


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
        used = {state.function.logical_id for state in one.states if state in _tasks()}
        started = {state.body["Arguments"]["StateMachineArn"][2:-1] for state in one.states if state in _starting()}
        assert one.properties["DefinitionSubstitutions"] == {
            "Partition": {"Ref": "AWS::Partition"},
            **{name: {"Fn::GetAtt": [name, "Arn"]} for name in used},
            **{name: {"Ref": name.removesuffix("Arn")} for name in started},
        }
        invoked = [
            resource["Fn::GetAtt"]
            for policy in one.properties["Policies"]
            for statement in choices(document(policy)["Statement"])
            if statement["Action"] == "lambda:InvokeFunction"
            for resource in statement["Resource"]
        ]
        assert sorted(invoked) == sorted([name, "Arn"] for name in used)


NAMED = {
    MAINTENANCE_RUN: set[str](),
    ITEMS: {"subject"},
    PATCH_INSTANCE: {"instanceId"},
    RESTORE_INSTANCE: {"instanceId"},
    ROLL_GROUP: {"groupName"},
    MEMBERS: {"instanceId", "groupName"},
}
"""What the payloads of a flow name: nothing, an instance, a group, a member of a group, or what may be either."""


def test_every_step_is_told_which_execution_asks_and_what_it_is_about() -> None:
    for state in _tasks():
        payload = state.body["Arguments"]["Payload"]
        assert payload["context"] == "{% $states.context %}", state.name
        # A member that leaves service is of a group, too.
        group = {"groupName"} if state.function.folder in ("enter_standby", "await_standby") else set()
        assert payload.keys() & {"instanceId", "groupName", "subject"} == NAMED[state.flow] | group, state.name
        if flow(state.flow).is_of_items:
            # Such an execution has a name of its own: only by its data does it know its run.
            whole = {"runId": "1"}
            known = {"run": whole, "roll": whole, "states": {"input": {"run": whole, "roll": whole}}}
            assert _value(payload["data"]["runId"], **known) == "1", state.name
        elif state.flow in (PATCH_INSTANCE, RESTORE_INSTANCE) and state != flow(state.flow).first:
            assert {"policy", "machine"} <= set(payload), state.name


def test_a_function_that_waits_may_answer_tokens_and_is_waited_for() -> None:
    waited_for = {state.function.folder for state in _waiting()}
    assert waited_for == set(LONGEST_SECONDS) - {"replace_root_volume", "wait_until_reachable"}
    assert waited_for.isdisjoint(state.function.folder for state in _tasks() if not state.waits_for_token)
