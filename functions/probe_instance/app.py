"""Probe Instance Before, Probe Instance After: boot id, agent version, pending reboot."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.patching import probe_instance
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> None:
    probe_instance(Services(), read_step(event))
