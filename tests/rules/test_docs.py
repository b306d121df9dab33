"""The pages of the project lead where they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.rules.project import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("events/*.md")])
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings: small letters, hyphens for blanks, no other signs."""
    headings = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in _HEADING.findall(page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def links_of(page: Path) -> list[str]:
    return _LINK.findall(page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    for link in links_of(page):
        name, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or target.suffix != ".md" or anchor in anchors(target), link


def test_every_page_is_reached_from_the_first_one() -> None:
    reached, new = set[Path](), {ROOT / "README.md"}
    while new:
        reached |= new
        links = {
            (page.parent / link.partition("#")[0]).resolve() for page in new for link in _LINK.findall(page.read_text())
        }
        new = {link for link in links if link.suffix == ".md" and link.exists()} - reached
    assert {page for page in PAGES if page.parent.name == "docs"} <= reached
