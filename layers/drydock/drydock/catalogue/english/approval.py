"""Approval: what people are asked, and told of what they said."""

SENTENCES = {
    # The mail that asks. What it is about comes after the time, since a phone shows no more.
    "question.subject": "Drydock: answer until {until:time}: {what}, {about}",
    "question.first.now": "Act now: answer until {until:time} whether Drydock may {what}.",
    "question.first.tomorrow": "Look by day: answer until {until:time} whether Drydock may {what}.",
    "question.what.Install": "patch {count:# machine|# machines}",
    "question.what.Scan": "scan {count:# machine|# machines}",
    "question.what.UpdateAgents": "update the agents of {count:# machine|# machines}",
    "question.without": "Without an answer by then nothing is touched, and the run ends.",
    "asked.by": "Run {run}, asked for by {who}",
    "asked.window": "maintenance window {name} ({id})",
    "answer.link": "Look at the plan, and approve or reject it",
    "answer.approve": "Look at the plan, and approve it:",
    "answer.reject": "Or reject it:",
    "answer.approve.aws": "With the AWS CLI alone, approve it:",
    "answer.reject.aws": "Or reject it, with your reason:",
    "answer.many": "{needed:number} different people have to approve; one rejection is enough.",
    "answer.nobody": (
        "Nobody may approve now: write the approvers' ARNs into the setting {setting}, separated by commas. They can"
        " then answer:"
    ),
    # A decision in a parameter that does not count.
    "refused.decision": "what {by} decided about run {run} does not count",
    "refused.written": "Written at {moment:time}",
    "refused.see": "See how the run stands:",
    "refused.stop": "End the run that carries the plan out, if it should not go on; machines in work are finished:",
    "page.about": "About this run",
    "page.label.window": "Carried out",
    "page.window": "when window {name} opens, {opens}",
    "page.label.expires": "Expires",
    "page.asked_again": "people are asked again when the window opens",
    "approval.carried_out": "Too late: run {by} carries out the plan of run {run}.",
    "approval.stop_it": "Stop it with: {command}",
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
    "ahead.first.Install": (
        "Drydock wants to patch {count:# machine|# machines} when window {window} opens, {opens:time}."
    ),
    "ahead.first.Scan": (
        "Drydock wants to scan {count:# machine|# machines} when window {window} opens, {opens:time}."
    ),
    "ahead.first.UpdateAgents": (
        "Drydock wants to update the agents of {count:# machine|# machines} when window {window} opens, {opens:time}."
    ),
    "ahead.until": "An answer counts until {until:time}; without one, people are asked again when the window opens.",
    "ahead.expires": "The plan expires {expires:time}. New machines wait for the next one.",
    "link.over": "This link is over",
    "link.report_over": (
        "It led to the report for {days:# day|# days}. Who has access to the account gets it with: {command}"
    ),
    # Why an answer does not count.
    "decided.already.approved": "Run {run} was approved by {by:list} already.",
    "decided.already.rejected": "Run {run} was rejected by {by:list} already.",
    "decided.too_late": "Too late: run {run} could be approved or rejected until {until}.",
    "decided.run_stopped": "Too late: run {run} was stopped before it was decided.",
    "decided.run_ended": "Too late: run {run} has ended.",
    "decided.other_plan": "That is not the plan of run {run}: look at the plan again.",
    "decided.not_asked": "Run {run} does not wait for approval.",
    "decided.written": "It has to be: approve HASH, or: reject HASH REASON.",
    "approver.none": "Nobody may approve: {setting} names no approvers.",
    "approver.not_named": "{who} is not among the approvers in {setting}.",
    "approver.unknown": "An unknown caller",
    "approver.started": "{who} started run {run}: somebody else has to approve it.",
    "approval.too_many": "{run}: too many decide at once",
    "run.gone": "{run}: the run is gone",
    # What an answer has done.
    "decided.counts": (
        "Your approval counts. {missing:# more of different people is|# more of different people are} needed."
    ),
    "decided.counted": (
        "Your approval counted already. {missing:# more of different people is|# more of different people are} needed."
    ),
    "decided.plan": "Plan {run} is approved.",
    "decided.approved": "Run {run} is approved, and goes on.",
    "decided.approved.later": (
        "Run {run} is approved, and goes on within five minutes, unless its execution was stopped."
    ),
    "decided.rejected": "Run {run} is rejected. Nothing is touched.",
    # How a run ends that was not approved.
    "plan.rejected": "{by:list} rejected the plan, without saying why",
    "plan.rejected.why": "{by:list} rejected the plan: {reason}",
    "plan.unanswered": "{have:number} of {needed:# approval was|# approvals were} given until {until}",
    "plan.unanswered.nobody": (
        "{have:number} of {needed:# approval was|# approvals were} given until {until}; nobody may approve, since "
        "{setting} names no approvers"
    ),
    # Requests that cannot be read.
    "http.body": "The request's body cannot be read.",
    "http.too_large": "The request is too large.",
    "http.type": "The request has to be {type}.",
    "http.not_utf8": "The request is not UTF-8.",
    "http.not_json": "The request is not JSON.",
    "http.wrong_texts": "The request needs the texts runId, hash, decision, and may have a reason.",
    "http.decision": "The decision has to be approve or reject.",
    "http.odd": "The request has characters in it that cannot be kept.",
    "http.form": "The form cannot be read.",
    "http.nothing": "There is nothing here.",
    "http.only_post": "Only POST is possible here.",
    "http.no_run": "There is no such run.",
    "http.try_again": "Nothing was decided: try again in a minute.",
}
