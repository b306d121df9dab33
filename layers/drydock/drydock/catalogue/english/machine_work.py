"""Why work on a machine ended, and what is noted of it."""

SENTENCES = {
    # Power.
    "start.terminated": "{machine}: was terminated while it started",
    "start.fell_back": "{machine}: fell back to stopped after the start ({reason})",
    "start.fell_back.kms": (
        "{machine}: fell back to stopped after the start ({reason}); if its volumes are encrypted, the role of "
        "start_instance needs kms:CreateGrant on their KMS keys"
    ),
    "start.no_reason": "no reason given",
    "power.late": "{machine}: is still {state} at the deadline",
    # Images.
    "image.not_finished": "{machine}: image {image} is not finished yet",
    "image.snapshots_not_seen": "{machine}: the snapshots of image {image} are not seen yet",
    "image.snapshot_failed": "{machine}: image {image}: the snapshot of {volume} failed",
    "image.not_rebooted": "{machine}: it has not rebooted since before its image",
    "image.not_made": "it has no image of what it is now: {reason}",
    "image.no_deprecation": "image {image} got no deprecation date: {reason}",
    "image.ended": "{machine}: image {image} ({name}): {reason}",
    "image.end.failed": "it is {state}",
    "image.end.failed.why": "it is {state}: {why}",
    "image.end.late": "it is still {state} at the deadline; EC2 may yet finish it",
    # What is installed.
    "cause.failed": "patches are missing or failed to install; missing: {missing}; failed: {failed}",
    "cause.reported_failed": "nothing is missing, but the installation reported failure",
    "patches.none": "none",
    "patches.rejected": "installed, and rejected by the patch baseline: {patches}",
    "evidence.not_there": "{machine}: the scan has ended, its patch state is not there yet",
    "evidence.none": "the scan gave no fresh patch state",
    "evidence.none.after_install": "the scan after the installation gave no fresh patch state",
    "evidence.none.install_failed": (
        "the scan after the installation gave no fresh patch state, and the installation reported failure (exit code "
        "{code})"
    ),
    # Giving it back.
    "release.giving_back": "{subject}: is being given back already",
    "release.given_back": "{subject}: was given back before it was released",
    "tags.not_written": "the tags {tags:list} could not be written: {reason}",
    "execution.unknown": "Step Functions no longer knows the execution",
    "execution.ended": "the execution ended as {status}",
}
