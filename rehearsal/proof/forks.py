"""Copies of this process that carry on from where they are: what many cases have in common happens once."""

from __future__ import annotations

import gc
import os
import pickle
import threading
import traceback
from collections.abc import Callable, Hashable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, NoReturn, TypeVar

Answer = TypeVar("Answer")


class Forks:
    """The children of this process, so many at a time at most, and what came of each.

    Only a process with one thread can be copied: `fork` raises RuntimeError in any other. Everything else of a
    rehearsal, its clock, its tasks and its account, is inside the process.
    """

    def __init__(self, most: int) -> None:
        self.results: dict[Any, Any] = {}
        """What the children that have ended were asked for, and what they answered; an error when they did not."""
        self.is_child = False
        self._most = most
        self._asked: dict[int, Any] = {}
        self._folder = TemporaryDirectory(prefix="drydock-")

    def __enter__(self) -> Forks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_child:
            # What it was made for has failed; nothing of the parent's may happen twice.
            if error is not None:
                traceback.print_exception(error)
            os._exit(1)
        self.join()
        self._folder.cleanup()

    def fork(self, asked: Hashable) -> bool:
        """Make a child that is to answer this; true in the child, which has to end with `answer`."""
        if threading.active_count() != 1:
            raise RuntimeError("only a process with one thread can be forked")
        while len(self._asked) >= self._most:
            self._wait()
        # A search for garbage would write to, and so copy, every page that parent and child share.
        gc.freeze()
        child = os.fork()
        if child:
            self._asked[child] = asked
            return False
        self.is_child = True
        return True

    def answer(self, answer: object) -> NoReturn:
        """End the child with its answer."""
        self._path(os.getpid()).write_bytes(pickle.dumps(answer))
        os._exit(0)

    def join(self) -> None:
        """Wait until all children have ended."""
        while self._asked:
            self._wait()

    def _wait(self) -> None:
        child, status = os.wait()
        path = self._path(child)
        self.results[self._asked.pop(child)] = (
            pickle.loads(path.read_bytes())
            if os.waitstatus_to_exitcode(status) == 0
            else RuntimeError(f"the process ended with {os.waitstatus_to_exitcode(status)}")
        )
        path.unlink(missing_ok=True)

    def _path(self, child: int) -> Path:
        return Path(self._folder.name) / str(child)


def work_apart(work: Callable[[], Answer]) -> Answer:
    """Let a child do some work, so that all but the answer is gone afterwards: whatever stays, each fork copies.

    Raises RuntimeError when the child has no answer; what it raised stands on its standard error.
    """
    with Forks(1) as forks:
        if forks.fork("work"):
            forks.answer(work())
        forks.join()
        answer: Answer | RuntimeError = forks.results["work"]
    if isinstance(answer, RuntimeError):
        raise answer
    return answer
