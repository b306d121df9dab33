"""Plans: what would be done, and what is different this time. Lines of a mail, a page and the command line."""

SENTENCES = {
    # What the lines are about.
    "plan.label.what": "What",
    "plan.label.reboots": "Reboots",
    "plan.label.images": "Images",
    "plan.label.hooks": "Hooks",
    "plan.label.probe": "Health probe",
    "plan.label.at_once": "At once",
    "plan.label.may_fail": "May fail",
    "plan.label.canary": "Canary",
    "plan.label.gates": "Gates",
    "plan.label.missing": "Missing",
    "plan.label.worst": "Missing most",
    "plan.label.before": "Last time",
    "plan.label.different": "Different now",
    "plan.line": "{heading}: {said}",
    # What the plan says of its machines, wave by wave.
    "plan.wave": "Wave {number:number} of {of:number}: {count:# machine|# machines}",
    "plan.wave.canary": "Wave {number:number} of {of:number}, the canary: {count:# machine|# machines}",
    "plan.roll": "group {group}, {count:# member|# members} in one roll",
    "plan.estimate": "{minutes:number} min, {basis}",
    "plan.guessed": "{end}: a guess for {count:# machine|# machines} without history",
    "heading.guesses": "What the guesses are made of",
    "plan.fits_not": "not expected to fit",
    "plan.fits_not.some": "{count:number} of them not expected to fit",
    "plan.never_begun": "Never begun: {sentence}",
    "plan.done_by": "Predicted end: {end}",
    "plan.done_by.waiting": "Predicted end, if it is approved at once: {end}",
    "plan.has_to_end": "Has to end by {end:time}",
    "plan.late": "{count:# machine|# machines} not expected to fit: not touched unless others are quicker",
    "plan.hash": "Plan {hash}",
    "rows.more_in_plan": "and {count:number} more in the plan",
    "rows.more_planned": "And {count:number} more in the plan, {where}",
    # What is done to a machine.
    "plan.what.patches": "{operation} with {document}",
    "plan.what.agents": "UpdateAgents: {agents:list}",
    "plan.reboots.RebootIfNeeded": "where a patch needs one",
    "plan.reboots.WhenNeeded": "where the machine itself says that it needs one",
    "plan.reboots.Later": "put off, where the machine says that it needs one: the next run makes it first",
    "plan.reboots.NoReboot": "none: what needs one stays pending",
    "plan.images.none": "none",
    "plan.images.before": "before patching, without a reboot",
    "plan.images.before.reboot": "before patching, with a reboot",
    "plan.images.after": "after patching, without a reboot",
    "plan.images.after.reboot": "after patching, with a reboot",
    "plan.images.begun": (
        "patching does not wait until the one before is complete: should it fail later, there is no backup"
    ),
    "plan.images.not_of_members": "none of members of groups",
    "plan.hooks.none": "none",
    "plan.probe.none": "none",
    "plan.document": "{name}, version {version}",
    # How the run goes about its machines.
    "plan.at_once": "{count:# machine or group|# machines or groups}",
    "plan.share": "{said} ({share})",
    "plan.may_fail": "{count:# machine|# machines}; one more, and no other begins",
    "plan.may_fail.none": "none: after the first failure no other begins",
    "plan.canary": "{count:# machine|# machines} first, the others once it is proved",
    "plan.canary.soak": "{count:# machine|# machines} first, the others {minutes:span} after it is proved",
    "plan.canary.none": "none",
    "plan.gates.none": "none",
    "plan.gates.alarms": "alarms {names:list}",
    "plan.gates.calendars": "calendars {names:list}",
    "plan.missing": "{count:# patch|# patches} on {machines:# machine|# machines}, by the last scan of each",
    "plan.missing.nothing": "nothing on {machines:# machine|# machines}, by the last scan of each",
    "plan.missing.unknown": "not known of {machines:# machine|# machines}",
    "plan.missing.worst": "{name} ({count:number})",
    "plan.member.missing": "{machine}: {count:number} missing",
    "plan.missing.of_machine": "{count:# patch|# patches} missing on {moment:day}",
    # What a plan needs, and what somebody should know of it.
    "needs.document.gone": "document {name}: version {version}, which the plan names, is not there any more",
    "needs.document.changed": "document {name}: version {version} has another content than the plan's",
    "needs.document.newer": "document {name}: its default version is {newer} now; this run sends {version}, as planned",
    "needs.nothing_left": (
        "no machine of the targets can be worked on: {count:# is|# are} left out until somebody mends why"
    ),
    "targets.near_miss": "{machine} has the tag {tags:list}",
    "targets.near_misses": (
        "nearly targets, and left out, because tags are compared letter for letter: {machines:some}"
    ),
    # What would make all of it fit.
    "plan.advice.batch": "All would be expected to fit with {count:# member|# members} of a group at once (batch)",
    "plan.advice.concurrency": "All would be expected to fit with {count} at once (maxConcurrency)",
    "plan.advice.time": "All would be expected to fit with {minutes:span} more",
    # What is different from the plan that was approved last for the same targets.
    "plan.before": "run {run}, approved {moment:time}",
    "plan.before.none": "no plan for these targets was approved before",
    "plan.same": "nothing but times, power and estimates",
    "plan.different.targets": "the targets",
    "plan.different.policy": "{name}: {now}, was {before}",
    "plan.different.nothing": "nothing",
    "plan.different.more": "{count:# machine|# machines} more: {names:some}",
    "plan.different.less": "{count:# machine|# machines} fewer: {names:some}",
    "plan.different.canary": "the canary: {names:some}",
    "plan.different.document": "{name}: version {now}, was {before}",
    "plan.different.content": "{name}: another content under version {now}",
    # Why nothing is planned, or a machine is not.
    "plan.too_many": "input: the targets are {count:# machine|# machines}; a run takes {most:number} at most",
    "plan.too_many_waves": (
        "policy.waveSize: {size} makes {waves:number} waves of {machines:# machine|# machines}, more than the "
        "{most:number} that are possible: raise waveSize, or use fewer values of the tag {tag}"
    ),
    "plan.no_canary_tag": "policy.canary.tag: no planned machine has the tag {tag}",
    "plan.expired": "{run}: its plan could be carried out until {until:time} UTC: plan anew",
    "plan.snapshot_too_old": (
        "{run}: the patch snapshot of its plan would be older than three days before the last machine is done: plan "
        "anew"
    ),
    "plan.changed": "{run}: the stored plan is not the one that was made: its hash differs",
    "machine.worked_on": "{machine}: {execution} works on it",
    "plan.unmanaged": (
        "{machine}: is running, and Systems Manager does not reach it: check the SSM Agent, the instance profile "
        "(AmazonSSMManagedInstanceCore) and the route to Systems Manager"
    ),
    "plan.stopped_member": (
        "{machine}: is a stopped member of Auto Scaling group {group}; the group's roll patches those in service"
    ),
    "targets.hybrid": (
        "{machine}: is a hybrid node, not an EC2 instance: it cannot be imaged, started or stopped from here"
    ),
    # Warnings.
    "system.ended.count": "{ended}: {count:number} of the machines",
    "plan.snapshot_over": (
        "the patch snapshot of run {run} is older than three days: this run begins anew, with patches as they are "
        "approved now"
    ),
    "plan.snapshot_over.resumed": (
        "the patch snapshot of run {run} is older than three days: this run begins anew, with patches as they are "
        "approved now, and with a new canary"
    ),
    "plan.order_unclear": "tag {tag} is not a whole number from 0 to {last}, so these come last: {machines:some}",
    "patches.canary": "the canary",
    "patches.canary_of": "the canary of run {run}",
    "patches.followed_run": "run {run} (which this one follows)",
    "patches.unproved": (
        "{whose} has no {platform} machine of patch group {group}, so nobody has proved the patches of {machines:some}"
    ),
    "patches.unproved.no_group": (
        "{whose} has no {platform} machine without a patch group, so nobody has proved the patches of {machines:some}"
    ),
    "window.no_targets": "no targets are registered with the window",
    "window.target_left_aside": "target {target} of the window is left aside: {mistakes}",
    "window.task_patches": (
        "task {task} of the window runs {document} itself: unless it only scans, it patches the same machines without "
        "backup and without Drydock's order; remove it from the window"
    ),
    "window.tasks_many": "{count:# task|# tasks} of the window start Drydock ({tasks:list}): one is enough",
    "window.task_has_targets": (
        "task {task} of the window has targets: Systems Manager starts one run for each of its machines; register it "
        "without targets"
    ),
    # What never fits.
    "plan.of_group": "group {group}",
    "plan.too_long": (
        "{names:some}: {names:takes|take} {minutes:# minute|# minutes} ({basis}), and there are {room:number} in all, "
        "so no run of this length ever begins it. Give the window {more:# minute|# minutes} more"
    ),
    "plan.too_long.batch": (
        "{names:some}: one batch of it takes {minutes:# minute|# minutes} ({basis}), and there are {room:number} in "
        "all, so no run of this length ever begins it. Give the window {more:# minute|# minutes} more"
    ),
    "plan.too_long.savings": "{advice}, or shorten the work ({savings})",
    "plan.saves": "{change} saves about {minutes:number} min",
}
