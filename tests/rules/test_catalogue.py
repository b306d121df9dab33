"""Every sentence that people read stands in the catalogue; what says one names it, and gives what it asks for."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator

import pytest

from drydock.catalogue.english.language import ENGLISH
from drydock_cli.verbs import VERBS
from tests.rules.project import LAYER, parse

PACKAGE = LAYER / "drydock"
MODULES = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] != "catalogue"
)
_TWO_WORDS = re.compile(r"(?:^|[ (])[A-Za-z][a-z']+,?:? (?:\{\} )?[a-z][a-z']+|\{\}: [a-z]")
_NO_SENTENCE = re.compile(
    r"\bSET |attribute_|:\w+ (AND|OR)|^#?\w+ [=<]|^ADD |REMOVE |^ *(aws|drydock) [a-z]+|\{[a-z-]+:"
)
"""An expression of DynamoDB, a command, or a style sheet."""
_TAG = re.compile(r"<[^<>]*>")
_NOT_OURS = {
    # Values of a header.
    "noindex, nofollow, noarchive",
    # Names of values.
    "own history",
    "last failure",
    "patch group",
    # Values of AWS's documents, and what they say.
    "Uninstall and reinstall",
    "Cannot acquire lock on",
    # The descriptions of an image, for which EC2 takes ASCII alone, and of a launch template's version.
    "{} {} patching by {}",
    "Image of {}, patched by {}",
}


def _written(node: ast.AST) -> str:
    """The text of a string; `{}` stands for what is put into it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return ""


def _not_read(tree: ast.Module) -> set[int]:
    """What no message has: docstrings, and what goes to the log; and the parts of what is looked at as a whole."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.add(id(node.value))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger."):
            found |= {id(part) for part in ast.walk(node)}
        elif isinstance(node, ast.JoinedStr):
            found |= {id(part) for part in ast.walk(node) if part is not node and isinstance(part, ast.Constant)}
    return found


def sentences_in(tree: ast.Module) -> list[str]:
    skipped = _not_read(tree)
    texts = [_TAG.sub("", _written(node)) for node in ast.walk(tree) if id(node) not in skipped]
    return [
        text for text in texts if _TWO_WORDS.search(text) and not _NO_SENTENCE.search(text) and text not in _NOT_OURS
    ]


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for module in MODULES:
        for node in ast.walk(parse(PACKAGE / module)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say":
                yield f"{module}:{node.lineno}", node


def _named(key: ast.AST) -> list[str]:
    """The sentences that a call may say: by its key, either of two, or all that begin as the key does that is made."""
    if isinstance(key, ast.IfExp):
        return [*_named(key.body), *_named(key.orelse)]
    written = _written(key)
    assert written, ast.unparse(key)
    wanted = re.compile("[^.]+".join(map(re.escape, written.split("{}"))))
    return [one for one in ENGLISH.sentences if wanted.fullmatch(one)]


def _place_holders(sentence: str) -> dict[str, str]:
    return {name: spec or "" for _, name, spec, _ in string.Formatter().parse(sentence) if name is not None}


@pytest.mark.parametrize("module", MODULES)
def test_no_sentence_stands_outside_the_catalogue(module: str) -> None:
    assert sentences_in(parse(PACKAGE / module)) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('raise ImageFailedError(f"{image}: is not there")', ["{}: is not there"]),
        ('f"{machine}: is {state}"', ["{}: is {}"]),
        ('"""Only for those who read the code."""', []),
        ('logger.info("told nobody else", run=f"{run} is over")', []),
        ('table.update(key, "SET begun = :begun, told = :no")', []),
        ('say("machine.first", id=f"i-{number}")', []),
        ('f"aws ssm get-parameter --name {name}"', []),
        ('"p{border:1px solid red}"', []),
    ],
)
def test_a_sentence_is_found_where_it_stands(code: str, found: list[str]) -> None:
    assert sentences_in(ast.parse(code)) == found


def test_what_is_said_is_in_the_catalogue_and_gets_the_values_that_it_asks_for() -> None:
    wrong = []
    for where, call in _calls():
        given = {keyword.arg for keyword in call.keywords}
        named = _named(call.args[0])
        if not named:
            wrong.append(f"{where}: {ast.unparse(call.args[0])} is not there")
        wrong += [
            f"{where}: {key} asks for {sorted(_place_holders(ENGLISH.sentences[key]))}"
            for key in named
            if None not in given and set(_place_holders(ENGLISH.sentences[key])) != given
        ]
    assert wrong == []


def test_every_sentence_of_the_catalogue_is_said() -> None:
    said = {key for _, call in _calls() for key in _named(call.args[0])}
    assert sorted(set(ENGLISH.sentences) - said) == []


def test_no_sentence_has_a_command_in_it() -> None:
    """Commands are made by `telling/commands.py`, with stack and Region, and stand on lines of their own."""
    verbs = "|".join(VERBS)
    command = re.compile(rf"\b(aws [a-z0-9]+ [a-z]+-[a-z]|drydock ({verbs})\b)")
    written = {
        f"{module}: {text}"
        for module in MODULES
        for tree in [parse(PACKAGE / module)]
        for skipped in [_not_read(tree)]
        for node in ast.walk(tree)
        if id(node) not in skipped and command.search(text := _written(node))
    }
    assert {key for key, sentence in ENGLISH.sentences.items() if command.search(sentence)} == set()
    assert written == {"approval/report_links.py: drydock report"}, "what makes a key is no sentence"


def test_a_place_holder_is_written_in_one_of_the_ways_of_a_language() -> None:
    ways = {"", "number", "time", "day", "clock", "weekday", "span", "list", "some"}
    for key, sentence in ENGLISH.sentences.items():
        for name, spec in _place_holders(sentence).items():
            assert spec in ways or "|" in spec or "#" in spec, f"{key}: {name}:{spec}"


def _subjects_of_the_operations_page() -> list[str]:
    """The subjects in the table of messages."""
    page = (LAYER.parents[1] / "docs" / "operations.md").read_text()
    table = page.split("| subject | what to do |\n")[1].split("\n\n")[0]
    return [subject for line in table.splitlines()[1:] for subject in re.findall(r"`([^`]+)`", line.split("|")[1])]


def _plain(sentence: str) -> str:
    """A sentence about several machines that were patched, without names and numbers."""
    counted = re.sub(r"\{\w+:[^}]*\|#? ?([^}|]*)\}", r"\1", sentence.replace("{done}", "patched"))
    return re.sub(r"\{[^}]*\}", "", counted).lower()


def _parts_of(subject: str) -> list[str]:
    """What a subject of the table says between what stands for names and numbers."""
    parts = [part.strip(" ,:;").lower() for part in re.split(r"…|\b[A-Z]+\b|, ", subject)]
    return [part for part in parts if part]


@pytest.mark.parametrize("subject", _subjects_of_the_operations_page())
def test_the_operations_page_names_subjects_as_the_catalogue_says_them(subject: str) -> None:
    """Each part between what stands for names and numbers is in some sentence."""
    said = [_plain(one) for one in ENGLISH.sentences.values()]
    missing = [part for part in _parts_of(subject) if not any(part in sentence for sentence in said)]
    assert missing == []


_PARTS_OF_SUBJECTS = {"machine.agents", "names", "question.what", "run.also", "run.late", "run.none_failed"}
"""What is put together of other sentences, or of names alone."""


def _keys_in(node: ast.AST) -> set[str]:
    calls = [one for one in ast.walk(node) if isinstance(one, ast.Call) and ast.unparse(one.func) == "say"]
    return {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}  # type: ignore[misc]


def _subjects_of_messages() -> set[str]:
    """The sentences that become subjects: what a message is made with, and what is returned with an urgency."""
    found: set[str] = set()
    for module in MODULES:
        for node in ast.walk(parse(PACKAGE / module)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Message", "Question"):
                found |= {key for one in node.keywords if one.arg == "what" for key in _keys_in(one.value)}
            elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 2:
                urgency, what = node.value.elts
                if {"now", "tomorrow", "nothing"} & {getattr(one, "value", None) for one in ast.walk(urgency)}:
                    found |= _keys_in(what)
    return found - _PARTS_OF_SUBJECTS


@pytest.mark.parametrize("key", sorted(_subjects_of_messages()))
def test_every_subject_of_the_catalogue_stands_in_the_table_of_the_operations_page(key: str) -> None:
    """Some subject of the table has no part that the sentence has not, and says more than one word of it."""
    said = _plain(ENGLISH.sentences[key])
    named = [_parts_of(subject) for subject in _subjects_of_the_operations_page()]
    fitting = [parts for parts in named if all(part in said for part in parts) and len(" ".join(parts).split()) > 1]
    assert fitting, said
