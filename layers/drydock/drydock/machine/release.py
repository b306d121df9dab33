"""Release: the machine's tags, the images' deprecation dates, the result, and the end of the lease."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drydock.aws.ec2 import Instance, state_of, tags_of
from drydock.aws.services import Services
from drydock.aws.table import Item
from drydock.errors import (
    AwsCallFailedError,
    InstanceNotFoundError,
    LeaseLostError,
    NewerSchemaError,
    ServiceUnavailableError,
)
from drydock.machine.commands import log_key
from drydock.machine.images import deprecate_images, find_images
from drydock.machine.power import is_gone
from drydock.records import intents
from drydock.records.history import history_change
from drydock.records.holder import Holder
from drydock.records.leases import ACTIVE, ADMITTING, Lease, claim_intent, end_lease_with_result, find_lease
from drydock.records.results import find_result, make_result, put_result
from drydock.request.policy import Policy
from drydock.request.step import Step
from drydock.tags import COMPLETED, COMPLETED_TAG, IN_PROGRESS, STATE_TAG
from drydock.telling.failures import readable_failure
from drydock.times import day_in, to_text


def hook_outcomes(policy: Policy, reported: Mapping[str, str]) -> dict[str, str]:
    """`ran`, `failed` or `not_needed` for every hook that was asked for. One that never ran has failed."""
    if not policy or policy["operation"] != "Install":
        return {}
    return {hook: reported.get(hook, "failed") for hook, document in policy["hooks"].items() if document}


def release_instance(services: Services, step: Step) -> dict[str, Any]:
    """End the work on a machine, well or badly. Running twice changes nothing.

    Returns the execution's own output: outcome, verdict, images, and failure (error and readable cause, or None).
    """
    failure = readable_failure(step.data.get("failure"))
    try:
        lease = claim_intent(services.table, step.holder, step.subject, intents.RELEASE, services.now()).lease
    except LeaseLostError as lost:
        return _release_without_lease(services, step, failure or {"error": LeaseLostError.__name__, "cause": str(lost)})
    except NewerSchemaError:
        if failure is None or step.machine:
            raise
        return _write_refusal(services, step, failure)
    instance = find_instance(services, step.instance_id)
    images = find_images(services, lease)
    problems = [
        *deprecate_images(services, lease, images),
        *set_final_tags(services, lease, instance, succeeded=failure is None),
    ]
    facts = {
        **describe_work(services.environment.stack, lease, images),
        **_facts(step),
        "failure": failure,
        "problems": problems,
        "powerAfter": power_of(instance),
    }
    outcome = "failed" if failure else "succeeded"
    result = make_result(step.subject, step.holder, step.execution_started, outcome, services.now(), facts)
    history = [] if failure else [history_change(services.table, result, services.now())]
    end_lease_with_result(services.table, step.holder, step.subject, ACTIVE, result, *history)
    return _summarise(result)


def _release_without_lease(services: Services, step: Step, failure: dict[str, str]) -> dict[str, Any]:
    """The machine was refused and nothing touched, or it was released before.

    Raises LeaseLostError when give_back has taken it over: then that writes the result.
    """
    result = _find_earlier_success(services, step) or find_result(
        services.table, step.subject, step.holder, step.execution_started
    )
    if result is None:
        lease = find_lease(services.table, step.subject)
        if lease is not None and lease.holder == step.holder and lease.phase != ADMITTING:
            raise LeaseLostError(f"{step.subject.key}: is being given back already")
        return _write_refusal(services, step, failure)
    return _summarise(result)


def _write_refusal(services: Services, step: Step, failure: dict[str, str]) -> dict[str, Any]:
    facts = {
        "failure": failure,
        "runId": str(step.data.get("runId") or ""),
        "notify": str(step.data.get("notify") or ""),
    }
    result = make_result(step.subject, step.holder, step.execution_started, "refused", services.now(), facts)
    put_result(services.table, result)
    return _summarise(result)


def _find_earlier_success(services: Services, step: Step) -> Item | None:
    """The result of this execution before it was redriven, when the machine was released well then."""
    for count in range(step.holder.redrive_count):
        earlier = Holder(step.holder.execution, count)
        result = find_result(services.table, step.subject, earlier, step.execution_started)
        if result is not None and result["outcome"] == "succeeded":
            return result
    return None


def _summarise(result: Item) -> dict[str, Any]:
    """What the execution says of itself; the result item has everything."""
    return {
        "instanceId": result["instanceId"],
        "outcome": result["outcome"],
        "verdict": result.get("verdict", "not_patched"),
        "images": result.get("images", {}),
        "failure": result.get("failure"),
    }


def set_final_tags(services: Services, lease: Lease, instance: Instance | None, *, succeeded: bool) -> list[str]:
    """After success the machine says so; otherwise its state tag is what the journal says.

    A tag that somebody else has changed meanwhile is theirs. Returns what went wrong: it fails nothing.
    """
    ours = {IN_PROGRESS, lease.journal["stateTag"]} | ({COMPLETED} if intents.RELEASE in lease.intents else set())
    if instance is None or is_gone(instance) or tags_of(instance).get(STATE_TAG, "") not in ours:
        return []
    try:
        if succeeded and lease.journal["operation"] == "Install":
            day = day_in(services.now(), services.environment.time_zone)
            services.ec2.set_tags(lease.instance_id, {STATE_TAG: COMPLETED, COMPLETED_TAG: day})
        elif lease.journal["stateTag"]:
            services.ec2.set_tags(lease.instance_id, {STATE_TAG: lease.journal["stateTag"]})
        else:
            services.ec2.remove_tags(lease.instance_id, [STATE_TAG])
    except (AwsCallFailedError, ServiceUnavailableError) as error:
        return [f"the tag {STATE_TAG} could not be written: {error}"]
    return []


def find_instance(services: Services, instance_id: str) -> Instance | None:
    try:
        return services.ec2.describe_instance(instance_id)
    except InstanceNotFoundError:
        return None


def power_of(instance: Instance | None) -> str:
    return state_of(instance) if instance is not None else "gone"


def describe_work(stack: str, lease: Lease, images: Mapping[str, str]) -> dict[str, Any]:
    """What the lease itself tells of the work, also when its owner died."""
    return {
        "name": lease.journal["name"],
        "platform": lease.journal["platform"],
        "patchGroup": lease.journal["patchGroup"],
        "snapshotId": lease.journal["snapshotId"],
        "runId": lease.journal["runId"],
        "notify": lease.journal["notify"],
        "operation": lease.journal["operation"],
        "powerBefore": lease.journal["power"],
        "times": {intent.name: to_text(intent.at) for intent in lease.intents.values()},
        "images": {moment.lower(): images.get(intents.image(moment), "") for moment in ("Before", "After")},
        "commands": [
            {
                "step": intent.name,
                "commandId": intent.id,
                "document": intent.facts["document"],
                "parameters": intent.facts["parameters"],
                "sentAt": to_text(intent.at),
                "logKey": log_key(stack, lease.instance_id, lease.holder, intent.id) if intent.id else "",
            }
            for intent in sorted(lease.intents.values(), key=lambda intent: intent.at)
            if "purpose" in intent.facts
        ],
    }


def _facts(step: Step) -> dict[str, Any]:
    """What the state machine gathered on its way."""
    data = step.data
    verified = data.get("verified") or {}
    probe_before, probe_after = data.get("probeBefore") or {}, data.get("probeAfter") or {}
    installs = [install for install in data.get("installs") or [] if install]
    updates = (data.get("updates") or {}).values()
    before, after = data.get("patchesBefore") or {}, verified.get("patches") or {}
    return {
        "verdict": verified.get("verdict") or ("unknown" if data.get("isPatching") else "not_patched"),
        "rebooted": bool(verified.get("rebooted")),
        "patches": {
            "before": before,
            "after": after,
            "installed": sorted(
                set(before.get("missingPatches") or [])
                - set(after.get("missingPatches") or [])
                - set(after.get("failedPatches") or [])
            )
            if after and step.policy["operation"] == "Install"
            else [],
        },
        "agentVersions": {
            "before": probe_before.get("agentVersion", ""),
            "after": probe_after.get("agentVersion", ""),
        },
        "agents": verified.get("agents") or [],
        "hooks": hook_outcomes(step.policy, data.get("hooks") or {}),
        "outcomes": [
            {key: outcome[key] for key in ("commandId", "status", "statusDetails", "responseCode", "endedAt")}
            for outcome in (
                *installs,
                *updates,
                *(probe_before, probe_after, data.get("scan"), data.get("health"), data.get("healthAfterImage")),
            )
            if outcome and "commandId" in outcome
        ],
        "policy": step.policy,
    }
