"""Replacing attributes of other people's modules for a while."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

_ABSENT = object()


class Patches(ExitStack):
    """A stack of replaced attributes; closing it puts everything back."""

    def replace(self, owner: Any, name: str, value: Any) -> Any:
        """Set `owner.name` to `value` until the stack is closed; return what was there (None when nothing was)."""
        # The raw attribute of a class, so that static methods and class methods go back as they were.
        own = vars(owner).get(name, _ABSENT)
        before = getattr(owner, name, None)
        setattr(owner, name, value)

        def restore() -> None:
            if own is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, own)

        self.callback(restore)
        return before

    def wrap(self, owner: Any, name: str, around: Callable[..., Any]) -> None:
        """Replace the function `owner.name` by one that calls `around(original, *arguments)`."""
        original = getattr(owner, name)

        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            return around(original, *arguments, **keywords)

        self.replace(owner, name, wrapper)
