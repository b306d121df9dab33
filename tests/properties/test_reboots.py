"""What a machine is said to be, and whether it is rebooted, beside what is true of it."""

from __future__ import annotations

import random
from copy import deepcopy
from datetime import date

import pytest

from drydock.machine.evidence import Evidence, judge
from drydock.machine.reboots import is_due
from drydock.request.policy import DEFAULTS, Policy
from rehearsal.world.patch_states import Patch
from rehearsal.world.software import Software, kind_of

SEEDS = 3000
NAMES = (
    "kernel-6.1",
    "kernel-uek",
    "linux-image-aws",
    "openssl",
    "glibc",
    "systemd",
    "tzdata-2026a",
    "vim",
    "man-pages",
)
BOOTS = ("RebootIfNeeded", "WhenNeeded", "Later", "NoReboot")


def draw(chance: random.Random) -> tuple[Software, list[Patch]]:
    """A machine that may run old code already, and what is installed on it without a reboot."""
    software = Software(boots_old_kernel=chance.random() < 0.2, restarts_services=chance.random() < 0.3)
    windows = chance.random() < 0.25
    patches = [
        Patch(
            f"KB{5_000_000 + number}" if windows else chance.choice(NAMES),
            "Windows" if windows else "Linux",
            "Critical",
            chance.choice(("SecurityUpdates", "DefinitionUpdates")),
            date(2026, 1, 1),
        )
        for number in range(chance.randrange(5))
    ]
    cut = chance.randrange(len(patches) + 1)
    software.install(patches[:cut])
    return software, patches[cut:]


@pytest.mark.parametrize("reboot", BOOTS)
def test_a_verdict_is_never_better_than_the_truth_and_no_reboot_is_needless_or_made_twice(reboot: str) -> None:
    policy: Policy = deepcopy(DEFAULTS)
    policy["reboot"] = reboot  # type: ignore[typeddict-item]
    rebooted = needless = 0
    for seed in range(SEEDS):
        chance = random.Random(f"{reboot} {seed}")
        software, patches = draw(chance)
        tool = chance.random() < 0.7
        software.install(patches)
        counted = len(patches)
        need, _ = software.look(tool=tool)
        would_help = any(name != "kernel" or not software.boots_old_kernel for name in software.old)
        if reboot == "RebootIfNeeded" and patches:
            software.boot()
            counted = 0
        if reboot == "WhenNeeded" and need in ("needed", "unknown"):
            assert would_help or not tool, f"seed {seed}: rebooted although that changes nothing"
            software.boot()
            counted, rebooted = 0, rebooted + 1
        elif reboot == "WhenNeeded":
            assert not would_help, f"seed {seed}: not rebooted, and it runs the old {software.old}"
            needless += bool(patches)
        after, _ = software.look(tool=tool)
        boots_old = software.boots_old_kernel and "kernel" in software.old
        verdict = judge(
            Evidence(
                is_fresh=True,
                missing=0,
                failed=0,
                pending_reboot=is_due({"reboot": after, "bootsOldKernel": boots_old}, policy, counted),
                installation_succeeded=True,
                only_scanned=False,
            )
        )
        if software.old:
            assert verdict == "pending_reboot", f"seed {seed}: {verdict}, and it runs the old {software.old}"
        elif reboot == "WhenNeeded":
            assert verdict == "compliant", f"seed {seed}: {verdict}, and it runs what is installed"
    if reboot == "WhenNeeded":
        assert rebooted > SEEDS / 10 and needless > SEEDS / 20, "both must have been drawn"


def test_every_kind_of_update_is_drawn() -> None:
    patches = [patch for seed in range(50) for patch in draw(random.Random(seed))[1]]

    assert {kind_of(patch) for patch in patches} == {"kernel", "library", "system", "data"}
