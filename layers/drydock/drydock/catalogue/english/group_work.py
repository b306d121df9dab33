"""Why a roll through an Auto Scaling group ended, and what is noted of it."""

SENTENCES = {
    "group.busy": "{group}: {execution} has held it since {since:time} UTC",
    # Why a group is not rolled through.
    "group.too_large": (
        "{group}: {count:number} of its members are to be patched, and one roll takes {most:number}: name some of them "
        "in only"
    ),
    "group.launch_suspended": (
        "{group}: its process {process} is suspended, so no member could leave standby: resume it first"
    ),
    "group.attach_suspended": (
        "{group}: its process {process} is suspended, so no load balancer might use a member again that was in "
        "standby: resume it first"
    ),
    "group.refresh": "{group}: instance refresh {refresh} is at work: wait for it, or cancel it",
    "group.weighted": (
        "{group}: its members have weights, so its sizes do not count members: Drydock does not roll through such a "
        "group; use an instance refresh, or remove the weights"
    ),
    "group.no_member": (
        "{group}: no member is in service and healthy: mend the group, or raise its desired capacity, first"
    ),
    "group.spares_none": (
        "{group}: {wanted:# member is|# members are} wanted and {least:# has|# have} to be healthy, so {spared:number} "
        "cannot be spared: raise its desired capacity, set policy.capacity to surge, or lower policy.minHealthy"
    ),
    # Why a member does not leave service, or its roll takes no further one.
    "group.cannot_spare": (
        "{group}: without {machine} {count:# member|# members} would be in service and healthy, and "
        "{least:# has|# have} to be"
    ),
    "group.members_out": "{group}: {members:list} {members:is|are} out of service still",
    "group.place_filled": "{group}: the place of another member is being filled",
    "group.refresh_at_work": "{group}: instance refresh {refresh} is at work",
    "group.others_first": "{machine}: {members:list} {members:comes|come} first",
    "group.place_first": "{machine}: the place of another comes first",
    "estimate.as_planned": "as planned",
    "roll.budget_spent": "{count:number} of its members failed, and the policy allows {allowed:number} (maxErrors)",
    "roll.held_too_many": (
        "{members:list} {members:is|are} held in standby, and the policy takes {batch:number} out at once (batch)"
    ),
    "roll.end_unknown": "the end of {members:list} is not known",
    "roll.over": "the roll {roll} is over",
    "roll.ended_early": "the roll ended before its turn came",
    "roll.members_failed": "{group}: {members:list} failed",
    "roll.members_left": "{group}: {count:# was|# were} not attempted: {reason}",
    # What becomes of a member.
    "member.gone": "{machine}: group {group} terminates it or has given it away",
    "member.given_away": "the group has given it away",
    "member.not_in_standby": "{machine}: is {state} still, not in standby",
    "member.just_left": "{machine}: was taken out of service just now",
    "member.not_settled": "{machine}: not settled yet: {hindrance}",
    "member.lacks_service": "is {state} in group {group}",
    "member.lacks_health": "is {state} and unhealthy in group {group}",
    "member.lacks_targets": "is not healthy in {targets:list}",
    "member.still_there": "is {state} still",
    "member.refill_asked": "another instance was asked for",
    "member.end_unknown": "its end is not known",
    "member.held": "{machine} is held in standby, as the policy says",
    "member.left_in_standby": "{machine} is in standby still and was left there: it does not run",
    "group.lacks_members": "{count:number} of {wanted:# member is|# members are} in service and healthy",
    "execution.ended_before": "the execution ended before it had begun",
    "execution.never_started": "its execution was never started",
    # What people should know of a roll.
    "group.gone": "the group is gone",
    "group.mixed": (
        "the group is mixed now: {patched:# of its members is|# of its members are} patched, and {left:# was|# were} "
        "not attempted"
    ),
    "group.departed": (
        "{wanted:# instance is|# instances are} wanted now, and {before:# was|# were}: {members:list} "
        "{members:was|were} terminated while out of service"
    ),
    "group.not_restored": "{group}: {members:list} could not leave standby yet: {causes}",
    "group.launched_meanwhile": "launched meanwhile, and not patched: {members:list}",
    "group.min_not_back": (
        "min is {size:number}, not {before:number}: {wanted:# instance is|# instances are} wanted now"
    ),
    "group.min_of_others": "min is {size:number}: somebody else has set it, and Drydock left it",
    "group.max_not_back": (
        "max is {size:number}, not {before:number}: {wanted:# instance is|# instances are} wanted now"
    ),
    "group.max_of_others": "max is {size:number}: somebody else has set it, and Drydock left it",
    "roll.left_out": "left out, for they were not in service: {members:some}",
    "roll.more_problems": "and {count:# more problem, which is|# more problems, which are} not told here",
    "tag.not_written": "the tag {tag} could not be written: {reason}",
    # Surge instances: why there are none.
    "surge.impossible": "{group}: no surge instance can be launched: {reason}",
    "surge.configuration": "it uses a launch configuration, and needs a launch template",
    "surge.mixed_markets": "it has both On-Demand and Spot instances",
    "surge.warm_pool": "it has a warm pool",
    "surge.weights": "its instances have weights",
    "surge.suspended": "its process AddToLoadBalancer is suspended",
    "surge.no_zone": "{group}: it has no Availability Zone",
    "surge.not_first": "no surge instance was launched first: {reason}",
    "surge.went_without": "the roll went on with fewer members: {reason}",
    # What becomes of them.
    "surge.lacks.not_seen": "is not seen yet",
    "surge.lacks.service": "is {state}",
    "surge.lacks.health": "is {state} and unhealthy",
    "surge.lacks.targets": "is not healthy in the target groups",
    "surge.given_up": "{group}: {machine} was launched, and the group has given it up",
    "surge.does_not_serve": "{group}: {machine} was launched and does not serve: {lack}",
    "surge.stays.held": ("{machine}, a surge instance, stays: {members:list} {members:does|do} not leave standby"),
    "surge.stays.needed": (
        "{machine}, a surge instance, stays: without it {left:number} of {wanted:number} would serve"
    ),
    "surge.stays.min": "{machine}, a surge instance, stays: the group's min is {min:number} now",
    "surge.gone": (
        "{machine}, a surge instance, is gone without Drydock: desired is {wanted:number}, and it was {before:number}"
    ),
    # Why a launch template was not given the image of a member.
    "template.untouched": "the launch template was left as it is: {reason}",
    "template.configuration": (
        "the group has the launch configuration {configuration}, and only a launch template has versions"
    ),
    "template.other_templates": (
        "overrides of the group name other launch templates, and one image does not fit them all"
    ),
    "template.own_images": "overrides of the group name images, which go before that of the launch template",
    "template.others_follow": (
        "{groups:list} would launch from a new version at once ({follow}), and this group launches from {version}"
    ),
    "template.no_image": "version {version} names no image: change what it names",
    "template.other_image": "version {version} does not name an image but {named}: change what that stands for",
    "template.snapshots": "version {version} names snapshots of volumes, which a version made from it would not have",
    "template.image_gone": "the image of the member failed or is gone",
    "template.present_gone": (
        "{image}, the image of version {version}, is gone, so nothing tells what is launched from it"
    ),
    "template.architectures": "the member's image is for {architecture}, that of version {version} for {other}",
    "template.goes_back": (
        "version {version} names {image}, and the member was launched from {other}: its image would go back behind "
        "{image}"
    ),
    "template.launched_from_unknown": (
        "version {version} names {image}, and nobody knows any more from what the member was launched: its image would "
        "go back behind {image}"
    ),
    "template.roll_failed": "the roll did not succeed",
    "template.no_member": "no member was found compliant and has an image of that",
    "template.image_unfinished": "{image}: the image of {machine} is not finished yet",
    # What people should know of a version that was made.
    "template.not_generalised": (
        "the image is of a running Windows and was not generalised (Sysprep): where the member is joined to a domain, "
        "what is launched from it has the member's name and identity there"
    ),
    "template.made_meanwhile": (
        "somebody else made version {other} meanwhile: version {version} is made from {source} and has nothing of it"
    ),
    "template.wrong": "EC2 says of version {version}: {said}",
}
