"""Approve by day, patch by night: the newest plan for a window, and whether it may be carried out when that opens.

Only the newest plan counts, so one that was rejected, or is open, stands in the way of all older ones.
"""

from __future__ import annotations

from datetime import timedelta

from drydock.approval.approvals import APPROVED, REJECTED, Ways, approval_of, approvers_of, count_approvals
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import PlanChangedError, RunNotFoundError
from drydock.plan.ahead import NotCarriedOutError, require_same_policy
from drydock.plan.making import Earlier
from drydock.plan.plans import Plan
from drydock.plan.run_request import RunRequest
from drydock.plan.stored_plans import read_plan
from drydock.records.runs import Run, find_run
from drydock.records.window_plans import find_window_plan
from drydock.request.policy import account_policy, effective_policy, tighten
from drydock.times import find_zone


def find_approved_ahead(services: Services, request: RunRequest, settings: str, run: Run) -> Earlier:
    """The newest plan for the window, if it was approved and holds by the settings and approvers of now.

    Raises NotCarriedOutError, which says why people are asked anew.
    """
    made_by = find_window_plan(services.table, request.window_id, request.policy["operation"])
    made = find_run(services.table, made_by) if made_by else None
    if made is None or made.plan is None or not made.is_ended:
        raise NotCarriedOutError(say("ahead.none"))
    if made.outcome != "planned":
        raise NotCarriedOutError(say("ahead.not_made", run=made_by))
    if made.carried_out_by not in ("", run.run_id):
        raise NotCarriedOutError(say("ahead.carried_out", run=made_by, by=made.carried_out_by))
    if services.now() >= min(made.expires, made.started + timedelta(days=request.policy["approval"]["ahead"])):
        raise NotCarriedOutError(say("ahead.expired", run=made_by))
    try:
        plan = read_plan(services, made)
    except (PlanChangedError, RunNotFoundError) as error:
        raise NotCarriedOutError(say("ahead.changed", run=made_by)) from error
    if request.follows != plan["follows"]:
        raise NotCarriedOutError(say("ahead.follows", run=made_by))
    _require_approval(services, request, made, plan, settings)
    given = {**plan.get("given", {}), "operation": plan["operation"]}
    require_same_policy(plan, effective_policy(settings, services.environment.policy_parameter, given)[0])
    return Earlier(made, plan, frozenset(), is_canary_proved=False)


def _require_approval(services: Services, request: RunRequest, made: Run, plan: Plan, settings: str) -> None:
    approval = approval_of(made)
    if approval is not None and approval.decision == REJECTED:
        by = [one.name for one in approval.decisions if one.decision == REJECTED]
        raise NotCarriedOutError(say("ahead.rejected", run=made.run_id, by=by))
    if approval is None or approval.decision != APPROVED:
        raise NotCarriedOutError(say("ahead.open", run=made.run_id))
    needed = tighten(plan["policy"], account_policy(settings))["approval"]["minApprovals"]
    counted = count_approvals(made, approvers_of(services), Ways.read().auth, request.started_by)
    if counted < needed:
        raise NotCarriedOutError(say("ahead.approvers", run=made.run_id, counted=counted, needed=needed))


def who_approved(made: Run, zone: str) -> str:
    """Who approved the plan that is carried out, and when: a sentence for the plan's notes."""
    approval = approval_of(made)
    by = [one.name for one in approval.decisions if one.decision == APPROVED] if approval else []
    at = approval.decided if approval and approval.decided else made.started
    return say("ahead.approved", run=made.run_id, by=by, moment=at.astimezone(find_zone(zone)))
