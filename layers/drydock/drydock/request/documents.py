"""Pinned documents in the input of an execution that a run or a roll starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drydock.catalogue.saying import say
from drydock.request.checking import Check, brief, one_of, section, text

DOCUMENT_NAME = r"[a-zA-Z0-9_\-.]{3,128}"
_MOST = 10

_check_pinned: Check = section(
    {
        "version": text(r"[1-9][0-9]{0,9}", say("request.document.version")),
        "hash": text(r".{0,256}", say("request.document.hash")),
        "hashType": one_of("Sha256", "Sha1", ""),
    }
)
_check_name = text(DOCUMENT_NAME, say("request.document.name"))


def check_documents(path: str, value: Any) -> list[str]:
    """The mistakes in documents by name, each with `version`, `hash` and `hashType`."""
    if not isinstance(value, Mapping):
        return [say("request.no_object", path=path, value=brief(value))]
    if len(value) > _MOST:
        return [say("request.document.many", path=path, most=_MOST, count=len(value))]
    mistakes = [mistake for name in value for mistake in _check_name(path, name)]
    for name, pinned in value.items():
        where = f"{path}.{str(name)[:100]}"
        mistakes += _check_pinned(where, pinned)
        if isinstance(pinned, Mapping):
            missing = [key for key in ("version", "hash", "hashType") if key not in pinned]
            mistakes += [say("request.required", path=f"{where}.{key}") for key in missing]
    return mistakes
