"""Approval: what people are asked, and told of what they said."""

SENTENCES = {
    "approval.subject": "Drydock: answer until {until:time}: {wanted} {machines:# machine|# machines}, {whose}",
    "page.about": "About this run",
    "page.label.window": "Carried out",
    "page.window": "when window {name} opens, {opens}",
    "page.label.expires": "Expires",
    "page.asked_again": "people are asked again when the window opens",
    "approval.carried_out": "Too late: run {by} carries out the plan of run {run}. Stop it with: drydock stop {by}",
    # Approve by day, patch by night. Why a window asks anew begins "people are asked now:".
    "ahead.approved": "carries out the plan of run {run}, approved by {by:list} at {moment:time}",
    "ahead.dropped": "{count:# machine|# machines} of the approved plan cannot be touched now: {names:some}",
    "ahead.waiting": (
        "{count:# machine is|# machines are} not in the approved plan, and wait for the next: {names:some}"
    ),
    "ahead.lost": "{id}: is gone, or not among the window's targets as planned",
    "ahead.asked": "people are asked now: {why}",
    "ahead.none": "no plan was made for this window",
    "ahead.not_made": "run {run} did not finish the newest plan for this window",
    "ahead.carried_out": "run {by} has carried out the newest plan for this window, of run {run}",
    "ahead.expired": "the newest plan for this window, of run {run}, has expired",
    "ahead.changed": "the newest plan for this window, of run {run}, is not in the bucket as it was made",
    "ahead.follows": "the newest plan for this window, of run {run}, follows another run than this one",
    "ahead.open": "the newest plan for this window, of run {run}, was not approved before it opened",
    "ahead.rejected": "the newest plan for this window, of run {run}, was rejected by {by:list}",
    "ahead.approvers": (
        "of the newest plan for this window, of run {run}, {counted:# approval counts|# approvals count} by the "
        "approvers of now, and {needed:# is|# are} needed"
    ),
    "ahead.settings": "the settings are others than when run {run} planned for this window: {keys:list}",
    "ahead.snapshot": (
        "the plan of run {run} follows {follows}, whose patch snapshot would be older than three days before the last "
        "machine is done"
    ),
    "ahead.canary": "nothing is left of the canary in the plan of run {run}",
    "ahead.needs": "the plan of run {run} needs what is not there: {needs}",
    "ahead.taken": "another run carries out the plan of run {run}",
    "ahead.opens_late": (
        "window {name} opens at {opens:time}, after this plan expires at {expires:time}: plan again then"
    ),
    "ahead.first": (
        "Drydock wants to {wanted} {machines:# machine|# machines} when window {window} opens, {opens:time}."
    ),
    "ahead.until": "An answer counts until {until:time}; without one, people are asked again when the window opens.",
    "ahead.expires": "The plan expires {expires:time}. New machines wait for the next one.",
    "link.over": "This link is over",
    "link.report_over": (
        "It led to the report for {days:# day|# days}. Who has access to the account gets it with drydock report {run}."
    ),
}
