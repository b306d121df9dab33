"""What Drydock keeps of machines, groups and runs: what is not there, is not readable, or is another's."""

SENTENCES = {
    # Why an execution may change nothing any more.
    "held.lost": "{subject}: this execution does not hold it any more",
    "held.untouched": "{subject}: this execution does not hold it any more; nothing was touched",
    "held.lost_at_once": "{subject}: this execution lost it before it had begun",
    "held.lost_in_call": "{subject}: this execution lost it while AWS was called",
    "hold.carried_on": "{subject}: another function carries this on",
    "hold.owner_unknown": "{subject}: the execution that holds it cannot be looked at: {reason}",
    "group.overtaken": "{group}: something else was begun before {step}",
    # Items of the table.
    "item.newer": "item {item} has schema {schema}; this Drydock knows {known}: a newer one wrote it",
    "item.unreadable": "item {item} is not as Drydock writes it: {kind}: {reason}",
    "item.no_text": "{value} is no text",
    "item.no_number": "{value} is no whole number",
    "item.no_zone": "{value} is in no time zone",
    "item.no_map": "{value} is no map",
    "item.no_execution": "{value} is no execution",
    "item.not_of_lease": "its key is not a lease's",
    "item.not_of_result": "its key is not a result's",
    "item.not_of_run": "its key is not a run's",
    # Runs.
    "run.not_found": "{run}: there is no such run, or it is older than a year",
    "run.without_plan": "{run}: the run has no plan",
    "run.not_ended": "{run}: the run has not ended",
    "run.name_taken": "{run}: a run of this name has been there already: start a new one",
    "run.over_while_planned": "{run}: the run was over before its plan was written",
    "run.being_decided": "{run}: somebody decides about its plan now",
    "run.carried_out": "{run}: run {by} has carried out its plan already; use resume for what that run left",
    "run.not_to_begin": "{run}: the run is over, or nobody has approved it",
    "run.item_gone": "{run}: what Drydock wrote of the run is gone",
}
