"""The command by itself: help, version, completion, and a rehearsal without what that needs."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib

import pytest

from tests.rules.project import ROOT

WITHOUT_MOTO = """
import sys
sys.modules["moto"] = None
from drydock_cli.main import carry_out
raise SystemExit(carry_out(["rehearse"]))
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
    )


def drydock(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("-m", "drydock_cli", *arguments, **environment)


def test_the_command_alone_prints_its_help() -> None:
    alone, asked = drydock(), drydock("--help")

    assert (alone.returncode, alone.stderr) == (0, "")
    assert alone.stdout == asked.stdout
    assert "Usage: drydock [OPTIONS] COMMAND" in alone.stdout


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    answer = drydock("--version")

    assert (answer.returncode, answer.stdout, answer.stderr) == (0, f"drydock {project['version']}\n", "")


@pytest.mark.parametrize(
    ("shell", "part"),
    [
        ("bash", "complete -o default -F _drydock_completion drydock"),
        ("zsh", "compdef _drydock_completion drydock"),
        ("fish", "complete --command drydock"),
    ],
)
def test_each_shell_gets_a_script_for_its_completion(shell: str, part: str) -> None:
    answer = drydock(_DRYDOCK_COMPLETE=f"source_{shell}")

    assert (answer.returncode, answer.stderr) == (0, "")
    assert part in answer.stdout


ASKED_BY_SHELL = {
    "bash": lambda words: {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)},
    "zsh": lambda words: {"_TYPER_COMPLETE_ARGS": words},
    "fish": lambda words: {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
}
"""What the shells' scripts put into the environment to ask for what may come next."""


@pytest.mark.parametrize(
    ("shell", "words", "offered", "others"),
    [
        ("bash", "drydock re", {"reject", "rehearse"}, {"watch"}),
        ("zsh", "drydock watch --in", {"--interval"}, {"--once"}),
        ("fish", "drydock run --operation Sc", {"Scan"}, {"Install"}),
    ],
)
def test_verbs_options_and_values_are_completed(shell: str, words: str, offered: set[str], others: set[str]) -> None:
    answer = drydock(_DRYDOCK_COMPLETE=f"complete_{shell}", **ASKED_BY_SHELL[shell](words))

    assert (answer.returncode, answer.stderr) == (0, "")
    assert {name for name in offered | others if name in answer.stdout} == offered


def test_without_the_extra_one_line_says_what_a_rehearsal_needs() -> None:
    answer = run("-c", WITHOUT_MOTO)

    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == (
        "drydock: a rehearsal needs the extra `rehearse` (there is no moto here): "
        "in Drydock's folder, pipx install --force '.[rehearse]'\n"
    )
