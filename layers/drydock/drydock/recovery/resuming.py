"""What happens when AWS reports that something happened to an image, a command or an instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drydock.aws.executions import invoke_later
from drydock.aws.services import Services
from drydock.log import name_in_log
from drydock.machine.waiting import settle_wait
from drydock.records.image_watches import watches_that_await
from drydock.records.leases import ACTIVE, RESTORING, Lease, find_lease, find_leases_that_await
from drydock.subject import Instance


def resume_waiting(services: Services, event: Mapping[str, Any]) -> dict[str, Any]:
    """Look again at what is waited for. The event is only a hint: it may be late, doubled or out of order.

    A machine that is being given back gets another pass instead.
    """
    woken = []
    for instance_id in watches_that_await(services.table, image_id) if (image_id := _image_of(event["detail"])) else ():
        invoke_later(services.environment.function("follow_image"), {"instanceId": instance_id, "imageId": image_id})
        woken.append(instance_id)
    for lease in _find_leases(services, event["detail"]):
        name_in_log(lease.subject, run=lease.journal.get("runId", ""), execution=lease.holder.name)
        if lease.phase == ACTIVE and lease.wait is not None:
            settle_wait(services, lease.wait)
            woken.append(lease.instance_id)
        elif lease.phase == RESTORING:
            invoke_later(services.environment.function("give_back"), {"subject": lease.subject.key})
    return {"woken": woken}


def _image_of(detail: Mapping[str, Any]) -> str:
    return str(detail.get("ImageId", ""))


def _find_leases(services: Services, detail: Mapping[str, Any]) -> list[Lease]:
    image_id = _image_of(detail)
    if image_id:
        return find_leases_that_await(services.table, image_id)
    lease = find_lease(services.table, Instance(detail["instance-id"]))
    return [lease] if lease is not None else []
