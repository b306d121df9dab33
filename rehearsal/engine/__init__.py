"""The embedded account's engine: its clock, calls, functions, deployment, events, and the repairs of moto."""

import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any
from unittest.mock import patch

from botocore.loaders import JSONFileLoader

from rehearsal.engine.calls import REGION

_NOT_REHEARSED = ("moto.apigateway", "moto.rds")
"""What moto's CloudFormation imports to know their resources; together they take a quarter of its time."""


@contextmanager
def _leave_out_what_is_not_used() -> Iterator[None]:
    """Let moto leave out what no account here has: other Regions' instance types, and resources of other services."""
    absent = [name for name in _NOT_REHEARSED if name not in sys.modules]
    for name in absent:
        sys.modules[name] = empty = ModuleType(name)
        sys.modules[f"{name}.models"] = empty.models = ModuleType(f"{name}.models")  # type: ignore[attr-defined]
    try:
        # moto reads the list of all endpoints, a megabyte, three times.
        with (
            patch.object(JSONFileLoader, "load_file", staticmethod(cache(JSONFileLoader().load_file))),
            patch.object(os, "listdir", _list_own_region(os.listdir)),
        ):
            yield
    finally:
        for name in absent:
            del sys.modules[name], sys.modules[f"{name}.models"]


def _list_own_region(listdir: Callable[..., list[str]]) -> Callable[..., list[str]]:
    def find(path: Any = ".") -> list[str]:
        found = listdir(path)
        offers = "instance_type_offerings" in str(path)
        return [name for name in found if not offers or name.startswith(REGION) or "." not in name]

    return find


# What is imported stays: to search it for garbage, now, later, and twice when Python ends, would take longer than a
# small rehearsal.
gc.disable()
with _leave_out_what_is_not_used():
    import moto.cloudformation
    import moto.ec2.models
    import moto.stepfunctions.models  # noqa: F401
    import samtranslator.translator.translator  # noqa: F401
gc.freeze()
gc.enable()
atexit.register(gc.freeze)
