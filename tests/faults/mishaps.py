"""What the matrices of runs and of rolls have in common: how events go astray, and how a function breaks off."""

from __future__ import annotations

import pytest

from rehearsal.play.faults import DelayEvents, DoubleEvents, LoseEvents
from tests.proved import proved

HOWEVER_EVENTS_ARRIVE = pytest.mark.parametrize(
    "events",
    [
        pytest.param(LoseEvents(), id="lost"),
        pytest.param(DoubleEvents(again=45), id="doubled"),
        proved(DelayEvents(by=400), id="late"),
        proved(DelayEvents(by=7_200), id="very late"),
    ],
)
