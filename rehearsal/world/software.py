"""What is installed on a machine and what of it runs, which is not the same before a reboot."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from rehearsal.world.patch_states import Patch

Kind = Literal["kernel", "library", "system", "data"]
"""What an update brings: a kernel, code that processes run, Windows itself, or what nobody keeps in memory."""

RebootNeed = Literal["needed", "unknown", "would_not_help", "not_needed"]
"""What the stack's Probe document says of a reboot."""

_KERNEL = re.compile(r"(kernel|linux-image|linux-aws)(-|\d|$)")
_DATA = re.compile(r"(tzdata|ca-certificates|man-pages|bash-completion|vim|emacs|docs?)(-|$)")
_OLD, _STEP = 100, 1


def kind_of(patch: Patch) -> Kind:
    """Tell from the name of a package, or the category of an update for Windows, what it brings."""
    if patch.platform == "Windows":
        return "data" if patch.category == "DefinitionUpdates" else "system"
    if _KERNEL.match(patch.name):
        return "kernel"
    return "data" if _DATA.match(patch.name) else "library"


def _name_of(patch: Patch) -> str:
    """Return what is replaced: all kernels are one thing, and so is Windows."""
    kind = kind_of(patch)
    return kind if kind in ("kernel", "system") else patch.name


@dataclass
class Software:
    """The versions of what can be old in memory, by name. What is not named runs as it is installed."""

    boots_old_kernel: bool = False
    """Whether the boot loader is told to boot the kernel that runs now, for ever."""
    restarts_services: bool = False
    """Whether packages restart what runs their code, as needrestart does in its automatic mode."""
    installed: dict[str, int] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)

    def install(self, patches: Iterable[Patch]) -> None:
        """Replace what the patches bring; processes go on with the old."""
        for patch in patches:
            kind, name = kind_of(patch), _name_of(patch)
            if kind == "data":
                continue
            self.running.setdefault(name, self.installed.get(name, _OLD))
            self.installed[name] = self.installed.get(name, _OLD) + _STEP
            if kind == "library" and self.restarts_services:
                self.running[name] = self.installed[name]

    def boot(self) -> None:
        """Run what is installed; of the kernels that which boots."""
        old = self.running.get("kernel")
        self.running = dict(self.installed)
        if self.boots_old_kernel and old is not None:
            self.running["kernel"] = old

    @property
    def old(self) -> list[str]:
        """Return the names of what runs in another version than is installed."""
        return sorted(name for name, version in self.installed.items() if self.running.get(name) != version)

    def look(self, *, tool: bool) -> tuple[RebootNeed, list[str]]:
        """Return what the stack's Probe document says, and why; without a `tool` less is known.

        It sees kernels by their files, and old code by the files that are gone under it.
        """
        old = self.old
        reasons, needs = [], set()
        for name in old:
            if name == "system":
                reasons.append("registry: RebootRequired")
                needs.add("needed")
            elif name == "kernel" and self.boots_old_kernel:
                running, installed = self._kernels()
                reasons.append(f"kernel {installed} is installed, but {running} is what boots")
                needs.add("would_not_help")
            elif name == "kernel":
                running, installed = self._kernels()
                reasons.append(f"kernel {running} runs, {installed} is installed")
                needs.add("needed")
            else:
                reasons.append(f"nginx (812) runs the old /usr/lib64/lib{name}.so")
                needs.add("needed")
        if not tool:
            reasons.append("needs-restarting does not tell")
            needs.add("unknown")
        order: tuple[RebootNeed, ...] = ("needed", "unknown", "would_not_help", "not_needed")
        return next((need for need in order if need in needs), "not_needed"), reasons[:5]

    def _kernels(self) -> tuple[str, str]:
        return (
            f"6.1.{self.running['kernel']}-1.amzn2023.x86_64",
            f"6.1.{self.installed['kernel']}-1.amzn2023.x86_64",
        )
