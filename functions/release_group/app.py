"""Release Group: the result, and the end of the lease."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.group.rolling import release_group
from drydock.log import logged
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return release_group(Services(), read_step(event))
