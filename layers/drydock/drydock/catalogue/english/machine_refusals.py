"""Why a machine is not patched as it is."""

SENTENCES = {
    # Another's, or done already.
    "machine.busy": "{machine}: {execution} has held it since {since:time} UTC",
    "machine.busy.over": (
        "{machine}: {execution} has held it since {since:time} UTC; that execution is over and the machine is being "
        "given back: try again later"
    ),
    "machine.of_other_stack": "{machine}: stack {stack} has it in work, as its tags say",
    "machine.done": "{machine}: {execution} did the same at {moment:time} UTC",
    "run.over_already": "{subject}: run {run} is over",
    "run.not_let_in": "{subject}: run {run} has not let this execution in",
    # What its tags say.
    "machine.excluded": "{machine}: tag {tag} excludes it, and gives no reason",
    "machine.excluded.why": "{machine}: tag {tag} says: {why}",
    "machine.without_guard_tag": "{machine}: this stack changes only instances with the tag {tag} = true",
    # What it is.
    "machine.in_state": "{machine}: is {state}",
    "machine.macos": "{machine}: Drydock patches Windows and Linux, not macOS",
    "machine.instance_store": "{machine}: its root device is an instance store: no image, no stop",
    "machine.stopped_spot": "{machine}: only EC2 itself can start a stopped Spot instance",
    "machine.other_platform": "{machine}: policy.document is {document}, the instance runs {platform}",
    "machine.not_started_for_scan": "{machine}: is stopped; a Scan starts it only when policy.startForScan is true",
    "machine.stop_protected": "{machine}: is stopped and stop-protected: once started it could not be stopped again",
    "machine.hibernated": (
        "{machine}: hibernates; a stop after the next start would lose what it holds in memory: start it, let it "
        "finish its work, and stop it, or leave it running"
    ),
    "machine.unmanaged": (
        "{machine}: Systems Manager does not reach it: check the SSM Agent, the instance profile "
        "(AmazonSSMManagedInstanceCore) and the route to Systems Manager"
    ),
    "system.ended": "{system} gets no more updates since {since:day}, unless they are paid for",
    # Whose it is.
    "machine.in_group": (
        "{machine}: is a member of Auto Scaling group {group}, which would replace it; the group's roll has to patch it"
    ),
    "member.retained": (
        "{machine}: is {state} in group {group}, which serves without it: look at why its termination was abandoned, "
        "then terminate it"
    ),
    "member.in_warm_pool": (
        "{machine}: is {state} in the warm pool of group {group}, which would take it for ready: give the group a "
        "newer image, and let it fill the pool anew"
    ),
    "machine.of_service": (
        "{machine}: belongs to {service}, and AWS lets nobody else change it: that service patches or replaces it"
    ),
    "machine.of_service.unknown": "an AWS service",
    "cluster.kind.eks": "a Kubernetes cluster",
    "cluster.kind.ecs": "an ECS cluster",
    "cluster.kind.emr": "an EMR cluster",
    "cluster.kind.karpenter": "a cluster, launched by Karpenter",
    "cluster.named": "{cluster} ({name})",
    "cluster.mark.tag": "tag {key}",
    "cluster.mark.profile": "profile ecsInstanceRole",
    # One machine, or several of a group.
    "cluster.node.eks": (
        "{nodes}: belongs to {cluster}, by its {mark}; a reboot without a drain ends what runs there: give its node "
        "group a newer image, or name eks in policy.include, with a hook beforeAnything that drains it"
    ),
    "cluster.node.ecs": (
        "{nodes}: belongs to {cluster}, by its {mark}; a reboot without a drain ends what runs there: refresh its Auto "
        "Scaling group with a newer image, or name ecs in policy.include, with a hook beforeAnything that drains it"
    ),
    "cluster.node.emr": (
        "{nodes}: belongs to {cluster}, by its {mark}; a reboot without a drain ends what runs there: start the "
        "cluster anew with a newer release, or name emr in policy.include, with a hook beforeAnything that drains it"
    ),
    "cluster.node.karpenter": (
        "{nodes}: belongs to {cluster}, by its {mark}; a reboot without a drain ends what runs there: let Karpenter "
        "replace it with a newer image, or name karpenter in policy.include, with a hook beforeAnything that drains it"
    ),
}
