"""What happens when AWS reports that something happened to an image, a command or an instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drydock.executions import invoke_later
from drydock.leases import RESTORING, instance_key, read_lease
from drydock.services import Services
from drydock.waiting import settle_wait
from drydock.waits import Wait, find_waits_for, read_wait, wait_key


def resume_waiting(services: Services, event: Mapping[str, Any]) -> dict[str, Any]:
    """Look again at what is waited for. The event is only a hint: it may be late, doubled or out of order."""
    detail = event["detail"]
    if "ImageId" in detail:
        waits = find_waits_for(services.table, detail["ImageId"])
    else:
        waits = _waits_of_instance(services, detail["instance-id"])
    for wait in waits:
        settle_wait(services, wait, doubt=True)
    return {"waits": len(waits)}


def _waits_of_instance(services: Services, instance_id: str) -> list[Wait]:
    """The instance's wait. A machine that is being given back gets another pass instead."""
    items = {item["sk"]: item for item in services.table.query(f"INSTANCE#{instance_id}", "LEASE")}
    lease = items.get(instance_key(instance_id)["sk"])
    if lease is not None and read_lease(lease).phase == RESTORING:
        invoke_later(services.environment.function("give_back"), {"instanceId": instance_id})
        return []
    wait = items.get(wait_key(instance_id)["sk"])
    return [read_wait(wait)] if wait is not None else []
