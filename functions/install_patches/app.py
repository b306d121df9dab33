"""Install Patches: one installation by policy."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.patching import install_patches
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    install_patches(Services(), read_step(event))
