"""Documents of Systems Manager that are sent in one version only."""

from __future__ import annotations

from typing import TypedDict


class PinnedDocument(TypedDict):
    """One version of a document: its number, and the hash of its content as Systems Manager made it.

    An empty hash is not sent.
    """

    version: str
    hash: str
    hashType: str
