"""When a lease is stale: its owner is over, so nobody will end it but `give_back`."""

from __future__ import annotations

from datetime import timedelta

from drydock.aws.executions import OPEN
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import AwsCallFailedError, UnreadableItemError
from drydock.records.leases import Lease

UNKNOWN_OWNER = timedelta(minutes=15)
"""An owner that Step Functions does not know may be too new to be seen; after this it counts as closed."""

RESTORE_LIMIT = timedelta(hours=6)
"""After this people are told that a machine could not be given back, and nobody waits for it; the passes go on."""

SEEN_LATE = timedelta(minutes=2)
"""An execution that cannot be found may have been started so shortly ago: Step Functions shows it later."""

TOLD_LATE = timedelta(minutes=2)
"""A result that is still untold after this has lost its event."""


def is_stale(services: Services, lease: Lease) -> bool:
    """Whether the owner of a lease is over, by what Step Functions says of its execution now.

    An execution that it does not know is taken for over once the lease is older than UNKNOWN_OWNER.
    Raises UnreadableItemError where AWS does not let Drydock look.
    """
    try:
        execution = services.executions.find(lease.holder.execution)
    except AwsCallFailedError as error:
        # Whoever holds it is no execution that Drydock may look at: none of this stack's.
        raise UnreadableItemError(say("hold.owner_unknown", subject=lease.subject.key, reason=str(error))) from error
    if execution is None:
        return services.now() - lease.since > UNKNOWN_OWNER
    return execution["status"] not in OPEN
