"""The flows that the crash matrix disturbs: what is patched, by which policy, and how that goes undisturbed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rehearsal.play.faults import CancelCommand, Fault, Moment
from rehearsal.play.group_faults import ScalingPolicy
from rehearsal.world.fleet import Durations
from rehearsal.world.group_specs import Unconfirmed

HOOKS = {"preInstall": "leave-cluster", "postInstall": "check-packages", "onExit": "join-cluster"}
DRAINING = {"beforeAnything": "drain-node", "onExit": HOOKS["onExit"]}
HEALTH_PROBE = "check-health"

OF_A_RUN = ("plan_run", "ask_for_approval", "check_gates", "admit_machine", "record_outcome", "summarise_run")
"""The functions of MaintenanceRun; what they start is disturbed in flows of its own."""

OF_A_ROLL = (
    "admit_group",
    "make_room",
    "launch_surge",
    "take_turn",
    "enter_standby",
    "await_standby",
    "return_member",
    "await_in_service",
    "record_member",
    "plan_launched_members",
    "remove_surge",
    "refresh_launch_template",
    "restore_group",
    "release_group",
    "give_back",
    "alert_failure",
)
"""The functions of RollGroup, and those that end it; what it starts is disturbed in flows of its own."""

STATES_OF_A_MEMBER = ("Enter Standby", "Wait Until Drained", "Await Standby")
"""The states of PatchInstance that only a member of a group comes through: they are stopped within the roll's flows."""


@dataclass(frozen=True)
class Flow:
    """A kind of machine, the policy by which it is patched, and how that goes when nothing is disturbed."""

    name: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    stopped_in: Moment | None = None
    """When somebody stops the execution, so that give_back and alert_failure are what is disturbed."""
    status: str = "SUCCEEDED"
    end: str = "finished"
    others: tuple[Mapping[str, Any], ...] = ()
    """More machines: then it is a run of them all, and the functions of the run are what is disturbed."""
    members: int = 0
    """So many machines in an Auto Scaling group: then it is a roll, and the functions of the roll are disturbed."""
    group: Mapping[str, Any] = field(default_factory=dict)
    """What is particular about the group."""
    approvers: tuple[str, ...] = ()
    """The names of the users who may approve the run, and do not answer when it waits."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong besides, undisturbed or not."""
    carries_out: bool = False
    """Whether a window opens, and carries out the plan for it that the first of the approvers has approved before."""
    owes_reboot: bool = False
    """Whether an earlier execution has written down that the machine owes a reboot."""
    repeats: bool = False
    """Whether it asks the same question for hours: then each kind of call is disturbed the first time only."""

    @property
    def machine(self) -> str:
        """The state machine."""
        return "RollGroup" if self.members else "MaintenanceRun" if self.others else "PatchInstance"

    @property
    def starts_others(self) -> bool:
        """Whether its execution starts others, which may run on when it is stopped."""
        return self.machine != "PatchInstance"

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions whose calls are disturbed; none means all of them."""
        if self.members:
            return OF_A_ROLL
        if self.others:
            return (*OF_A_RUN, "give_back") if self.stopped_in else OF_A_RUN
        return ()


_LINUX = {"missing": ("openssl-3.0.8", "kernel-6.1.90")}
_FAILING = {**_LINUX, "wrong": ("install_error",)}
_WINDOWS = {"platform": "Windows", "power": "stopped", "missing": ("KB5034439", "KB5035857")}
_OUTLIVING = {"power": "stopped", "missing": ("openssl-3.0.8",), "wrong": ("outlives_cancel", "outlives_timeout")}
"""What installs goes on behind the end of its command."""
_QUICKLY = {"backup": {"before": {"take": False}, "after": {"take": False}}}
_RUN = {**_QUICKLY, "deadlineMinutes": 720}
_REPLACED = {"onMemberFailure": "replace"}

FLOWS = {
    flow.name: flow
    for flow in (
        Flow("running", _LINUX),
        Flow("nothing-missing", {}),
        Flow("needed", _LINUX, {**_QUICKLY, "reboot": "WhenNeeded", "hooks": {"postInstall": HOOKS["postInstall"]}}),
        Flow("put-off", _LINUX, {**_QUICKLY, "reboot": "Later"}, end="half-way"),
        Flow(
            "owed",
            {"missing": ("tzdata-2026a",), "pending_reboot": True},
            {**_QUICKLY, "reboot": "Later", "hooks": {"preInstall": HOOKS["preInstall"]}},
            owes_reboot=True,
        ),
        Flow(
            "not-needed",
            {"missing": ("tzdata-2026a",)},
            {**_QUICKLY, "reboot": "WhenNeeded", "hooks": {"onExit": HOOKS["onExit"]}},
        ),
        Flow("stopped", _WINDOWS),
        Flow("hooked", _LINUX, {"hooks": HOOKS, "healthProbe": HEALTH_PROBE}),
        Flow("drained", _LINUX, {"hooks": DRAINING}),
        Flow(
            "cordoned",
            {**_LINUX, "wrong": (f"hook_fails:{DRAINING['onExit']}",)},
            {"hooks": DRAINING},
            status="FAILED",
        ),
        Flow(
            "failing",
            {**_WINDOWS, "wrong": (f"hook_fails:{HOOKS['preInstall']}",)},
            {"hooks": HOOKS},
            status="FAILED",
            end="as found",
        ),
        Flow(
            "ill",
            {**_LINUX, "wrong": ("health_fails_after_image",)},
            {"healthProbe": HEALTH_PROBE, "backup": {"before": {"wait": "begun"}, "after": {"reboot": True}}},
            status="FAILED",
        ),
        Flow(
            "updated",
            {**_LINUX, "power": "stopped", "agent_version": "3.2.985.0"},
            {"operation": "UpdateAgents"},
        ),
        # Proved within the flow; and only after the flow has given up, by a sweep.
        Flow(
            "outlived",
            {**_OUTLIVING, "durations": Durations(install=1.5 * 3600)},
            _QUICKLY,
            status="FAILED",
            repeats=True,
        ),
        Flow(
            "unsettled",
            {**_OUTLIVING, "durations": Durations(install=4.5 * 3600)},
            _QUICKLY,
            status="FAILED",
            # Later than any command is sent that a function which died had announced.
            faults=(CancelCommand("unsettled", Moment(600, "Install Patches")),),
            repeats=True,
        ),
        Flow("aborted", _WINDOWS, stopped_in=Moment(30, "Install Patches"), status="ABORTED"),
        Flow(
            "run",
            _LINUX,
            {**_RUN, "maxConcurrency": 2, "canary": {"count": 1}, "soakMinutes": 1},
            others=(_WINDOWS, _LINUX),
        ),
        Flow(
            "spent",
            _FAILING,
            {**_RUN, "maxErrors": 1},
            status="FAILED",
            end="half-way",
            others=(_LINUX, _FAILING),
        ),
        Flow(
            "unanswered",
            _LINUX,
            {**_RUN, "approval": {"required": True}},
            status="FAILED",
            end="as found",
            others=(_LINUX,),
            approvers=("anna",),
        ),
        Flow(
            "carried",
            _LINUX,
            {**_QUICKLY, "approval": {"required": True, "ahead": 2}},
            others=(_LINUX,),
            approvers=("anna",),
            carries_out=True,
        ),
        Flow(
            "halted",
            _LINUX,
            {**_RUN, "maxConcurrency": 2},
            stopped_in=Moment(300, "Patch Machine"),
            status="ABORTED",
            end="half-way",
            others=(_WINDOWS, _LINUX, _LINUX),
        ),
        Flow("roll", _LINUX, _QUICKLY, members=2),
        Flow(
            "stranded",
            {**_OUTLIVING, "power": "running", "durations": Durations(install=1.5 * 3600)},
            _QUICKLY,
            status="FAILED",
            end="half-way",
            members=2,
            repeats=True,
        ),
        # The group has no room for one more: its max has to be raised.
        Flow(
            "surged",
            _LINUX,
            {**_QUICKLY, "capacity": "surge", "launchedMembers": "patch"},
            members=2,
            group={"max": 2},
        ),
        Flow(
            "grown",
            _LINUX,
            {**_QUICKLY, "launchedMembers": "patch"},
            members=2,
            group={"max": 4},
            faults=(ScalingPolicy(group="grown", moment=Moment(240, "Patch Member"), adjustment=1),),
        ),
        Flow(
            "golden",
            _LINUX,
            {
                "backup": {"before": {"take": False}},
                "refreshLaunchTemplate": {"enabled": True, "allowDefault": True},
            },
            members=2,
            group={"template_version": "$Default"},
        ),
        Flow("replaced", _FAILING, {**_QUICKLY, **_REPLACED}, status="FAILED", end="as found", members=2),
        Flow(
            "recounted",
            _FAILING,
            {**_QUICKLY, **_REPLACED},
            status="FAILED",
            end="as found",
            members=2,
            group={"unconfirmed": Unconfirmed(standby_counts_when_terminated=False)},
        ),
        Flow(
            "unrolled",
            _LINUX,
            _QUICKLY,
            stopped_in=Moment(540, "Patch Member"),
            status="ABORTED",
            end="half-way",
            members=2,
        ),
    )
}
