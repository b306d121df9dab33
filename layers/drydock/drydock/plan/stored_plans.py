"""The plan of a run as it was stored, held against the hash that the run's item remembers."""

from __future__ import annotations

from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import PlanChangedError
from drydock.plan.plans import Plan, plan_hash
from drydock.records.runs import Run


def read_plan(services: Services, run: Run) -> Plan:
    """Raises PlanChangedError when it is not the one that was made, RunNotFoundError when there is none."""
    recorded = run.require_plan()
    plan: Plan = services.objects.read_json(recorded.key)
    if plan_hash(plan) != recorded.hash:
        raise PlanChangedError(say("plan.changed", run=run.run_id))
    return plan
