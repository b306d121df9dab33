"""Simulated EC2 instances: power, operating system and patches."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, Protocol

from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.engine.host import Host
from rehearsal.world.patch_states import (
    Patch,
    PatchOperation,
    PatchReport,
    PatchState,
    Platform,
    list_old_patches,
    parse_patch,
)
from rehearsal.world.software import Software

STATE_CODES = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}
FIRST_IMAGE = "ami-0000000000000cafe"
"""The image that machines come from unless something else is said. It is not the account's own."""
PING_INTERVAL = 300.0
"""Seconds between two pings of an agent."""

REBOOTED_FROM_INSIDE = "rebooted by another command"
"""Why a command lost its power, where another one on the same machine has rebooted it."""

_PENDING_SECONDS = 20.0
_TERMINATION_SECONDS = 30.0
_LOOP_SECONDS = 45.0
"""So long a machine is up that restarts again and again."""

WRONGS = (
    "install_error",
    "success_but_missing",
    "failed_after_reboot",
    "agent_lost",
    "delivery_timeout",
    "never_ends",
    "image_fails",
    "image_hangs",
    "start_falls_back",
    "agent_never_online",
    "hook_fails",
    "health_fails",
    "health_fails_after_image",
    "stale_patch_state",
    "probe_garbage",
    "stays_pending_reboot",
    "scan_fails",
    "agent_update_fails",
    "agent_update_reports_failure",
    "refuses_while_reboot_pending",
    "reboot_loop",
    "outlives_cancel",
    "outlives_timeout",
    "boots_old_kernel",
    "reboot_cannot_be_told",
    "refuses_to_reboot",
    "health_fails_after_install",
    "replace_fails",
    "replace_detaches",
)
"""What can go wrong with a machine.

`hook_fails:preInstall` (or postInstall, onExit, or the document's name) names the hook;
`delivery_timeout:AWS-RunPatchBaseline` narrows it to the documents whose name starts so;
`agent_update_fails:AmazonCloudWatchAgent` and `agent_update_reports_failure:AmazonSSMAgent` name the agent.
`refuses_while_reboot_pending` is Windows Update's WU_E_INSTALL_NOT_ALLOWED. In a `reboot_loop`, what an installation
installs makes the operating system restart again and again. An installation that `outlives_cancel` goes on although
its command is Cancelled, one that `outlives_timeout` although it is ExecutionTimedOut or has expired; without that, the
agent ends what is cancelled, and what is not over after its execution time-out. A machine that `boots_old_kernel` has
another one as the default of its boot loader; where a `reboot_cannot_be_told`, no tool for that is installed; one that
`refuses_to_reboot` has something of its own that installs whenever the stack's Reboot document asks. One whose
`health_fails_after_install` is well until something is installed on it. The replacement of its root volume fails with
the old one in place where it `replace_fails`, and with none at all where it `replace_detaches`.
"""


@dataclass(frozen=True)
class InstallFailure:
    """How an installation fails: the document's exit code, and what it wrote to its output and its error output."""

    exit_code: int = 1
    output: str = ""
    error: str = ""


@dataclass(frozen=True)
class Durations:
    """How long things take on a machine, in seconds."""

    boot: float = 60
    agent: float = 30
    stop: float = 45
    image: float = 300
    image_reboot: float = 90
    replace_root: float = 180
    command: float = 4
    scan: float = 60
    install: float = 600
    reboot: float = 120


@dataclass(frozen=True)
class MachineSpec:
    """A machine as its fleet describes it."""

    name: str
    platform: Platform = "Linux"
    power: Literal["running", "stopped"] = "running"
    tags: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    installed_rejected: tuple[str, ...] = ()
    """Patches that are installed, and that the baseline rejects."""
    installed_other: tuple[str, ...] = ()
    """Patches that are installed, and that the baseline does not name."""
    install_failure: InstallFailure | None = None
    may_write_logs: bool = True
    """Whether the instance's role may put the output of commands into their bucket."""
    pending_reboot: bool = False
    restarts_services: bool = False
    """Whether packages restart what runs their code, so that only a kernel needs a reboot."""
    durations: Durations = field(default_factory=Durations)
    wrong: tuple[str, ...] = ()
    agent_version: str = "3.3.1611.0"
    cloudwatch_agent_version: str = "1.300049.1b929"
    """Empty where there is no CloudWatch Agent."""
    clock_skew_seconds: float = 0
    managed: bool = True
    root_device: Literal["ebs", "instance-store"] = "ebs"
    lifecycle: Literal["spot"] | None = None
    group: str | None = None
    lifecycle_state: str = "InService"
    """What it is to its group when the rehearsal begins, as DescribeAutoScalingInstances says it."""
    stop_protection: bool = False
    hibernated: bool = False
    """It was stopped by hibernation: its memory is on its root volume until somebody starts it."""
    operator: str = ""
    """The service that owns the instance, such as eks.amazonaws.com; empty when the account itself does."""
    system: str = ""
    """PlatformName and PlatformVersion, as the agent reports them; empty for a usual one of the platform."""
    system_version: str = ""
    zone: str = f"{REGION}a"
    image_id: str = FIRST_IMAGE
    instance_type: str = "t3.medium"


@dataclass(frozen=True)
class Root:
    """What is on a root volume."""

    missing: tuple[Patch, ...]
    rejected: tuple[Patch, ...]
    others: tuple[Patch, ...]
    installed: tuple[Patch, ...]
    versions: Mapping[str, int]
    """Of the software that is installed."""
    agent_version: str
    cloudwatch_agent_version: str
    agent_dead: bool
    loops: bool


class Job(Protocol):
    """A command at work on a machine."""

    @property
    def command_id(self) -> str:
        """Return the id of the command."""

    @property
    def document(self) -> str:
        """Return the name of the command's document."""

    @property
    def installs(self) -> bool:
        """Say whether the command installs updates."""

    def interrupt(self) -> None:
        """Notice that the power went away under the work."""


@dataclass(frozen=True)
class Interruption:
    """A command that was cut short because its machine lost power or was restarted from outside."""

    command_id: str
    document: str
    installs: bool
    at: datetime
    cause: str


class Agent:
    """The SSM agent of a machine: when it is connected and when it last said so."""

    def __init__(self, account: Host, version: str) -> None:
        self.version = version
        self.updates_itself = False
        """A command that it takes meanwhile is lost."""
        self.when_connected: list[Callable[[], None]] = []
        self._account = account
        self._online_since: float | None = None
        self._last_ping: float | None = None

    @property
    def online(self) -> bool:
        """Say whether commands reach the agent now."""
        return self._online_since is not None

    @property
    def last_ping(self) -> float | None:
        """Return the time of the last ping in epoch seconds of SSM's clock, or None if there was none."""
        if self._online_since is None:
            return self._last_ping
        pings = (self._account.clock.time() - self._online_since) // PING_INTERVAL
        return self._online_since + pings * PING_INTERVAL

    def remember_connection(self, since: float) -> None:
        """Take it that the agent has been connected since a time in the past."""
        self._online_since = since

    def remember_ping(self, at: float) -> None:
        """Take it that the agent was last heard of at a time in the past."""
        self._last_ping = at

    def connect(self) -> None:
        """Come online: ping, and fetch the commands that wait."""
        self._online_since = self._account.clock.time()
        for action in list(self.when_connected):
            action()

    def disconnect(self) -> None:
        """Go silent."""
        self._last_ping = self.last_ping
        self._online_since = None


class Machine:
    """One instance as it really is, whatever AWS says about it. It was there yesterday, unless it is `new`."""

    def __init__(self, spec: MachineSpec, instance_id: str, account: Host, number: int, *, new: bool = False) -> None:
        for wrong in spec.wrong:
            if wrong.partition(":")[0] not in WRONGS:
                raise ValueError(f"{spec.name}: wrong: {wrong!r} is not one of {', '.join(WRONGS)}")
        if spec.hibernated and spec.power != "stopped":
            raise ValueError(f"{spec.name}: a hibernated machine is stopped")
        self.spec = spec
        self.instance_id = instance_id
        self.account = account
        self.number = number
        now = account.clock.now().replace(microsecond=0)
        published = now.date() - timedelta(days=35)
        self.state: str = "pending" if new else spec.power
        self.state_reason: tuple[str, str] | None = None
        self.transition_reason = ""
        self.sleeps = spec.hibernated
        """Whether its memory waits on its root volume: the next start goes on where it was."""
        self.lost_memory = False
        """Whether what it held in memory when it was hibernated is gone."""
        if spec.hibernated:
            self._explain("Client.UserInitiatedHibernate", "User initiated hibernate")
        self.launch_time = now if new else now - timedelta(days=1)
        self.power_log: list[tuple[datetime, str]] = [(now, self.state)]
        self.was_rebooted_for_image = False
        self.root_volume = "vol" + instance_id[1:]
        """The id of its root volume; empty while it has none."""
        self.boots = 0 if new else 1
        self.missing = [parse_patch(text, spec.platform, published) for text in spec.missing]
        self.rejected = [parse_patch(text, spec.platform, published) for text in spec.installed_rejected]
        self.others = [parse_patch(text, spec.platform, published) for text in spec.installed_other]
        self.installed = list_old_patches(spec.platform, published - timedelta(days=90))
        self.pending: list[Patch] = [self.installed.pop()] if spec.pending_reboot else []
        self.software = Software(self.goes_wrong("boots_old_kernel"), spec.restarts_services)
        self.software.install(self.pending)
        self.agent = Agent(account, spec.agent_version)
        self.cloudwatch_agent_version = spec.cloudwatch_agent_version
        self.jobs: list[Job] = []
        self.commands: list[str] = []
        self.interrupted: list[Interruption] = []
        self.runs_patch_baseline = False
        self.last_patch_baseline: float | None = None
        self.report: PatchReport | None = None
        self.tags: Mapping[str, str] = spec.tags
        """As they are now."""
        self._checked_at = 0.0
        self.service_log: list[tuple[datetime, bool]] = [(now, self.state == "running")]
        self._epoch = 0
        self._loops = False
        self._agent_dead = False
        self.when_changed: list[Callable[[Machine], None]] = []
        """Called when the instance's state changes, and when what runs on it goes away or comes back."""
        if new:
            self._announce()
            self._later(min(_PENDING_SECONDS, spec.durations.boot), self._run)
        elif spec.managed:
            self._remember_yesterday()

    @property
    def name(self) -> str:
        """Return the machine's name in its fleet."""
        return self.spec.name

    @property
    def power(self) -> str:
        """Return the instance's EC2 state."""
        return self.state

    @property
    def boot_id(self) -> str:
        """Return what names the current boot: Linux's boot id, or the record of Windows's start event."""
        if self.spec.platform == "Windows":
            return str(4_000 + 137 * self.boots)
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.instance_id}/{self.boots}"))

    @property
    def agent_online(self) -> bool:
        """Say whether commands reach the machine's agent now."""
        return self.agent.online

    @property
    def serves(self) -> bool:
        """Say whether what runs on the machine can be reached now."""
        return self.state == "running" and self.service_log[-1][1]

    @property
    def pending_reboot(self) -> bool:
        """Say whether AWS counts an update as waiting for a reboot, needed or not."""
        return bool(self.pending)

    @property
    def runs_old_code(self) -> bool:
        """Say whether what runs is older than what is installed, whatever anybody says about it."""
        return bool(self.software.old)

    @property
    def interrupted_installs(self) -> list[Interruption]:
        """Return the installations that a power change cut short."""
        return [cut for cut in self.interrupted if cut.installs]

    @property
    def status_check(self) -> str:
        """Return the summary status of the instance's status checks."""
        if self.state != "running":
            return "not-applicable"
        if not self.root_volume:
            return "impaired"
        return "ok" if self.account.clock.time() >= self._checked_at else "initializing"

    @property
    def patch_time(self) -> datetime:
        """Return the time by the machine's own clock, which may be wrong."""
        return self.account.clock.now() + timedelta(seconds=self.spec.clock_skew_seconds)

    def goes_wrong(self, what: str) -> bool:
        """Say whether this is one of the things that go wrong with the machine."""
        return what in self.spec.wrong

    def start(self) -> None:
        """Leave `stopped`; run after a while, or fall back."""
        self.launch_time = self.account.clock.now().replace(microsecond=0)
        self.state_reason = None
        self.transition_reason = ""
        self._change_state("pending")
        pending = min(_PENDING_SECONDS, self.spec.durations.boot)
        self._later(pending, self._fall_back if self.goes_wrong("start_falls_back") else self._run)

    def stop(self) -> None:
        """Shut down; whatever runs on the machine is cut short."""
        self._cut_power("stopped")
        self._explain("Client.UserInitiatedShutdown", "User initiated shutdown")
        self._change_state("stopping")
        self._later(self.spec.durations.stop, lambda: self._change_state("stopped"))

    def terminate(self) -> None:
        """Shut down for ever."""
        self._cut_power("terminated")
        self._explain("Client.UserInitiatedShutdown", "User initiated shutdown")
        self._change_state("shutting-down")
        self._later(_TERMINATION_SECONDS, lambda: self._change_state("terminated"))

    def reboot_for_image(self) -> None:
        """Restart the operating system from outside, as CreateImage does; the instance stays `running`."""
        self._cut_power("rebooted for an image")
        self.was_rebooted_for_image = True
        self._later(self.spec.durations.image_reboot, self._come_back)

    def read_root(self) -> Root:
        """Return what is on the root volume now."""
        return Root(
            missing=tuple(self.missing),
            rejected=tuple(self.rejected),
            others=tuple(self.others),
            installed=(*self.installed, *self.pending),
            versions=dict(self.software.installed),
            agent_version=self.agent.version,
            cloudwatch_agent_version=self.cloudwatch_agent_version,
            agent_dead=self._agent_dead,
            loops=self._loops,
        )

    def detach_root(self) -> Root:
        """Take the root volume away under what runs; returns what is on it. The instance stays `running`."""
        root = self.read_root()
        self._cut_power("its root volume was taken away")
        self.root_volume = ""
        return root

    def reboot_for_root(self, root: Root, seconds: float, then: Callable[[], None]) -> None:
        """Boot from a root volume with this on it, after some seconds; the instance stays `running`."""
        if self.serves:
            self._cut_power("rebooted for its root volume")

        def boot() -> None:
            self.missing, self.rejected, self.others = [*root.missing], [*root.rejected], [*root.others]
            self.installed, self.pending = [*root.installed], []
            self.software.installed = dict(root.versions)
            self.software.running = dict(root.versions)
            self.agent.version, self.cloudwatch_agent_version = root.agent_version, root.cloudwatch_agent_version
            self._agent_dead, self._loops = root.agent_dead, root.loops
            if self.state == "running":
                self._checked_at = self.account.clock.time() + self.spec.durations.boot
                self._come_back()
            then()

        # Whoever changes its power meanwhile does not keep EC2 from ending what it has begun.
        self.account.clock.call_later(seconds, boot)

    def reboot_from_inside(self, job: Job, then: Callable[[], None]) -> None:
        """Restart the operating system on the wish of a job, which goes on with `then` afterwards."""
        self._cut_power(REBOOTED_FROM_INSIDE, spare=job)
        self._agent_dead = self._agent_dead or self.goes_wrong("agent_lost")

        self._loops = self._loops or (job.installs and self.goes_wrong("reboot_loop"))

        def come_back() -> None:
            self._come_back()
            if self.agent.online:
                then()

        self._later(self.spec.durations.reboot, come_back)

    def restart_agent(self) -> None:
        """Restart the agent, as its update does; it calls in at once, unless it is lost."""
        self._agent_dead = self._agent_dead or self.goes_wrong("agent_lost")
        self.agent.disconnect()
        self._connect()

    def begin_operation(self, kind: Literal["Scan", "Install"], snapshot_id: str, reboot_option: str) -> PatchOperation:
        """Return an operation of AWS-RunPatchBaseline that begins now; without a snapshot it makes one of its own."""
        group = self.tags.get("Patch Group") or self.tags.get("PatchGroup") or ""
        snapshot = snapshot_id or self.account.make_uuid()
        return PatchOperation(kind, self.patch_time, snapshot, reboot_option, group)

    def report_operation(self, operation: PatchOperation, failed: Sequence[Patch] = ()) -> None:
        """Report to Systems Manager what is there. An installation lists nothing as missing, but what failed."""
        absent: PatchState = "Missing" if operation.kind == "Scan" else "Failed"
        patches = [
            *self._list_installed(),
            *((patch, absent) for patch in (self.missing if operation.kind == "Scan" else failed)),
        ]
        latest = self.report.last_no_reboot_install if self.report else None
        if operation.kind == "Install" and operation.reboot_option == "NoReboot":
            latest = self.patch_time
        self.report = PatchReport(operation, self.patch_time, patches, latest)

    def install(self, patches: list[Patch]) -> list[Patch]:
        """Install patches, which then wait for a reboot; return those that really went in."""
        stuck = self.missing[-1:] if self.goes_wrong("success_but_missing") else []
        done = [patch for patch in patches if patch not in stuck]
        self.missing = [patch for patch in self.missing if patch not in done]
        self.pending += done
        self.software.install(done)
        return done

    def _list_installed(self) -> Iterator[tuple[Patch, PatchState]]:
        yield from ((patch, "Installed") for patch in self.installed)
        yield from ((patch, "InstalledPendingReboot") for patch in self.pending)
        yield from ((patch, "InstalledRejected") for patch in self.rejected)
        yield from ((patch, "InstalledOther") for patch in self.others)

    def _remember_yesterday(self) -> None:
        offset = int(hashlib.sha256(self.instance_id.encode()).hexdigest(), 16) % int(PING_INTERVAL)
        yesterday = self.account.clock.time() - 86_400 - offset
        if self.state == "running" and not self.goes_wrong("agent_never_online"):
            self.agent.remember_connection(yesterday)
        else:
            self.agent.remember_ping(yesterday)
        began = self.patch_time - timedelta(days=1, minutes=1)
        operation = self.begin_operation("Scan", "00000000-0000-4000-8000-000000000000", "NoReboot")
        self.report_operation(replace(operation, started=began))
        assert self.report is not None
        self.report = replace(self.report, ended=began + timedelta(minutes=1))

    def _run(self) -> None:
        self._change_state("running")
        durations = self.spec.durations
        self._checked_at = self.account.clock.time() + durations.boot - min(_PENDING_SECONDS, durations.boot)
        if self.sleeps:
            self._wake()
        else:
            self._boot()
        self._later(durations.agent, self._connect)

    def _come_back(self) -> None:
        self._boot()
        self._connect()

    def _boot(self) -> None:
        self.boots += 1
        if self._loops:
            # It would go on for ever, which is no reason for a rehearsal to.
            self._later(_LOOP_SECONDS, self._crash, background=True)
        self.service_log.append((self.account.clock.now(), True))
        self._tell()
        if not self.goes_wrong("stays_pending_reboot"):
            self.installed += self.pending
            self.pending = []
            self.software.boot()

    def _crash(self) -> None:
        self._cut_power("restarted by itself")
        self._later(self.spec.durations.reboot, self._come_back, background=True)

    def _wake(self) -> None:
        """Go on with what was in memory: no boot, and what waits for a reboot waits still."""
        self.sleeps = False
        self.service_log.append((self.account.clock.now(), True))
        self._tell()

    def _connect(self) -> None:
        if self.spec.managed and not self._agent_dead and not self.goes_wrong("agent_never_online"):
            self.agent.connect()

    def _fall_back(self) -> None:
        self._explain("Client.InternalError", "Client error on launch")
        self._change_state("stopped")

    def _explain(self, code: str, message: str) -> None:
        self.state_reason = (code, f"{code}: {message}")
        at = self.account.clock.now().strftime("%Y-%m-%d %H:%M:%S GMT")
        self.transition_reason = f"User initiated ({at})" if "User" in code else f"{code}: {message}"

    def _cut_power(self, cause: str, spare: Job | None = None) -> None:
        self._epoch += 1
        self.lost_memory = self.spec.hibernated
        self.service_log.append((self.account.clock.now(), False))
        self.agent.disconnect()
        for job in list(self.jobs):
            if job is not spare:
                now = self.account.clock.now()
                self.interrupted.append(Interruption(job.command_id, job.document, job.installs, now, cause))
                job.interrupt()
        self._tell()

    def _change_state(self, state: str) -> None:
        self.state = state
        self.power_log.append((self.account.clock.now(), state))
        self._tell()
        self._announce()

    def _announce(self) -> None:
        state = self.state
        self.account.bus.put(
            "aws.ec2",
            "EC2 Instance State-change Notification",
            {"instance-id": self.instance_id, "state": state},
            [f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{self.instance_id}"],
        )

    def _tell(self) -> None:
        for action in list(self.when_changed):
            action(self)

    def _later(self, seconds: float, action: Callable[[], None], *, background: bool = False) -> None:
        """Do something later unless the power changed in between."""
        epoch = self._epoch

        def act() -> None:
            if self._epoch == epoch:
                action()

        self.account.clock.call_later(seconds, act, background=background)
