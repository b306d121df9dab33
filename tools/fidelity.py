"""Writes what is known of AWS (rehearsal/fidelity.yaml) into docs/fidelity.md and CONTRIBUTING.md.

With the path of a smoke.json, what a real account answered is taken up first: the questions get their answers, and the
behaviours that ask them count as answered. `make fidelity`, `make fidelity SMOKE=smoke.json`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
KNOWN = Path("rehearsal") / "fidelity.yaml"
PAGE = Path("docs") / "fidelity.md"
LIST = Path("CONTRIBUTING.md")

SURE = ("recorded", "documented", "assumed", "answered")
ASKED = ("document", "smoke", "person")

Known = Mapping[str, Any]


class FidelityError(Exception):
    """Raised for a file that cannot be taken up."""


def read_known(root: Path = ROOT) -> Known:
    """Return what is known, as rehearsal/fidelity.yaml has it."""
    known: Known = yaml.safe_load((root / KNOWN).read_text(encoding="utf-8"))
    return known


def take_up(text: str, smoke: Mapping[str, Any]) -> str:
    """Return the text of fidelity.yaml with what a real account answered; raises FidelityError.

    The answer stands in the question, with its date and Region; what asks it is as sure as an answer.
    """
    known = yaml.safe_load(text)
    for name, given in smoke.get("answers", {}).items():
        if name not in known["questions"]:
            raise FidelityError(f"there is no question {name}")
        if given["answer"] is None:
            continue
        told = json.dumps(f"{given['answer']} ({smoke['date'][:10]}, {smoke['region']})", ensure_ascii=False)
        text = _set(text, rf"  {name}:\n    question: ", "answer", told, "    ")
        text = _set(text, rf"(?:(?!    - behaviour: ).*\n)*?      asks: {name}\n", "sure", "answered", "      ")
    return text


def _set(text: str, after: str, key: str, value: str, indent: str) -> str:
    """Set a key of the entry in which a pattern stands, or add it as the entry's last."""
    begins = r"    - behaviour: .*\n" if key == "sure" else ""
    found = re.search(rf"^{begins}{after}", text, re.MULTILINE)
    if not found:
        return text
    rest = re.compile(rf"(?:{indent}\S.*\n)*")
    start = text.index("\n", found.start()) + 1
    block = rest.match(text, start)
    assert block is not None
    kept = [line for line in block[0].splitlines(keepends=True) if not line.startswith(f"{indent}{key}: ")]
    return text[:start] + "".join([*kept, f"{indent}{key}: {value}\n"]) + text[block.end() :]


def fill(page: str, known: Known) -> str:
    """Return a page with every part between its markers written anew."""

    def write(match: re.Match[str]) -> str:
        return f"<!-- {match[1]} -->\n{PARTS[match[1]](known)}<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n(?:.*?\n)??<!-- end -->", write, page, flags=re.DOTALL)


def _behaviours(known: Known) -> str:
    lines: list[str] = []
    for service, rows in known["behaviours"].items():
        lines += [f"### {service}", "", "| behaviour | rests on | sure | knob | in the code |", "|---|---|---|---|---|"]
        for row in rows:
            knob = f"`{row['knob']}`" if "knob" in row else ""
            code = ", ".join(f"`{name}`" for name in row.get("code", []))
            lines.append(f"| {row['behaviour']} | {row['rests']} | {row['sure']} | {knob} | {code} |")
        lines.append("")
    return "\n".join(lines)


def _constructs(known: Known) -> str:
    lines = ["| construct | documented in | besides |", "|---|---|---|"]
    for row in known["constructs"].values():
        name = row["documented"].rsplit("/", 1)[-1].removesuffix(".html")
        lines.append(f"| {row['construct']} | [{name}]({row['documented']}) | {row['note']} |")
    return "\n".join([*lines, ""])


def _differences(known: Known) -> str:
    lines = ["| ours | recorded | why it cannot matter |", "|---|---|---|"]
    lines += [f"| {row['what']} | {row['recorded']} | {row['why']} |" for row in known["differences"]]
    return "\n".join([*lines, ""])


def _questions(known: Known) -> str:
    lines = ["| question | asked by | answer |", "|---|---|---|"]
    for row in known["questions"].values():
        lines.append(f"| {row['question']} | {row['asked']} | {row.get('answer', 'open: ' + row['why'])} |")
    return "\n".join([*lines, ""])


def _open(known: Known) -> str:
    return "".join(f"{_wrap(row)}\n" for row in open_questions(known).values())


def open_questions(known: Known) -> dict[str, Any]:
    """Return the questions that nobody has answered yet."""
    return {name: row for name, row in known["questions"].items() if "answer" not in row}


def _wrap(row: Mapping[str, Any]) -> str:
    """Return a list's entry, in lines of 120 characters."""
    lines = ["-"]
    for word in f"{row['question']} ({row['why'].removesuffix('.')}.)".split():
        if len(lines[-1]) + 1 + len(word) > 120:
            lines.append(" ")
        lines[-1] += f" {word}"
    return "\n".join(lines)


PARTS = {
    "behaviours": _behaviours,
    "constructs": _constructs,
    "differences": _differences,
    "questions": _questions,
    "open": _open,
}
"""What can be written between markers, by the name of the marker."""


def pages(root: Path = ROOT) -> Iterator[Path]:
    """Return the pages that have parts between markers."""
    yield from (root / PAGE, root / LIST)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write the pages, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("smoke", type=Path, nargs="?", help="the smoke.json of a real account")
    options = parser.parse_args(arguments)
    if options.smoke:
        try:
            answers = json.loads(options.smoke.read_text(encoding="utf-8"))
            text = take_up((root / KNOWN).read_text(encoding="utf-8"), answers)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, FidelityError) as error:
            print(f"fidelity: {options.smoke} cannot be taken up: {error}", file=sys.stderr)
            return 1
        (root / KNOWN).write_text(text, encoding="utf-8")
    known = read_known(root)
    for page in pages(root):
        page.write_text(fill(page.read_text(encoding="utf-8"), known), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
