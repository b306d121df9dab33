"""The steps that begin long work on an instance and wait for its end."""

from __future__ import annotations

from datetime import datetime, timedelta

from drydock.images import begin_image
from drydock.policy import deadline_seconds
from drydock.power import begin_start, begin_stop
from drydock.services import Services
from drydock.settling import SETTLE_LIMIT, begin_settling
from drydock.step import Step
from drydock.waiting import wait_for


def _after(begun: datetime, step: Step, deadline: str) -> datetime:
    return begun + timedelta(seconds=deadline_seconds(step.policy, deadline))


def back_up(services: Services, step: Step) -> None:
    """Make the image of `data.moment` (`Before` or `After`) and wait until it is available."""
    image_id, facts = begin_image(services, step, str(step.data["moment"]))
    asked_at = datetime.fromisoformat(str(facts["askedAt"]))
    wait_for(services, step, "image", image_id, _after(asked_at, step, "imageSeconds"), facts)


def start_instance(services: Services, step: Step) -> None:
    """Start the instance and wait until it runs."""
    facts = begin_start(services, step)
    called_at = datetime.fromisoformat(str(facts["calledAt"]))
    wait_for(services, step, "start", "", _after(called_at, step, "startSeconds"), facts)


def restore_power(services: Services, step: Step) -> None:
    """Stop the instance that was stopped when it came, and wait until it is stopped."""
    begun = begin_stop(services, step)
    wait_for(services, step, "stop", "", _after(begun, step, "stopSeconds"), {})


def settle_commands(services: Services, step: Step) -> None:
    """Wait until no command of Drydock is at work on the instance; what has not begun is cancelled."""
    begun = begin_settling(services, step)
    wait_for(services, step, "settled", "", begun + SETTLE_LIMIT, {})
