"""Where the files are that a rehearsal deploys, and those that it brings: in a checkout, or as they were installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of the package `rehearsal`."""

_INSTALLED = PACKAGE / "deployed"
"""Put there by setup.py, and never in a checkout."""

PROJECT = _INSTALLED if _INSTALLED.is_dir() else PACKAGE.parent
"""The folder with the template, and with what the template names. An installed one lacks the layer's folder: the
layer's packages are installed beside the rehearsal."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, ten times as fast, where PyYAML was built with it."""


def read_yaml(text: str) -> Any:
    """Return what a YAML text says; raises yaml.YAMLError."""
    return yaml.load(text, LOADER)
