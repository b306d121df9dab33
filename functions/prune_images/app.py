"""Let images go that nobody needs any more: daily, if the policy says so; or when a person asks."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged, logger
from drydock.pruning.pruning import prune_images


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    done = prune_images(Services(), event)
    logger.info("pass over", judged=len(done["judged"]), after=done["after"])
    return done
