"""Probe Instance Before, Probe Instance After: boot id, agent version, pending reboot."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.patching import probe_instance
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    probe_instance(Services(), read_step(event))
