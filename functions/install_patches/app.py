"""Install Patches: one installation by policy."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.patching import install_patches
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> None:
    install_patches(Services(), read_step(event))
