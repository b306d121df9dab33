"""Input that is refused."""

SENTENCES = {
    "request.no_object": "{path}: {value} is not an object",
    "request.required": "{path}: is required",
    "request.window.execution": (
        "{path}: is required, {{{{WINDOW_EXECUTION_ID}}}} in the window's task; only a plan alone is made without it"
    ),
    "request.window.closed": "window {name} ({id}): does not open again, as far as Systems Manager knows",
    "policy.ahead.pointless": "policy.approval.ahead: nobody is asked without approval.required or approval.above",
    "policy.ahead.loosened": (
        "policy.approval.ahead: {settings} takes approvals {days:# day|# days} ahead at the most"
    ),
    "request.document.name": "the name of an SSM document",
    "request.document.version": "the number of a document's version",
    "request.document.hash": "the hash of a document's content",
    "request.document.many": "{path}: takes {most:number} documents at most, not {count:number}",
    # What is wrong with a value.
    "request.unknown_key": "{path}.{key}: unknown; known are {known:list}",
    "request.unknown_key.near": "{path}.{key}: unknown; did you mean {meant}?",
    "request.no_list": "{path}: {value} is not a list",
    "request.too_many": "{path}: {count:number} are more than the {most:number} that are possible",
    "request.no_flag": "{path}: {value} is not true or false",
    "request.no_time": "{path}: {value} is not a time such as 2026-01-13T01:00:00Z",
    "request.no_whole_number": "{path}: {value} is not a whole number from {least} to {most}",
    "request.not_one_of": "{path}: {value} is not one of {allowed:list}",
    "request.operations": "{path}: {value} is not a list of one operation: {allowed:list}",
    "request.digits": "a number of about {digits:# digit|# digits}",
    "request.more_mistakes": "{told}; and {more:number} more",
    "request.not_expected": "{path}: {value} is not {expected}",
    # What a value has to be.
    "expected.guid": "a GUID",
    "expected.instance_id": "an instance id such as i-0123456789abcdef0",
    "expected.target_id": "an instance id such as i-0123456789abcdef0 (or of a hybrid node, mi-…)",
    "expected.run_id": "a run id (1 to 80 of A-Z a-z 0-9 _ -)",
    "expected.group_name": "the name of an Auto Scaling group",
    "expected.resource_group": "the name or ARN of a resource group",
    "expected.resource_type": "a resource type such as AWS::EC2::Instance",
    "expected.tag_key": "a tag key (1 to 128 characters)",
    "expected.tag_value": "a tag value (up to 256 characters)",
    "expected.principal": "the ARN of a principal",
    "expected.window_id": "the id of a maintenance window, {{{{WINDOW_ID}}}} in its task",
    "expected.window_execution": "the id of a window's execution, {{{{WINDOW_EXECUTION_ID}}}} in its task",
    "expected.kb": "a KB number such as KB5034439",
    "expected.document_or_none": "the name of an SSM document (3 to 128 of A-Z a-z 0-9 _ - .) or ''",
    "expected.share": "a number such as 10 or a percentage such as 10%",
    "expected.share_or_zero": "0, a number such as 10 or a percentage such as 10%",
    "expected.share_zero_or_none": "'', 0, a number such as 10 or a percentage such as 10%",
    "expected.alarm": "the name or ARN of a CloudWatch alarm",
    "expected.calendar": "the name or ARN of a Change Calendar",
    "expected.canary_tag": "a tag key, or Key=Value, or ''",
    # What is missing, or does not go together.
    "request.group.required": "input.groupName: is required, the name of an Auto Scaling group",
    "request.instance.required": "input.instanceId: is required, an instance id such as i-0123456789abcdef0",
    "request.execution_name": "the execution's name",
    "request.no_source": "input: exactly one of {known:list} says which machines; this has none",
    "request.several_sources": "input: exactly one of {known:list} says which machines; this has {given:list}",
    "request.deadline.required": (
        "policy.deadlineMinutes: is required without a window: in so many minutes the last machine is given back"
    ),
    "request.two_snapshots": "input: snapshotId and follows both name a snapshot",
    "request.fixed_by_run": "input.{name}: the run named in {source} says it",
    "request.planned_already": "input.planOnly: the run named in plan has made the plan already",
    "request.policy_of_plan": "input.policy: the plan has its policy; only deadlineMinutes may be given with it",
    # Targets.
    "targets.number": "{path}: needs 1 to {most:number} targets, not {count:number}",
    "targets.types_need_group": "{path}: {types} needs {group} beside it",
    "targets.unknown_key": "{path}.key: {value} is not one of {known:list}",
    "targets.no_value": "{path}.values: needs at least one value",
    # The policy.
    "policy.not_json": "not JSON: {reason}",
    "policy.take": '{path}: {value} is written {{"take": {value}}} now',
    "policy.no_reboot": (
        "{path}: is written {backup}.before.reboot and {backup}.after.reboot now, true for with a reboot"
    ),
    "policy.no_vss": "{path}: 'vss' is not there yet; what there is: image",
    "policy.kbs": "policy.windowsUpdate: {names:some} {names:stands|stand} in includeKbs and in excludeKbs",
    "policy.no_agents": "policy.agents: is empty; UpdateAgents needs {first}, {second} or both",
    "policy.include_needs_hooks": (
        "policy.include: needs hooks.beforeAnything, to drain a node, and hooks.onExit, to let it work again"
    ),
    "policy.later_and_image": "policy.reboot: Later, and backup.after.reboot reboots at once",
    "policy.deadline.required": "policy.deadlineMinutes: is required without a window",
    # Of the account's settings, which a run may make stricter only.
    "policy.reserved_name": "Parameter Store takes no name that begins with aws or ssm: give the stack another name",
    "policy.approval.loosened": "policy.approval.required: {settings} asks for approval",
    "policy.approvals.loosened": "policy.approval.minApprovals: {settings} asks for {count:number}",
    "policy.above.loosened": ("policy.approval.above: {settings} asks for approval above {count:# machine|# machines}"),
    "policy.gates.loosened": "policy.gates.{kind}: {settings} minds {name}, too",
}
