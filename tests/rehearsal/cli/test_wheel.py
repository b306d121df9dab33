"""The command as it is installed: what is in its wheel, and what it does where there is nothing else of the project."""

from __future__ import annotations

import email
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.rules.project import ROOT, functions, resources

BUILD = "import sys, setuptools.build_meta as backend; getattr(backend, sys.argv[1])(sys.argv[2])"
FROM_WHEEL = "import sys; sys.path.insert(0, sys.argv.pop(1))"
MOST_PACKAGES = 25

BAD_POLICY = '{\n  "canary": {"count": 1},\n  "maxErrors": -1\n}\n'
REFUSED = "drydock: policy.json:3: policy.maxErrors: -1 is not"


def copy_tree(folder: Path) -> Path:
    """Copy what git has of the project, and what it would take: nothing that a build or a test has left."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def build(kind: str, tree: Path, folder: Path) -> Path:
    """Build a `wheel` or an `sdist` with what .venv has."""
    folder.mkdir()
    subprocess.run([sys.executable, "-c", BUILD, f"build_{kind}", folder], cwd=tree, capture_output=True, check=True)
    (made,) = folder.iterdir()
    return made


def names_in(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    return build("wheel", copy_tree(folder / "tree"), folder / "wheel")


def files_in(*folders: Path, of: Path) -> set[str]:
    return {path.relative_to(of).as_posix() for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_the_wheel_has_the_packages_and_what_is_deployed_each_once_and_nothing_else(wheel: Path) -> None:
    tree = wheel.parent.parent / "tree"
    packages = files_in(*(tree / name for name in ("drydock_cli", "drydock_files", "rehearsal")), of=tree)
    layer = files_in(tree / "layers" / "drydock" / "drydock", of=tree / "layers" / "drydock")
    deployed = {"template.yaml", *files_in(tree / "functions", tree / "statemachines", of=tree)}

    content = {name for name in names_in(wheel) if ".dist-info/" not in name}

    assert content == {*packages, *layer, *(f"rehearsal/deployed/{name}" for name in deployed)}


def test_what_the_template_names_is_in_the_wheel(wheel: Path) -> None:
    machines = resources("AWS::Serverless::StateMachine").values()
    wanted = {machine["Properties"]["DefinitionUri"] for machine in machines}
    wanted |= {f"{function.properties['CodeUri']}app.py" for function in functions()}

    assert {f"rehearsal/deployed/{name}" for name in wanted} <= names_in(wheel)


def test_the_wheel_asks_for_nothing_of_the_simulator_without_the_extra(wheel: Path) -> None:
    (metadata,) = [name for name in names_in(wheel) if name.endswith("/METADATA")]
    wanted = email.message_from_bytes(zipfile.ZipFile(wheel).read(metadata)).get_all("Requires-Dist", [])

    base = {re.split(r"[^a-z0-9-]", one)[0] for one in wanted if "extra ==" not in one}
    assert base == {"aws-lambda-powertools", "boto3", "botocore", "pyyaml", "rich", "typer", "tzdata"}


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", wheel.parent.parent / "tree", tmp_path / "sdist")) as sources:
        sources.extractall(tmp_path, filter="data")

    (tree,) = tmp_path.glob("drydock-*")
    assert names_in(build("wheel", tree, tmp_path / "wheel")) == names_in(wheel)


def test_the_unpacked_wheel_helps_and_finds_what_it_rehearses_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    unpacked, work = tmp_path / "unpacked", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(unpacked)
    work.mkdir()

    def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-c", f"{FROM_WHEEL}; {code}", str(unpacked), *arguments]
        return subprocess.run(command, cwd=work, env={}, capture_output=True, text=True)

    helped = run("from drydock_cli.main import main; main()", "--help")
    found = run("from rehearsal.engine.project import PROJECT; print(PROJECT)")

    assert (helped.returncode, helped.stderr) == (0, "")
    assert "Usage: drydock [OPTIONS] COMMAND" in helped.stdout
    assert (found.stdout, found.stderr) == (f"{unpacked}/rehearsal/deployed\n", "")


class Installed:
    """A virtual environment, and an empty folder to work in, with nothing in the environment but a home."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        self.binaries = folder / "venv" / "bin"
        self.work = folder / "empty"
        self.work.mkdir()
        self._home = folder / "home"
        self._home.mkdir()
        self._constraint = folder / "constraint.txt"
        # Constraints have neither hashes nor extras.
        locked = re.findall(
            r"(?m)^(\S+?)(?:\[.*\])?(==.*?)(?: \\)?$", (ROOT / "requirements" / "development.txt").read_text()
        )
        self._constraint.write_text("".join(f"{name}{version}\n" for name, version in locked))

    def install(self, what: str) -> None:
        """Install with pip as this machine has it configured."""
        self._pip("install", "--quiet", "--constraint", str(self._constraint), what)

    def packages(self) -> set[str]:
        """What is installed, beside what every virtual environment has."""
        listed = json.loads(self._pip("list", "--format", "json"))
        return {package["name"].lower().replace("_", "-") for package in listed} - {"pip", "setuptools"}

    def _pip(self, *arguments: str) -> str:
        command = [str(self.binaries / "python"), "-m", "pip", *arguments, "--disable-pip-version-check"]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout

    def run(self, *command: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(self._home), **(env or {})}
        return subprocess.run(command, cwd=self.work, env=environment, capture_output=True, text=True)

    def drydock(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.binaries / "drydock", *arguments)


@pytest.mark.prove
def test_what_pip_installs_is_small_and_rehearses_with_the_extra(tmp_path: Path) -> None:
    tree, installed = copy_tree(tmp_path / "tree"), Installed(tmp_path)

    installed.install(str(tree))

    packages = installed.packages()
    assert len(packages) <= MOST_PACKAGES, sorted(packages)
    assert not packages & {"aws-sam-cli", "aws-sam-translator", "cfn-lint", "greenlet", "moto", "pytest"}
    helped, version = installed.drydock(), installed.drydock("--version")
    assert (helped.returncode, helped.stderr) == (0, "") and "rehearse" in helped.stdout
    assert re.fullmatch(r"drydock \d+\.\d+\.\d+\n", version.stdout)

    (installed.work / "policy.json").write_text(BAD_POLICY)
    refused = installed.drydock("plan", "--target", "tag:a=b", "--minutes", "60", "--policy", "policy.json")
    # Had it asked AWS anything, it would have missed the Region.
    asked = installed.drydock("plan", "--target", "tag:a=b", "--minutes", "60")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert refused.stderr.startswith(REFUSED)
    assert (asked.returncode, asked.stderr.startswith("drydock: no Region")) == (1, True)

    script = installed.run(installed.binaries / "drydock", env={"_DRYDOCK_COMPLETE": "source_bash"}).stdout
    words = 'COMP_WORDS=(drydock watch --in) COMP_CWORD=2; _drydock_completion drydock; echo "${COMPREPLY[@]}"'
    completed = installed.run(
        "/bin/bash", "-c", f"{script}\n{words}", env={"PATH": f"{installed.binaries}:/usr/bin:/bin"}
    )
    assert (completed.stdout, completed.stderr) == ("--interval\n", "")

    without = installed.drydock("rehearse")
    assert (without.returncode, without.stdout, without.stderr.count("\n")) == (2, "", 1)

    installed.install(f"{tree}[rehearse]")
    (installed.work / "policy.json").unlink()
    rehearsed = installed.drydock("rehearse")
    assert rehearsed.returncode == 0, rehearsed.stderr
    assert "ended as expected" in rehearsed.stdout
    assert [path.name for path in installed.work.iterdir()] == ["drydock-reports"]
    assert "drydock-reports" in rehearsed.stdout and list(installed.work.rglob("report.html"))
