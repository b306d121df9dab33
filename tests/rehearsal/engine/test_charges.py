"""What calls take: large answers, a function's share of a processor, and its threads, which have one together."""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from io import BytesIO
from typing import Any

import pytest

from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.engine import charges
from rehearsal.engine.calls import Call, FunctionKilled, Interception
from rehearsal.engine.charges import WHOLE_PROCESSOR, Charge, charge_of

RunMachine = Callable[..., ExecutionView]
DESCRIBED: dict[str, Any] = {"Reservations": [{"Instances": [{}] * 60}, {"Instances": [{}] * 50}]}


def reads(engine: EmbeddedAccount) -> list[Call]:
    return [call for call in engine.calls.calls if call.operation == "GetItem"]


def charge_reads(monkeypatch: pytest.MonkeyPatch, processor: float) -> None:
    """Let every reading of an item take so many seconds of a whole processor."""
    monkeypatch.setitem(charges._CHARGES, ("dynamodb", "GetItem"), Charge(service=0, processor=processor, free=-1))


@pytest.mark.parametrize(
    ("call", "parameters", "answer", "items"),
    [
        (("ec2", "DescribeInstances"), {}, DESCRIBED, 110),
        (("dynamodb", "Query"), {}, {"Items": [{}] * 70, "Count": 70}, 70),
        (("dynamodb", "BatchWriteItem"), {"RequestItems": {"one": [{}] * 25}}, {}, 25),
        (("s3", "PutObject"), {"Body": b"x" * 50_000}, {}, 50_000),
        (("s3", "PutObject"), {"Body": BytesIO(b"x" * 50_000)}, {}, 50_000),
        (("s3", "GetObject"), {}, {"ContentLength": 90_000}, 90_000),
        (("ssm", "ListCommands"), {}, {"Commands": [{}] * 50}, 50),
    ],
)
def test_a_large_answer_is_charged_by_its_items(
    call: tuple[str, str], parameters: dict[str, Any], answer: dict[str, Any], items: int
) -> None:
    charge = charges._CHARGES.get(call, charges._LISTED)

    waits, works = charge_of(*call, parameters, answer)

    assert waits == pytest.approx((items - charge.free) * charge.service)
    assert works == pytest.approx((items - charge.free) * charge.processor)
    assert waits > 0
    assert works > 0


def test_a_small_answer_is_within_what_every_call_takes() -> None:
    assert charge_of("dynamodb", "Query", {}, {"Items": [{}] * 10}) == (0, 0)
    assert charge_of("dynamodb", "GetItem", {}, {"Item": {}}) == (0, 0)
    assert charge_of("ssm", "PutParameter", {}, None) == (0, 0)
    assert charge_of("s3", "GetObject", {}, {"ContentLength": 100}) == (0, 0)


@pytest.mark.parametrize("memory", [128, WHOLE_PROCESSOR, 10_240])
def test_a_function_works_at_its_share_of_a_processor(
    run_machine: RunMachine, engine: EmbeddedAccount, monkeypatch: pytest.MonkeyPatch, memory: int
) -> None:
    engine.functions.functions["drydock-echo"].memory = memory
    left = run_machine(op="read").output["answer"]["left"]
    charge_reads(monkeypatch, 0.1)

    worked = left - run_machine(op="read").output["answer"]["left"]

    assert worked == pytest.approx(1000 * 0.1 * max(1, WHOLE_PROCESSOR / memory), abs=2)


def test_a_function_that_would_run_into_its_time_out_does(
    run_machine: RunMachine, engine: EmbeddedAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge_reads(monkeypatch, engine.functions.functions["drydock-echo"].timeout)

    assert run_machine(op="read").error == "Sandbox.Timedout"


def test_threads_wait_together_and_their_results_keep_their_order(
    run_machine: RunMachine, engine: EmbeddedAccount
) -> None:
    left = {count: run_machine(op="read_at_once", count=count).output["answer"] for count in (1, 4, 8)}

    assert left[8]["read"] == list(range(8))
    assert left[1]["left"] == left[4]["left"]
    assert left[4]["left"] - left[8]["left"] == pytest.approx(50, abs=1)
    assert {call.caller.name for call in reads(engine)} == {"echo"}


def test_threads_have_one_processor_together(run_machine: RunMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    charge_reads(monkeypatch, 0.01)

    one, four = (run_machine(op="read_at_once", count=count).output["answer"]["left"] for count in (1, 4))

    assert one - four == pytest.approx(3 * 0.01 * 1000 * WHOLE_PROCESSOR / 128, abs=2)


@pytest.mark.parametrize(
    ("raised", "error"), [(ConnectionError("lost"), "ConnectionError"), (FunctionKilled(), "Runtime.ExitError")]
)
def test_what_a_thread_ends_with_the_function_ends_with(
    run_machine: RunMachine, engine: EmbeddedAccount, raised: BaseException, error: str
) -> None:
    engine.calls.interceptors.append(
        lambda call: Interception(before=raised) if len(reads(engine)) == 3 and call.operation == "GetItem" else None
    )

    assert run_machine(op="read_at_once", count=40).error == error
    # Those that were begun already, and no more.
    assert len(reads(engine)) < 10


def test_threads_end_with_their_function(run_machine: RunMachine, engine: EmbeddedAccount) -> None:
    engine.calls.interceptors.append(lambda call: Interception(delay=3600) if call.operation == "GetItem" else None)

    assert run_machine(op="read_at_once", count=40).error == "Sandbox.Timedout"
    assert len(reads(engine)) == 4


def test_whoever_is_no_function_has_real_threads(engine: EmbeddedAccount) -> None:
    with futures.ThreadPoolExecutor(2) as pool:
        assert list(pool.map(abs, [-1, -2])) == [1, 2]
