"""Approval: people are asked before a run touches anything, and what they decide counts once.

The state of it stands in the run's item, and every change of it is one conditional write on the revision that was
read: a decision, a newer token and the end of the time can never overtake each other unseen. A decision is stored
first and wakes the run then; should the waking be lost, the next entry into the state finds the decision.

A link's key is made of the run and its plan, always the same one (telling/links.py). So the mail of a function that
died before it could note that it had sent it goes out again with the same link.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

from drydock.approval.approvers import may_approve, person_of, read_approvers
from drydock.approval.messages import approval_message, refused_decision_message
from drydock.aws.services import Services
from drydock.aws.ssm import ParameterVersion
from drydock.aws.table import ConditionFailedError, Item
from drydock.catalogue.saying import say
from drydock.errors import (
    ApprovalRejectedError,
    ApprovalTimedOutError,
    DrydockError,
    RunOverError,
    RunStoppedError,
    ServiceUnavailableError,
)
from drydock.log import logger
from drydock.plan.stored_plans import read_plan
from drydock.records.approved_plans import remember_approved_plan
from drydock.records.runs import AWAITING_APPROVAL, PLANNING, Run, read_run, require_run, update_run
from drydock.request.step import Step
from drydock.telling.commands import drydock
from drydock.telling.links import hash_of_key, link_to, make_key
from drydock.telling.tell_once import tell_once
from drydock.telling.text import location_of
from drydock.times import for_people, from_text, to_text

APPROVED, REJECTED, NOT_ANSWERED = "approved", "rejected", "not_answered"

MOST_NAME, MOST_REASON = 100, 500

_MOST_WRITERS = 8
_LINE = re.compile(r"\s*(approve|reject)\s+([0-9a-f]{64})(?:\s+(\S.*))?\s*", re.DOTALL)
VERDICTS: Mapping[str, Literal["approved", "rejected"]] = {"approve": "approved", "reject": "rejected"}


@dataclass(frozen=True)
class Ways:
    """How people can answer in this stack."""

    auth: Literal["IAM", "LINK"]
    topic: str
    url: str
    """The function URL of decide_run; empty when there is none."""
    key: str
    """The KMS key that makes links' keys; empty with IAM."""

    @classmethod
    def read(cls) -> Ways:
        """Only the function that asks is told more than how approvers are known.

        Raises KeyError when the template forgot that.
        """
        return cls(
            auth="LINK" if os.environ["APPROVAL_AUTH"] == "LINK" else "IAM",
            topic=os.environ.get("APPROVALS_TOPIC", ""),
            url=os.environ.get("APPROVAL_URL", ""),
            key=os.environ.get("APPROVAL_KEY", ""),
        )


class DecisionItem(TypedDict):
    """A decision as the run's item and its report hold it."""

    by: str
    name: str
    decision: str
    reason: str
    at: str
    via: str


@dataclass(frozen=True)
class Decision:
    """What one person said."""

    by: str
    """The ARN; with a link, the name that was typed in."""
    name: str
    decision: Literal["approved", "rejected"]
    reason: str
    at: datetime
    via: Literal["url", "parameter", "link"]

    @property
    def person(self) -> str:
        """The same for the same person. A name that was typed in is never taken for an ARN."""
        return f"name:{' '.join(self.by.casefold().split())}" if self.via == "link" else person_of(self.by)

    def to_item(self) -> DecisionItem:
        """As `DecisionItem`; the time as text in UTC."""
        return {
            "by": self.by,
            "name": self.name,
            "decision": self.decision,
            "reason": self.reason,
            "at": to_text(self.at),
            "via": self.via,
        }


@dataclass(frozen=True)
class Approval:
    """Who was asked about which plan, until when, and what they said."""

    token: str
    sequence: str
    asked: datetime
    until: datetime
    hash: str
    link_hash: str
    decisions: tuple[Decision, ...]
    decision: str
    """Empty while it is open."""
    decided: datetime | None
    is_mailed: bool
    revision: int
    """Grows with every change."""

    def is_open(self, now: datetime) -> bool:
        """Whether people may still decide: nothing is decided yet, and `until` has not come."""
        return not self.decision and now < self.until

    def to_item(self) -> Item:
        """The run's attribute `approval`, as `approval_of` reads it; `decidedAt` is empty while it is open."""
        return {
            "token": self.token,
            "sequence": self.sequence,
            "askedAt": to_text(self.asked),
            "until": to_text(self.until),
            "hash": self.hash,
            "linkHash": self.link_hash,
            "decisions": [one.to_item() for one in self.decisions],
            "decision": self.decision,
            "decidedAt": to_text(self.decided) if self.decided else "",
            "mailed": self.is_mailed,
            "revision": self.revision,
        }


class DecisionRefusedError(Exception):
    """Raised when a decision does not count; nothing was stored. `status` is the one of HTTP that says so.

    `reason` says why; the text of the error also says what can be done instead, if anything can.
    """

    def __init__(self, status: int, reason: str, instead: str = "") -> None:
        super().__init__(f"{reason} {instead}".strip())
        self.status = status
        self.reason = reason


def approval_of(run: Run) -> Approval | None:
    """The approval of a run; None while nobody was asked."""
    found = run.approval
    if not found:
        return None
    return Approval(
        token=found["token"],
        sequence=found["sequence"],
        asked=from_text(found["askedAt"]),
        until=from_text(found["until"]),
        hash=found["hash"],
        link_hash=found["linkHash"],
        decisions=tuple(
            Decision(one["by"], one["name"], one["decision"], one["reason"], from_text(one["at"]), one["via"])
            for one in found["decisions"]
        ),
        decision=found["decision"],
        decided=from_text(found["decidedAt"]) if found["decidedAt"] else None,
        is_mailed=found["mailed"],
        revision=found["revision"],
    )


def count_approvals(run: Run, approvers: Sequence[str], auth: Literal["IAM", "LINK"], started_by: str) -> int:
    """By how many people the plan of this run stands approved, by the approvers of now and others than who starts it.

    None while it is open or rejected. A name that was typed in counts only where links are sent.
    """
    approval = approval_of(run)
    if approval is None or approval.decision != APPROVED or approval.hash != run.require_plan().hash:
        return 0
    starter = person_of(started_by) if started_by else ""
    approving = {
        one.person
        for one in approval.decisions
        if one.decision == APPROVED and ((auth == "LINK") if one.via == "link" else may_approve(one.by, approvers))
    }
    return len(approving - {starter})


def open_approval(run: Run, now: datetime) -> Approval | None:
    """What people may decide about a run now; None where nothing is asked, or no more."""
    if run.carried_out_by or run.plan is None or run.closed is not None:
        return None
    approval = approval_of(run)
    if approval is None and run.outcome == "planned" and run.plan.is_approval_needed:
        approval = _approval_of_plan_only(run)
    if approval is None or not approval.is_open(now) or (approval.token and run.is_ended):
        return None
    return approval


def waits_for(run: Run, approval: Approval, arn: str, approvers: Sequence[str]) -> bool:
    """Whether an open approval waits for this principal: an approver who neither started the run nor has decided."""
    asked = may_approve(arn, approvers) and person_of(arn) not in {one.person for one in approval.decisions}
    return asked and not (run.started_by and person_of(run.started_by) == person_of(arn))


def decisions_parameter(stack: str, run_id: str) -> str:
    """The parameter in which people write what they decide, with nothing but the AWS CLI."""
    return f"/{stack}/decisions/{run_id}"


def approvers_parameter(stack: str) -> str:
    """The parameter, a setting of the stack, that names who may approve: ARNs in a JSON list or between commas."""
    return f"/{stack}/approvers"


def approvals_needed(run: Run) -> int:
    """How many different people have to approve the run's plan. Raises RunNotFoundError when it has none."""
    return int(run.require_plan().policy["approval"]["minApprovals"])


def ask_for_approval(services: Services, ways: Ways, step: Step) -> None:
    """Ask the approvers, once, and answer the token as soon as they have decided or their time is over.

    About a plan for a window that opens later they are only asked: the token is answered then.
    Entering again brings the newer token and looks again; it neither asks again nor gives more time.
    Raises RunOverError, RunStoppedError, PlanChangedError.
    """
    run = require_run(services.table, step.holder.name)
    if run.closed is not None and run.holder == step.holder:
        raise RunStoppedError(run.closed["reason"])
    run, _ = _change(services, run, lambda run, approval: _enter(services, ways, step, run, approval))
    approval = approval_of(run)
    if approval is not None and not approval.is_mailed and approval.is_open(services.now()):
        _mail(services, ways, run, approval)
        run, _ = _change(services, run, lambda _, approval: replace(approval, is_mailed=True) if approval else None)
    look_for_decisions(services, ways, run)
    if run.is_ahead:
        services.executions.answer(step.token, {"decision": ""})


def _enter(services: Services, ways: Ways, step: Step, run: Run, approval: Approval | None) -> Approval | None:
    if run.holder != step.holder or run.phase not in (PLANNING, AWAITING_APPROVAL):
        raise RunOverError(say("run.not_own", run=run.run_id))
    if approval is not None and run.is_ahead:
        return None
    if approval is not None:
        is_newer = step.sequence >= approval.sequence and step.token != approval.token
        return replace(approval, token=step.token, sequence=step.sequence) if is_newer else None
    now = services.now()
    if run.is_ahead:
        return replace(_approval_of_plan_only(run), link_hash=_hash_of_link(ways, run))
    until = now + timedelta(seconds=int(run.require_plan().policy["approval"]["seconds"]))
    if run.last_admission is not None and now < run.last_admission < until:
        # After that no machine may begin: nobody shall approve what can no longer be done.
        until = run.last_admission
    return Approval(
        token=step.token,
        sequence=step.sequence,
        asked=now,
        until=until,
        hash=run.require_plan().hash,
        link_hash=_hash_of_link(ways, run),
        decisions=(),
        decision="",
        decided=None,
        is_mailed=False,
        revision=0,
    )


def _change(
    services: Services, run: Run, change: Callable[[Run, Approval | None], Approval | None]
) -> tuple[Run, bool]:
    """Write the approval that `change` makes of the one that stands, and make it anew when another was quicker.

    None leaves it as it is. Returns the run as it is then, and whether it was changed.
    """
    for _ in range(_MOST_WRITERS):
        before = approval_of(run)
        after = change(run, before)
        if after is None:
            return run, False
        facts: dict[str, Any] = {
            "approval": replace(after, revision=before.revision + 1 if before else 1).to_item(),
            "phase": AWAITING_APPROVAL if run.phase == PLANNING else run.phase,
        }
        unchanged = "approval.revision = :revision" if before else "attribute_not_exists(approval)"
        unchanged += " AND attribute_not_exists(carriedOutBy)"
        values = {":before": run.phase, **({":revision": before.revision} if before else {})}
        try:
            return update_run(services.table, run, facts, f"{unchanged} AND phase = :before", values), True
        except ConditionFailedError as refused:
            if refused.found is None:
                raise RunOverError(say("run.gone", run=run.run_id)) from refused
            run = read_run(refused.found)
    raise ServiceUnavailableError(say("approval.too_many", run=run.run_id))


def _hash_of_link(ways: Ways, run: Run) -> str:
    return hash_of_key(_link_key(ways, run)) if ways.auth == "LINK" else ""


def _link_key(ways: Ways, run: Run) -> str:
    about = ("drydock approval", run.holder.execution, to_text(run.started), run.require_plan().hash)
    return make_key(ways.key, *about)


def _mail(services: Services, ways: Ways, run: Run, approval: Approval) -> None:
    environment = services.environment
    holder = run.holder
    link = link_to(ways.url, "/", run.run_id, _link_key(ways, run)) if ways.auth == "LINK" else ""
    message = approval_message(
        plan=read_plan(services, run),
        run=run,
        hash=approval.hash,
        until=approval.until,
        needed=approvals_needed(run),
        approvers=approvers_of(services),
        setting=approvers_parameter(environment.stack),
        parameter=decisions_parameter(environment.stack, run.run_id),
        link=link,
        location=location_of(holder, environment, run.time_zone),
    )
    attributes = {"outcome": "approval_needed", "kind": "approval", "run": run.run_id}
    tell_once(services, holder, "approval", message, attributes, ways.topic)


def take_decision(services: Services, run: Run, shown_hash: str, decision: Decision) -> tuple[Run, bool]:
    """Store what a person decided about the plan with this hash. The run as it is then, and whether that was news.

    Raises DecisionRefusedError.
    """
    return _change(services, run, lambda run, approval: _count(services, run, approval, shown_hash, decision))


def _count(
    services: Services, run: Run, approval: Approval | None, shown_hash: str, decision: Decision
) -> Approval | None:
    approval = approval or _require_plan_only(run)
    if not approval.token and run.is_ended:
        _require_plan_only(run)
    if run.carried_out_by:
        location = location_of(run.holder, services.environment)
        raise DecisionRefusedError(
            409,
            say("approval.carried_out", run=run.run_id, by=run.carried_out_by),
            say("approval.stop_it", command=drydock(location, "stop", run.carried_out_by).text),
        )
    if decision.decision == REJECTED and shown_hash == approval.hash and can_be_withdrawn(run, approval, decision.at):
        return replace(approval, decisions=(*approval.decisions, decision), decision=REJECTED, decided=decision.at)
    if approval.decision in (APPROVED, REJECTED):
        by = [one.name for one in approval.decisions if one.decision == approval.decision]
        raise DecisionRefusedError(409, say(f"decided.already.{approval.decision}", run=run.run_id, by=by))
    if approval.decision or decision.at >= approval.until:
        until = _for_people(services, run, approval.until)
        raise DecisionRefusedError(410, say("decided.too_late", run=run.run_id, until=until))
    if approval.token and (run.is_ended or run.closed is not None):
        raise DecisionRefusedError(410, say("decided.run_stopped", run=run.run_id))
    if shown_hash != approval.hash:
        raise DecisionRefusedError(409, say("decided.other_plan", run=run.run_id))
    if any(one.person == decision.person and one.decision == decision.decision for one in approval.decisions):
        return None
    decisions = (*approval.decisions, decision)
    people = {one.person for one in decisions if one.decision == APPROVED}
    verdict = ""
    if decision.decision == REJECTED:
        verdict = REJECTED
    elif len(people) >= approvals_needed(run):
        verdict = APPROVED
    return replace(approval, decisions=decisions, decision=verdict, decided=decision.at if verdict else None)


def can_be_withdrawn(run: Run, approval: Approval, at: datetime) -> bool:
    """Whether a plan that is approved, and waits for its window or for somebody to carry it out, may still be rejected.

    A run that waited for the approval itself has begun by then: it is stopped.
    """
    is_waiting = not approval.token and not run.carried_out_by and at < run.expires
    return is_waiting and approval.decision == APPROVED


def _require_plan_only(run: Run) -> Approval:
    """Raises DecisionRefusedError unless the run has ended with nothing but a plan."""
    if run.is_ended and run.outcome != "planned":
        raise DecisionRefusedError(410, say("decided.run_ended", run=run.run_id))
    if not run.is_ended:
        raise DecisionRefusedError(409, say("decided.not_asked", run=run.run_id))
    return _approval_of_plan_only(run)


def _approval_of_plan_only(run: Run) -> Approval:
    """A plan that was only made waits for nobody, but can be approved for as long as it may be carried out.

    One for a window has to be approved when that opens: then it is looked whether it is.
    """
    opens = str(run.require_plan().window.get("start") or "") if run.is_ahead else ""
    return Approval(
        token="",
        sequence="",
        asked=run.started,
        until=min(run.expires, from_text(opens)) if opens else run.expires,
        hash=run.require_plan().hash,
        link_hash="",
        decisions=(),
        decision="",
        decided=None,
        is_mailed=False,
        revision=0,
    )


def _for_people(services: Services, run: Run, moment: datetime) -> str:
    return for_people(moment, run.time_zone or services.environment.time_zone)


def approvers_of(services: Services) -> list[str]:
    """The ARNs of who may approve in this stack, read now; none while nobody has made the setting."""
    return read_approvers(services.ssm.parameter(approvers_parameter(services.environment.stack)))


def require_approver(services: Services, approvers: Sequence[str], run: Run, arn: str, decision: str) -> None:
    """Raises DecisionRefusedError unless this principal may decide so about this run."""
    setting = approvers_parameter(services.environment.stack)
    if not approvers:
        raise DecisionRefusedError(403, say("approver.none", setting=setting))
    if not may_approve(arn, approvers):
        who = arn or say("approver.unknown")
        raise DecisionRefusedError(403, say("approver.not_named", who=who, setting=setting))
    if decision == APPROVED and run.started_by and person_of(run.started_by) == person_of(arn):
        raise DecisionRefusedError(403, say("approver.started", who=run.started_by, run=run.run_id))


def look_for_decisions(services: Services, ways: Ways, run: Run) -> Run:
    """Count what people have written, end what is over, and wake the run when it is decided."""
    run = _take_written_decisions(services, ways, run)
    approval = approval_of(run)
    if approval is None or not approval.decision:
        run = _end_in_time(services, run)
    settle_approval(services, run)
    return run


def _take_written_decisions(services: Services, ways: Ways, run: Run) -> Run:
    """Count what people wrote in the run's parameter. Systems Manager says who wrote each value, and when.

    Writing it always succeeds, so people are told of what does not count.
    """
    history = services.ssm.parameter_history(decisions_parameter(services.environment.stack, run.run_id))
    approvers = approvers_of(services) if history else []
    for version in history:
        found = _LINE.fullmatch(version.value)
        try:
            if found is None:
                raise DecisionRefusedError(400, say("decided.written"))
            verdict = VERDICTS[found[1]]
            reason = clean_text(found[3] or "", MOST_REASON)
            decision = Decision(version.by, name_of(version.by), verdict, reason, version.at, "parameter")
            if _stands(run, decision):
                continue
            require_approver(services, approvers, run, version.by, verdict)
            run, is_new = take_decision(services, run, found[2], decision)
        except DecisionRefusedError as refused:
            logger.warning("decision refused", by=version.by, reason=str(refused))
            _tell_refused(services, ways, run, version, refused)
            continue
        if is_new:
            logger.info("decided", by=version.by, decision=verdict)
    return run


def _stands(run: Run, decision: Decision) -> bool:
    approval = approval_of(run)
    return approval is not None and any(
        one.person == decision.person and one.decision == decision.decision for one in approval.decisions
    )


def _tell_refused(
    services: Services, ways: Ways, run: Run, version: ParameterVersion, refused: DecisionRefusedError
) -> None:
    location = location_of(run.holder, services.environment, run.time_zone)
    approval = approval_of(run)
    message = refused_decision_message(
        run_id=run.run_id,
        by=name_of(version.by),
        at=version.at,
        reason=refused.reason,
        carried_out_by=run.carried_out_by,
        is_open=approval is not None and approval.is_open(services.now()),
        location=location,
    )
    attributes = {"outcome": "decision_refused", "kind": "approval", "run": run.run_id}
    cause = f"decision {to_text(version.at)} {version.by}"
    tell_once(services, run.holder, cause, message, attributes, ways.topic)


def _end_in_time(services: Services, run: Run) -> Run:
    """Close an approval whose time is over, so that what comes now is late for everybody."""
    now = services.now()

    def close(run: Run, approval: Approval | None) -> Approval | None:
        if approval is None or approval.is_open(now) or approval.decision:
            return None
        return replace(approval, decision=NOT_ANSWERED, decided=now)

    return _change(services, run, close)[0]


def end_late_approval(services: Services, run: Run) -> bool:
    """Do not let a run wait for its next entry when somebody has just found that the time is over."""
    return settle_approval(services, _end_in_time(services, run))


def settle_approval(services: Services, run: Run) -> bool:
    """Wake the run that waits for a decision, if there is one. Waking it twice is harmless.

    False when it was approved and did not wait for this answer: it may look again, or be over.
    """
    approval = approval_of(run)
    if approval is None or not approval.decision:
        return True
    if approval.decision == APPROVED and approval.decided is not None:
        remember_approved_plan(services.table, run, approval.decided)
    is_awake = True
    if approval.token and run.phase == AWAITING_APPROVAL:
        is_awake = _answer(services, run, approval)
    try:
        services.ssm.delete_parameter(decisions_parameter(services.environment.stack, run.run_id))
    except DrydockError as error:
        # It is read no more: an untidy parameter must not fail a run.
        logger.warning("decisions not deleted", reason=str(error))
    return is_awake


def _answer(services: Services, run: Run, approval: Approval) -> bool:
    counted = [one for one in approval.decisions if one.decision == approval.decision]
    by = [one.name for one in counted]
    reason = "; ".join(one.reason for one in counted if one.reason)
    if approval.decision == APPROVED:
        return services.executions.answer(approval.token, {"decision": APPROVED, "by": ", ".join(by), "reason": reason})
    if approval.decision == REJECTED:
        said = say("plan.rejected.why", by=by, reason=reason) if reason else say("plan.rejected", by=by)
        services.executions.refuse(approval.token, ApprovalRejectedError(said))
    else:
        services.executions.refuse(approval.token, ApprovalTimedOutError(_why_not_answered(services, run, approval)))
    return True


def _why_not_answered(services: Services, run: Run, approval: Approval) -> str:
    needed, have = approvals_needed(run), len({one.person for one in approval.decisions})
    until = _for_people(services, run, approval.until)
    if not approval.link_hash and not approvers_of(services):
        setting = approvers_parameter(services.environment.stack)
        return say("plan.unanswered.nobody", have=have, needed=needed, until=until, setting=setting)
    return say("plan.unanswered", have=have, needed=needed, until=until)


def name_of(arn: str) -> str:
    """What people call a principal: the last part of its ARN."""
    return arn.rpartition("/")[2]


def clean_text(text: str, most: int) -> str:
    """A text that people typed in, on one line and not too long."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:most]
