"""What the matrices of runs and of rolls have in common: how events go astray, and how a function breaks off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rehearsal.engine.calls import Call
from rehearsal.play.faults import DelayEvents, DoubleEvents, EventFault, FailCall, Fault, KillFunction, LoseEvents

EVENTS: dict[str, EventFault] = {
    "lost": LoseEvents(),
    "doubled": DoubleEvents(again=45),
    "late": DelayEvents(by=400),
    "very late": DelayEvents(by=7_200),
}

MISHAPS = ("killed before", "killed after", "timed out", "throttled", "answer lost")


def changes_something(call: Call) -> bool:
    return not call.operation.startswith(("Describe", "Get", "List", "Query"))


def break_off(calls: Sequence[Call], function: str, mishap: str) -> Iterator[Fault]:
    """One fault for each changing call of a function, by the calls of a clean execution; each strikes one of its own.

    That execution's name is the fault's `run`.
    """
    own = [call for call in calls if call.caller.name == function]
    for number, call in enumerate(own, 1):
        if not changes_something(call):
            continue
        run = f"{function}-{number}-{mishap.replace(' ', '-')}"
        same = [other for other in own[:number] if (other.service, other.operation) == (call.service, call.operation)]
        if mishap in ("throttled", "answer lost"):
            yield FailCall(
                f"{call.service}:{call.operation}",
                "InternalServerError" if mishap == "answer lost" else "ThrottlingException",
                caller=function,
                occurrence=len(same),
                after_effect=mishap == "answer lost",
                run=run,
            )
        else:
            yield KillFunction(
                function, number, after_effect=mishap == "killed after", hangs=mishap == "timed out", run=run
            )
