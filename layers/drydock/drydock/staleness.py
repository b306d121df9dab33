"""When a lease is stale: its owner is over, so nobody will end it but `give_back`."""

from __future__ import annotations

from datetime import timedelta

from drydock.executions import OPEN
from drydock.leases import Lease
from drydock.services import Services

UNKNOWN_OWNER = timedelta(minutes=15)
"""An owner that Step Functions does not know may be too new to be seen; after this it counts as closed."""


def is_stale(services: Services, lease: Lease) -> bool:
    execution = services.executions.find(lease.holder.execution)
    if execution is None:
        return services.now() - lease.since > UNKNOWN_OWNER
    return execution["status"] not in OPEN
