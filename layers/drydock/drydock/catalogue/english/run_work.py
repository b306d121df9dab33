"""Why a run takes no further machine, needs something, or is refused; and how it goes on."""

SENTENCES = {
    # Gates.
    "run.budget_spent": "{failed:number} failed, and the policy allows {allowed:number} (maxErrors)",
    "run.last_admission_over": "no machine may begin after {moment}",
    "run.would_be_late": (
        "it is expected to take {minutes:# minute|# minutes} ({basis}), and the run has to end at {end}"
    ),
    "estimate.corrected": "{basis}, corrected by what {count:number} like it took in this run",
    "alarm.rings": "alarm {alarm} is in ALARM",
    "alarm.unknown": "there is no alarm {alarm}",
    "calendar.closed": "Change Calendar {calendars:list} is closed",
    "calendar.closed.until": "Change Calendar {calendars:list} is closed until {until}",
    "canary.failed": "{failed:number} of the {count:# machine|# machines} of the canary failed",
    "canary.unproved": "none of the {count:# machine|# machines} of the canary was done: nothing is proved",
    # What a run needs, and somebody should see to.
    "needs.targets_gone": (
        "nothing is left of the targets: {machines:some} {machines:is|are} gone or unknown to EC2; name those that are "
        "there"
    ),
    "needs.no_machine": "the targets mean no machine: check their tags, ids and groups",
    "needs.targets_stale": "{machines:some}: named as targets and gone; take them out, or name their successors",
    "needs.document.unknown": "document {name}: cannot be looked at: {reason}",
    "needs.alarm": "there is no alarm {alarm} in this account and Region",
    "needs.approvers.wrong": "{setting}: {arns:some}: not the ARN of a role or a user",
    "needs.approvers.nobody": "{setting}: names nobody, and this run has to be approved",
    "needs.approvers.few": (
        "{setting}: names {count:# person|# people}, and the policy wants {wanted:# approval|# approvals} "
        "(minApprovals)"
    ),
    "needs.subscriptions.results": "whether anybody hears of results is not known: {reason}",
    "needs.subscriptions.approvals": "whether anybody hears of plans that wait for approval is not known: {reason}",
    "needs.unheard.results": (
        "nobody hears of results: {count:# subscription|# subscriptions} of {topic} {count:is|are} not confirmed; "
        "see {count:its mail|their mails}"
    ),
    "needs.unheard.approvals": (
        "nobody hears of plans that wait for approval: {count:# subscription|# subscriptions} of {topic} "
        "{count:is|are} not confirmed; see {count:its mail|their mails}"
    ),
    "needs.window_overlaps": (
        "window {name} opens again at {opens}, before it closes at {end}: its schedule is shorter than it lasts"
    ),
    # Why a run is refused.
    "window.run_works": (
        "window {name} ({window}): its last run, {run}, still works since {since:time} UTC; nothing was begun"
    ),
    "request.run_not_ended": "input: run {run} has not ended yet",
    "request.run_not_planned": "input.plan: run {run} was not only planned; use resume for what it left",
    "request.run_left_nothing": "input.resume: run {run} left no machine over",
    "request.run_did_not_succeed": (
        "input.follows: run {run} did not succeed: it is {outcome}, {count:# machine|# machines} done"
    ),
    "request.run_was_other": "input.follows: run {run} was a {operation}, this one is {now}",
    # Runs that go on, or are over.
    "run.not_own": "{run}: the run is over, or is another execution's",
    "run.of_others": "{run}: the run is another execution's, or was redriven; nothing was touched",
    "run.wave_changed": "{run}: the machines of wave {wave} are not those of the plan",
    "run.execution_over": "the execution of the run is over",
    "run.is_over_now": "the run is over",
    "run.no_id": "{value} is not the id of a run",
    "run.ended_already": "{run} has ended already: {outcome}",
    "run.still_in_work": "{run}: {machines:some} {machines:is|are} still in work",
    "run.images_pending": "{run}: {count:# image is|# images are} pending",
    "run.unnoted": "{run}: {count:# machine that was|# machines that were} left {count:is|are} not noted yet",
    "run.counts": "{run}: {counts:list}; see {report}",
    "execution.not_started": "it was let in, but its execution could not be started",
    "execution.not_seen": "{subject}: it cannot be seen yet whether its execution was started",
    "execution.goes_on": "{subject}: its execution goes on although the run was told otherwise",
    "execution.run_over": "its run {run} is over",
    "execution.stopped": "somebody stopped its execution",
    "execution.stopped_by_somebody": "somebody stopped it",
    "execution.ended_silently": "the execution ended without a word",
    "release.at_work": "{subject}: is being released just now; its result will tell more",
    "telling.others": "{item}: another function tells it just now",
}
