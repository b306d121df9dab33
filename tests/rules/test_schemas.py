"""The committed schemas are those of the types, and are schemas."""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator

from drydock_cli.verbs import VERBS
from tools.schemas import FOLDER, files


def test_the_committed_schemas_and_their_page_are_those_of_the_types() -> None:
    written = files()

    assert {path.name for path in FOLDER.iterdir()} == {path.name for path in written if path.parent == FOLDER}
    stale = [path.name for path, text in written.items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "a type has changed: run `make schemas`"


def test_every_schema_is_one() -> None:
    for path in FOLDER.iterdir():
        Draft202012Validator.check_schema(json.loads(path.read_text(encoding="utf-8")))


def test_every_verb_has_a_schema_for_what_it_prints() -> None:
    assert {*VERBS, "error", "rehearse"} == {path.name.removesuffix(".schema.json") for path in FOLDER.iterdir()}
