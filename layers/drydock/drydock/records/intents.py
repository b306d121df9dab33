"""Intents: what stands in a lease for every change, before it is made. Here alone they are named.

An intent's name is what it announces, and after a colon what that is about. Whoever carries on what a dead function
has begun finds it by its name. A sweep is a pass of `give_back` over a lease whose execution is over; as long as an
intent is younger than any function lives, it only waits.

Of a machine's lease. What `patching` and `agents` name, `commands` sends; `settling` looks at all commands, and
`release` tells of every intent.

    intent                     written by          read by                         a sweep
    tag                        admission           release                         sets the tag as it was
    image<moment>              images                                              dates the image's deprecation
    start                      power               power                           stops the machine, if it runs still
    replaceRoot                roots               alerts, giving_back, release,   waits until it is over, and longer
                                                   roots                           while there is no root volume
    probe<moment>              patching                                            waits until it is over
    scan<moment>               patching                                            waits until it is over
    <hook>Hook                 patching            draining                        waits until it is over
    install                    patching            giving_back, images,            waits, and knows not what came of it
                                                   member_moves, reboots
    installFinishBefore        patching            member_moves                    waits until it is over
    installFinish              patching            member_moves                    waits until it is over
    update<agent>              agents              giving_back, member_moves       waits, and knows not what came of it
    healthProbe<moment>        patching            member_moves                    waits until it is over
    <command>Again<number>     commands                                            waits until it is over
    <command>Cancel            settling                                            nothing
    settle                     settling            alerts, giving_back             nothing
    proof<number>              settling            settling                        waits until it is over
    stop                       power                                               nothing
    release                    release             alerts, release                 sets the tag as it was
    giveBackStop               giving_back                                         its own: the machine is stopped
    giveBackToWork             draining            draining                        its own: what was drained works again
    giveBackProof              settling            settling                        its own: the machine is asked again

Of a group's lease. `admission` and `giving_back` are those of the package `group` here.

    intent                     written by          read by                         a sweep
    suspend                    admission, rolling  rolling                         lets it balance zones again
    lowerMin                   surging             rolling                         sets min as it was
    surge                      surging                                             nothing
    surge:<number>:<zone>      surging             surging                         removes the instance
    surgeFallback              surging             surging                         tells of it
    raiseMax:<to>              surging             surging                         sets max as it was
    protect:<instance>         surging             surging                         protects no longer what stays
    standby:<member>           member_turns        giving_back, group_leases,      lets the member leave standby
                                                   member_turns, refilling
    exit:<member>              member_turns        giving_back, group_leases,      lets the member leave standby
                                                   member_turns, refilling
    hold:<member>              giving_back,        giving_back, member_turns       leaves the member in standby
                               member_turns
    replace:<member>           giving_back,        giving_back, member_turns,      terminates the member
                               member_turns        refilling
    refill:<member>            giving_back,        member_turns, refilling         asks for another in its place
                               refilling
    launched:<round>           group_leases        group_leases                    tells of its members
    removeSurge                surging                                             nothing
    removeSurge:<instance>     surging             surging                         takes the instance for gone
    keepSurge:<instance>       surging             surging                         tells why the instance stays
    templateVersion            golden_images       golden_images                   tells of the version
    templateDefault            golden_images       golden_images                   tells of it
    restore                    rolling                                             nothing
    giveBackExit:<member>      giving_back                                         its own: the member serves again
    giveBackRemove:<instance>  surging             surging                         its own: the instance is removed
"""

from __future__ import annotations

TAG = "tag"
"""The state tag says that the machine is in work. Announced with the journal."""

START, STOP = "start", "stop"
FINISH_INSTALL_BEFORE, INSTALL, FINISH_INSTALL = "installFinishBefore", "install", "installFinish"
"""The reboot that was put off by an earlier execution, the installation, and the reboot that did not follow at once."""

REPLACE_ROOT = "replaceRoot"
"""The root volume is replaced by an earlier one; that of before is kept."""

SETTLE = "settle"
"""What has not begun is cancelled."""

RELEASE = "release"
"""Tags and images' dates of a machine that is released. The result comes after it."""

GIVE_BACK_STOP = "giveBackStop"

GIVE_BACK_TO_WORK = "giveBackToWork"
"""A machine that was drained is let back to work by the hook on exit, once."""

GIVE_BACK_PROOF = "giveBackProof"
"""A pass asks whether anything installs. One intent for all its probes: a lease may not grow without end."""

_AGAIN = "Again"
"""In front of a number: a command that found another at work is sent once more."""

_IMAGE, _PROBE, _SCAN, _HEALTH_PROBE, UPDATE = "image", "probe", "scan", "healthProbe", "update"
_HOOK, _CANCELLATION, _PROOF = "Hook", "Cancel", "proof"


def image(moment: str) -> str:
    """The image `Before` or `After`."""
    return f"{_IMAGE}{moment}"


def probe(moment: str) -> str:
    """The probe at `First`, `Before`, `BeforeInstall`, `AfterInstall`, before the `Image` with a reboot, or `After`."""
    return f"{_PROBE}{moment}"


def scan(moment: str) -> str:
    """The scan at `First`, `Before` or `After`; where Windows Update is asked, the search."""
    return f"{_SCAN}{moment}"


def hook(name: str) -> str:
    """The hook `beforeAnything`, `preInstall`, `postInstall` or `onExit`."""
    return f"{name}{_HOOK}"


def health_probe(moment: str) -> str:
    """The health probe after `Patching`."""
    return f"{_HEALTH_PROBE}{moment}"


def update(agent: str) -> str:
    """The update of an agent, by its name in the policy."""
    return f"{UPDATE}{agent}"


def again(command: str, number: int) -> str:
    """The same command for the time of this number, counted from 1: that of before found another at work."""
    return f"{command}{_AGAIN}{number}" if number > 1 else command


def cancellation(command: str) -> str:
    """A command, by its intent, is cancelled because it has not begun."""
    return f"{command}{_CANCELLATION}"


def proof(number: int) -> str:
    """The probe of this number, counted from 1, that asks whether anything installs still."""
    return f"{_PROOF}{number}"


SUSPEND, LOWER_MIN, RESTORE = "suspend", "lowerMin", "restore"
"""The group balances no zones meanwhile; it may have fewer members meanwhile; it is as it was."""

SURGE, SURGE_FALLBACK, REMOVE_SURGE = "surge", "surgeFallback", "removeSurge"
"""Surge instances are launched; the roll goes on with fewer members instead; they are removed."""

TEMPLATE_VERSION, TEMPLATE_DEFAULT = "templateVersion", "templateDefault"
"""The launch template learns an image; the version with it becomes the default."""

LAUNCH, RAISED_MAX, ROUND = "surge:", "raiseMax:", "launched:"
REFILL, KEPT_SURGE = "refill:", "keepSurge:"

_PROTECTION, _SURGE_REMOVAL, _GIVE_BACK_REMOVAL = "protect:", "removeSurge:", "giveBackRemove:"
_ENTER, _EXIT, _HOLD, _REPLACEMENT, _GIVE_BACK_EXIT = "standby:", "exit:", "hold:", "replace:", "giveBackExit:"


def launch(number: int, zone: str) -> str:
    """The surge instance of this number, counted from 0, is asked for in a zone."""
    return f"{LAUNCH}{number}:{zone}"


def raised_max(to: int) -> str:
    """The group's max makes room for so many."""
    return f"{RAISED_MAX}{to}"


def launched_round(number: int) -> str:
    """Members that the group launched meanwhile are to be patched, too: the round of this number, counted from 0."""
    return f"{ROUND}{number}"


def protection(instance_id: str) -> str:
    """A surge instance is protected from scaling in."""
    return f"{_PROTECTION}{instance_id}"


def enter_standby(instance_id: str) -> str:
    """A member leaves service, for standby."""
    return f"{_ENTER}{instance_id}"


def exit_standby(instance_id: str) -> str:
    """A member leaves standby, and serves again."""
    return f"{_EXIT}{instance_id}"


def hold(instance_id: str) -> str:
    """A member that failed stays in standby, because the policy says so."""
    return f"{_HOLD}{instance_id}"


def replacement(instance_id: str) -> str:
    """A member is terminated, so that another takes its place."""
    return f"{_REPLACEMENT}{instance_id}"


def refill(instance_id: str) -> str:
    """The group is asked for another in the place of a replaced member."""
    return f"{REFILL}{instance_id}"


def surge_removal(instance_id: str) -> str:
    """A surge instance is removed."""
    return f"{_SURGE_REMOVAL}{instance_id}"


def kept_surge(instance_id: str) -> str:
    """A surge instance stays, for a reason."""
    return f"{KEPT_SURGE}{instance_id}"


def give_back_removal(instance_id: str) -> str:
    """A surge instance is removed because of `give_back`."""
    return f"{_GIVE_BACK_REMOVAL}{instance_id}"


def give_back_exit(instance_id: str) -> str:
    """A member leaves standby because of `give_back`."""
    return f"{_GIVE_BACK_EXIT}{instance_id}"


def kind_of(name: str) -> str:
    """What an intent announces, without what that is about: `refill:`, `image`, `Hook`, `release`."""
    name = name.partition(_AGAIN)[0]
    head, colon, _ = name.partition(":")
    if colon:
        return f"{head}:"
    for ending in (_CANCELLATION, _HOOK):
        if name.endswith(ending):
            return ending
    beginnings = (_IMAGE, _PROBE, _SCAN, _HEALTH_PROBE, UPDATE, _PROOF)
    return next((beginning for beginning in beginnings if name.startswith(beginning)), name)


def member_of(name: str) -> str:
    """The instance that an intent of a group's lease is about; empty for one that is about the whole group."""
    kind = kind_of(name)
    return "" if kind in (LAUNCH, RAISED_MAX, ROUND) or not kind.endswith(":") else name.removeprefix(kind)


def zone_of(name: str) -> str:
    """The zone in which the instance of a `launch` was asked for."""
    return name.rpartition(":")[2]
