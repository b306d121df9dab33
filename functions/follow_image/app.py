"""Follow an image that was not finished when its machine was released: write its end down, and have people told."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged, logger, name_in_log
from drydock.recovery.following import follow_image
from drydock.subject import Instance


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    name_in_log(Instance(str(event["instanceId"])))
    done = follow_image(Services(), str(event["instanceId"]), str(event["imageId"]))
    logger.info("look over", image=event["imageId"], done=done)
    return done
