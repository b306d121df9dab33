"""Finish Install: after a post-install hook, the reboot that is still needed."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.patching import finish_install
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    finish_install(Services(), read_step(event))
