"""Bringing machines back to an earlier root volume."""

SENTENCES = {
    "request.image_id": "an image id such as ami-0123456789abcdef0",
    "request.volume_id": "a volume id such as vol-0123456789abcdef0",
    "input.instance_required": "input.instanceId: is required, an instance id such as i-0123456789abcdef0",
    "restore.image_and_volume": "input.volumeId: either an image or a volume, not both",
    # Why a machine is not brought back.
    "restore.keeps_state": "{id}: tag DrydockKeepState says that its root volume holds state: {said}",
    "restore.bare_metal": "{id}: is of type {type}: EC2 replaces no root volume of a bare metal instance",
    "restore.no_image": "{id}: Drydock made no image before patching it in the last year",
    "restore.done": (
        "{id}: {by} brought it back already, and nothing was made to go back to since; the root volume of before that"
        " is {volume}: name it to undo that"
    ),
    "restore.image_gone": "{id}: there is no image {image} (any more)",
    "restore.image_of_other": "{id}: image {image} is of another machine, {other}",
    "restore.image_not_available": "{id}: image {image} is {state}, not available",
    "restore.image_too_old": (
        "{id}: image {image} was made on {made:time}; policy.undo.maxAgeDays allows none so old, since what was written"
        " on the root volume meanwhile is lost"
    ),
    "restore.image_without_root": "{id}: image {image} shows no snapshot of a root volume",
    "restore.volume_of_nobody": "{id}: no undo of this machine has kept volume {volume}",
    "restore.volume_not_available": "{id}: volume {volume} is {state}, not available",
    "restore.volume_elsewhere": "{id}: volume {volume} is in another Availability Zone",
    # What came of it.
    "restore.same_boot": "{id}: shows the same boot after its root volume was replaced",
    "restore.age": "what was written on its root volume in {hours:# hour|# hours} before this is not there any more",
    "restore.data_volumes": (
        "its data volumes were not brought back, and may have moved on (a package may have upgraded its database):"
        " {volumes:some}"
    ),
    "restore.agent": "its SSM Agent is {after}, and was {before} when the image was made",
    "restore.from_image": "Brought back to: image {image} of {taken:time} (snapshot {snapshot})",
    "restore.from_volume": "Brought back to: root volume {volume}, in use until {taken:time}",
    "restore.kept": "Root volume of before: {volume}, kept",
    "restore.state": "Root volume: {state}",
    "root.at_work": "its root volume is being replaced, as far as EC2 says",
    "root.not_ready": "{id}: its root volume is being replaced",
    "root.timed_out": "{id}: its root volume is not replaced at the deadline, and may still be (task {task})",
    "root.not_replaced": "{id}: EC2 did not replace its root volume (task {task}); it has the one of before",
    "root.refused": "{id}: EC2 refused to replace its root volume: {reason}",
    "root.not_tagged": "the kept root volume {volume} could not be tagged: {reason}",
    "root.detached": (
        "the replacement failed, and there is no root volume at {device}; that of before is {kept}; EC2 shows {places}"
    ),
    "root_state.untouched": "not replaced",
    "root_state.at_work": "may still be replaced",
    "root_state.replaced": "replaced",
    "root_state.kept": "not replaced; it has the one of before",
    "root_state.detached": "none is attached",
    "verdict_of_restore.restored": "it runs from the earlier root volume",
    "verdict_of_restore.not_patched": "its root volume was not replaced",
    "verdict_of_restore.unknown": "its root volume was replaced; that it runs well is not proved",
}
