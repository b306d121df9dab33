"""Inputs of PatchInstance and settings of the account: valid ones, and broken ones whose every mistake is known.

What is valid stands here a second time, on purpose: the layer's own tables are what is tested.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from drydock.catalogue.saying import one_line
from drydock.request.checking import spell_out
from drydock.request.policy import DEFAULTS

INSTANCE_IDS = ("i-0123456789abcdef0", "i-1a2b3c4d")
SETTINGS = "/drydock/policy"
"""The name of the account's settings: their mistakes begin with it."""

Path = tuple[str, ...]
Values = st.SearchStrategy[Any]

# Neither a colon nor a bracket: the path of one mistake must not turn up in the value of another.
words = st.text(st.characters(exclude_characters=":[]", exclude_categories=["Cs"]), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=5
)


@dataclass(frozen=True)
class Kind:
    """What a key may hold, and what it may not."""

    valid: Values
    broken: Values
    wrong: tuple[Any, ...]
    """Of what is broken, that which lies close by."""
    extreme: tuple[Any, ...] = ()
    """Of what is valid, that which only just is."""
    item: Kind | None = None
    """Of a list: its elements."""


def choice(*allowed: str) -> Kind:
    near = [change(word) for word in allowed for change in (str.upper, " {}".format, "{} ".format, lambda word: [word])]
    wrong = (*(value for value in near if value not in allowed), "", None, True, 0)
    others = trees.filter(lambda value: not isinstance(value, str) or value not in allowed)
    return Kind(st.sampled_from(allowed), st.sampled_from(wrong) | others, wrong, allowed)


def number(least: int, most: int) -> Kind:
    inside, extreme = st.integers(least, most), (least, most)
    wrong = (least - 1, most + 1, -most, most * 10**20, float(most), str(most), [most], True, False, None)
    others = inside.map(float) | trees.filter(lambda value: type(value) is not int)
    return Kind(inside | st.sampled_from(extreme), st.sampled_from(wrong) | others, wrong, extreme)


def listing(item: Kind, *, most: int = 4) -> Kind:
    wrong = ({}, "", None, False, *item.extreme)
    others = (item.valid | trees).filter(lambda value: not isinstance(value, list))
    return Kind(st.lists(item.valid, max_size=most), st.sampled_from(wrong) | others, wrong, ([],), item)


def pattern(valid: str, extreme: tuple[str, ...], *wrong: str) -> Kind:
    """Text that fits a pattern. Of the words that hypothesis makes up, none: they might fit."""
    values: tuple[Any, ...] = (*wrong, None, True, 0, list(extreme), {})
    others = trees.filter(lambda value: not isinstance(value, str))
    return Kind(st.from_regex(valid, fullmatch=True), st.sampled_from(values) | others, values, extreme)


def knowledge_base(last_digits: str) -> Kind:
    """KB numbers. Those to include and those to exclude end in other digits, so that they never meet by chance."""
    wrong = (
        "KB",
        "kb5034439",
        "KB12345",
        "KB12345678",
        "12345",
        " KB5034439",
        "KB5034439\n",
        "KB\u0665034439",
        "",
        "*",
    )
    return pattern(f"(KB)?[0-9]{{5,6}}[{last_digits}]", ("KB123450", "1234505"), *wrong)


_no_switches: tuple[Any, ...] = (0, 1, "true", "false", "yes", "", None, [])
switch = Kind(
    st.booleans(),
    st.sampled_from(_no_switches) | trees.filter(lambda value: not isinstance(value, bool)),
    _no_switches,
    (True, False),
)
document = pattern(
    r"|[a-zA-Z0-9_\-.]{3,128}",
    ("", "A.b", "x" * 128),
    *("ab", "a b c", "x" * 129, "Hook\n", "Höök", "arn;aws;ssm", "Hook;rm", " ", "../hook!"),
)
SEVERITIES = ("Critical", "Important", "Moderate", "Low", "Unspecified")
CATEGORIES = (
    "CriticalUpdates",
    "DefinitionUpdates",
    "Drivers",
    "FeaturePacks",
    "SecurityUpdates",
    "ServicePacks",
    "UpdateRollups",
    "Updates",
)

POLICY: Mapping[Path, Kind] = {
    ("operation",): choice("Install", "Scan"),
    ("document",): choice("AWS-RunPatchBaseline", "AWS-InstallWindowsUpdates"),
    ("reboot",): choice("RebootIfNeeded", "NoReboot"),
    ("windowsUpdate", "severityLevels"): listing(choice(*SEVERITIES)),
    ("windowsUpdate", "categories"): listing(choice(*CATEGORIES)),
    ("windowsUpdate", "includeKbs"): listing(knowledge_base("0-4")),
    ("windowsUpdate", "excludeKbs"): listing(knowledge_base("5-9")),
    ("windowsUpdate", "publishedDaysOld"): number(0, 3650),
    ("backup", "before", "take"): switch,
    ("backup", "before", "reboot"): switch,
    ("backup", "before", "method"): choice("image"),
    ("backup", "before", "wait"): choice("available", "begun"),
    ("backup", "after", "take"): switch,
    ("backup", "after", "reboot"): switch,
    ("backup", "members"): switch,
    ("backup", "deprecateAfterDays"): number(1, 3650),
    ("hooks", "preInstall"): document,
    ("hooks", "postInstall"): document,
    ("hooks", "onExit"): document,
    ("healthProbe",): document,
    ("startForScan",): switch,
    ("deadlines", "imageSeconds"): number(60, 86_400),
    ("deadlines", "startSeconds"): number(60, 7_200),
    ("deadlines", "patchSeconds"): number(60, 14_400),
    ("deadlines", "hookSeconds"): number(60, 7_200),
    ("deadlines", "stopSeconds"): number(60, 7_200),
    ("failOn",): listing(choice("pending_reboot", "patched_reported_failed", "still_missing", "failed", "unknown")),
    ("notify",): choice("each", "failures", "summary"),
}
SECTIONS: tuple[Path, ...] = tuple(dict.fromkeys(path[:-1] for path in POLICY))
"""The policy itself, which is the empty path, and every object in it."""

_HEX = "[0-9a-fA-F]"
_GUID = f"{_HEX}{{8}}(-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"
_ID = INSTANCE_IDS[0]
INPUT: Mapping[Path, Kind] = {
    ("instanceId",): pattern(
        "|".join(INSTANCE_IDS),
        INSTANCE_IDS,
        "",
        "i-",
        "i-123",
        _ID.upper(),
        f"m{_ID}",
        f"{_ID}0",
        f"{_ID}\n",
        f" {_ID}",
    ),
    ("runId",): pattern("[a-zA-Z0-9_-]{1,80}", ("r", "x" * 80), "", "a b", "x" * 81, "run/1", "läuf", "run\n"),
    ("snapshotId",): pattern(
        _GUID,
        ("01234567-89ab-cdef-ABCD-EF0123456789",),
        "",
        "g" * 36,
        "0" * 32,
        "0" * 36,
        f"{'0000-' * 7}0",
        "latest",
        "01234567-89ab-cdef-abcd-ef01234567890",
        "01234567-89ab-cdef-abcd-ef012345678",
    ),
    ("group",): pattern("[a-zA-Z0-9 _./-]{1,255}", ("g", "x" * 255), "", "x" * 256, "web\n"),
}


def put(tree: dict[str, Any], path: Path, value: Any) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value


def find(tree: Any, path: Path) -> Any:
    """What stands at a path, or None."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def leaves(tree: Mapping[str, Any], path: Path = ()) -> dict[Path, Any]:
    """Every value of a policy by its path."""
    found: dict[Path, Any] = {}
    for key, value in tree.items():
        found |= leaves(value, (*path, key)) if isinstance(value, Mapping) else {(*path, key): value}
    return found


@dataclass(frozen=True)
class Request:
    """An input together with the text of the account's settings, and every mistake in them.

    `mistakes` are the beginnings of the sentences that must be told, each up to its path.
    """

    given: Any
    settings: str
    mistakes: tuple[str, ...] = ()


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    """Any valid policy, from none to one that says everything."""
    policy: dict[str, Any] = {}
    for section in draw(st.sets(st.sampled_from(SECTIONS[1:]))):
        put(policy, section, {})
    for path in sorted(draw(st.sets(st.sampled_from(sorted(POLICY))))):
        put(policy, path, draw(POLICY[path].valid))
    return policy


@st.composite
def inputs(draw: st.DrawFn) -> dict[str, Any]:
    given = {"instanceId": draw(INPUT["instanceId",].valid)}
    for key in draw(st.sets(st.sampled_from(["runId", "snapshotId", "group"]))):
        given[key] = draw(INPUT[key,].valid)
    if draw(st.booleans()):
        given["policy"] = draw(policies())
    return given


@st.composite
def valid_requests(draw: st.DrawFn) -> Request:
    return Request(draw(inputs()), json.dumps(draw(policies())))


def effective(request: Request) -> dict[Path, Any]:
    """Every value of the policy that must hold for a valid request."""
    return {
        **leaves(DEFAULTS),
        **leaves(json.loads(request.settings)),
        **leaves(request.given.get("policy", {})),
    }


@dataclass(frozen=True)
class Breakage:
    """One mutation of something valid. `taken` is the path below which nothing else can be broken."""

    taken: Path
    path: Path
    value: Any
    sentence: str
    """The beginning of the mistake."""


def _name(root: str, path: Path) -> str:
    """A path as a message names it: what is odd in a key is spelled out."""
    return spell_out(".".join((root, *path)))


@st.composite
def _values(draw: st.DrawFn, kinds: Mapping[Path, Kind], root: str) -> Breakage:
    """A key that holds what it may not, or a list with one such element."""
    path = draw(st.sampled_from(sorted(kinds)))
    kind = kinds[path]
    if kind.item is None or draw(st.booleans()):
        return Breakage(path, path, draw(kind.broken), _name(root, path))
    elements = draw(kind.valid)
    position = draw(st.integers(0, len(elements)))
    elements.insert(position, draw(kind.item.broken))
    return Breakage(path, path, elements, f"{_name(root, path)}[{position}]")


@st.composite
def _unknown_keys(draw: st.DrawFn, sections: tuple[Path, ...], known: Mapping[Path, Any], root: str) -> Breakage:
    section = draw(st.sampled_from(sections))
    near = [key for path in known for key in (path[-1].lower(), path[-1].upper(), f"{path[-1]}s", f" {path[-1]}")]
    paths = {*known, *sections, ("policy",)}
    key = draw((words | st.sampled_from(near)).filter(lambda key: (*section, key) not in paths))
    path = (*section, key)
    return Breakage(path, path, draw(trees), _name(root, path))


@st.composite
def _not_objects(draw: st.DrawFn, sections: tuple[Path, ...], root: str) -> Breakage:
    section = draw(st.sampled_from(sections))
    return Breakage(
        section, section, draw(trees.filter(lambda value: not isinstance(value, dict))), _name(root, section)
    )


@st.composite
def _contradictions(draw: st.DrawFn) -> Breakage:
    """One and the same KB to include and to exclude, written alike or not."""
    digits = draw(st.from_regex("[0-9]{6,7}", fullmatch=True))
    spelling = st.sampled_from([digits, f"KB{digits}"])
    value = {"includeKbs": [draw(spelling)], "excludeKbs": [draw(spelling)]}
    path = ("windowsUpdate",)
    return Breakage(path, path, value, "policy.windowsUpdate")


def _overlap(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _independent(breakages: list[Breakage]) -> list[Breakage]:
    """Those that can all be told: none lies within another."""
    kept: list[Breakage] = []
    for breakage in breakages:
        if not any(_overlap(breakage.taken, other.taken) for other in kept):
            kept.append(breakage)
    return kept


_broken_policies = st.one_of(
    _values(POLICY, "policy"), _unknown_keys(SECTIONS, POLICY, "policy"), _not_objects(SECTIONS, "policy")
)
_broken_inputs = st.one_of(_values(INPUT, "input"), _unknown_keys(((),), INPUT, "input"))


def _break(tree: Any, breakages: list[Breakage]) -> Any:
    for breakage in breakages:
        if not breakage.path:
            return breakage.value
        put(tree, breakage.path, breakage.value)
    return tree


_not_json = st.sampled_from([" ", "nonsense", "{'a': 1}", '{"reboot": "NoReboot"', "{}{}", '{"a": 1,}', "[" * 4000]) | (
    policies().map(lambda policy: json.dumps(policy)[:-1])
)


@st.composite
def broken_requests(draw: st.DrawFn) -> Request:
    """A valid request with one to eight things wrong in it: in the input, its policy, or the account's settings."""
    given: Any = draw(inputs())
    settings: Any = draw(policies())
    in_input = _independent(draw(st.lists(_broken_inputs, max_size=3)))
    in_policy = _independent(draw(st.lists(_broken_policies | _contradictions(), max_size=3)))
    in_settings = _independent(draw(st.lists(_broken_policies, max_size=2)))
    mistakes = [breakage.sentence for breakage in in_input + in_policy]
    mistakes += [f"{SETTINGS}: {breakage.sentence}" for breakage in in_settings]

    if in_policy:
        given["policy"] = _break(given.get("policy", {}), deepcopy(in_policy))
    given = _break(given, in_input)
    text = json.dumps(_break(settings, deepcopy(in_settings)))

    extra = draw(
        st.sampled_from(
            ["", "no instance id", "no object", "no JSON"] if mistakes else ["no instance id", "no object", "no JSON"]
        )
    )
    if extra == "no instance id" and "input.instanceId" not in mistakes:
        del given["instanceId"]
        mistakes.append("input.instanceId")
    elif extra == "no object":
        given = draw(trees.filter(lambda value: not isinstance(value, dict)))
        mistakes = ["input", *(mistake for mistake in mistakes if mistake.startswith(SETTINGS))]
    elif extra == "no JSON":
        text = draw(_not_json)
        mistakes = [mistake for mistake in mistakes if not mistake.startswith(SETTINGS)] + [f"{SETTINGS}: not JSON"]
    # What no terminal can show, such as a control character in a key, is said as a blank.
    return Request(given, text, tuple(sorted(map(one_line, mistakes))))


def sentences(message: str, request: Request) -> tuple[str, ...]:
    """The beginnings of all mistakes in a message, for every path that this request could have had a mistake at.

    A path is counted where a sentence begins: at the start, or after `; `, or after the name of the settings.
    """
    paths = {"input", "input.policy", "not JSON", *request.mistakes}
    paths |= {_name("policy", path) for path in (*POLICY, *SECTIONS)}
    paths |= {_name("input", path) for path in INPUT}
    paths |= {
        f"{_name('policy', path)}[{index}]"
        for path, kind in POLICY.items()
        if kind.item is not None
        for index in range(6)
    }
    paths |= {f"{SETTINGS}: {path}" for path in paths if not path.startswith(SETTINGS)}
    said = {one_line(path) for path in paths}
    return tuple(sorted(path for path in said for _ in range(f"; {message}".count(f"; {path}: "))))
