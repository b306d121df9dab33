"""What the matrices of runs and of rolls have in common: how events go astray, and how a function breaks off."""

from __future__ import annotations

from rehearsal.play.faults import DelayEvents, DoubleEvents, EventFault, LoseEvents

EVENTS: dict[str, EventFault] = {
    "lost": LoseEvents(),
    "doubled": DoubleEvents(again=45),
    "late": DelayEvents(by=400),
    "very late": DelayEvents(by=7_200),
}
