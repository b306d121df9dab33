"""The steps that begin long work on an instance itself and wait for its end."""

from __future__ import annotations

from drydock.aws.services import Services
from drydock.machine.images import begin_image
from drydock.machine.power import begin_start, begin_stop
from drydock.machine.settling import SETTLE_LIMIT, begin_settling
from drydock.machine.waiting import wait_for
from drydock.request.policy import deadline_of
from drydock.request.step import Step


def back_up(services: Services, step: Step) -> None:
    """Make the image before patching and wait until it is available."""
    reboot = step.machine["power"] == "running" and step.policy["backup"]["before"]["reboot"]
    work = begin_image(services, step, "Before", reboot=reboot, until="available")
    wait_for(services, step, work, deadline_of(step.policy, "imageSeconds"))


def start_instance(services: Services, step: Step) -> None:
    """Start the instance and wait until it runs."""
    wait_for(services, step, begin_start(services, step), deadline_of(step.policy, "startSeconds"))


def restore_power(services: Services, step: Step) -> None:
    """Stop the instance that was stopped when it came, and wait until it is stopped."""
    wait_for(services, step, begin_stop(services, step), deadline_of(step.policy, "stopSeconds"))


def settle_commands(services: Services, step: Step) -> None:
    """Wait until no command of Drydock is at work on the instance; what has not begun is cancelled."""
    wait_for(services, step, begin_settling(services, step), SETTLE_LIMIT)
