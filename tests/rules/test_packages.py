"""Which package may lean on which: in the layer, in the rehearsal, and the command."""

import ast
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
LAYER = PROJECT / "layers" / "drydock" / "drydock"
REHEARSAL = PROJECT / "rehearsal"
COMMAND = PROJECT / "drydock_cli"

# A package may import from the packages named here, from its own modules and from the modules at the
# root. Lowest first: nothing below leans on anything above.
LEANS_ON = {
    "catalogue": set(),
    "": {"catalogue"},
    "aws": {"catalogue"},
    "records": {"catalogue", "aws"},
    "request": {"catalogue", "records"},
    "telling": {"catalogue", "aws", "records"},
    "pruning": {"catalogue", "aws", "records", "request", "telling"},
    "machine": {"catalogue", "aws", "records", "request", "telling"},
    "plan": {"catalogue", "aws", "records", "request", "machine"},
    "approval": {"catalogue", "aws", "records", "request", "telling", "plan"},
    "run": {"catalogue", "aws", "records", "request", "telling", "plan", "approval"},
    "group": {"catalogue", "aws", "records", "request", "telling", "machine", "plan", "run"},
    "recovery": {"catalogue", "aws", "records", "request", "telling", "pruning", "machine", "plan", "run", "group"},
}

# The rooms of the rehearsal, lowest first; a module at the root is a room of its own. `drydock` is the layer: what
# stands in for AWS must not know what it is tried with.
ROOM_LEANS_ON = {
    "engine": set(),
    "world": {"engine"},
    "services": {"engine", "world"},
    "account": {"engine", "world", "services"},
    "ledger": {"engine", "account"},
    "play": {"engine", "world", "account", "ledger", "drydock", "drydock_files"},
    "proof": {"engine", "world", "account", "ledger", "play", "drydock"},
}

MODULES = sorted(path.relative_to(LAYER).as_posix() for path in LAYER.rglob("*.py") if path.stem != "__init__")
ROOM_MODULES = sorted(
    path.relative_to(REHEARSAL).as_posix() for path in REHEARSAL.rglob("*.py") if path.stem != "__init__"
)
COMMAND_MODULES = sorted(path.name for path in COMMAND.glob("*.py"))


def package_of(dotted: str) -> str:
    """The package of `drydock.machine.images`: machine; of `drydock.errors`: nothing."""
    parts = dotted.split(".")[1:]
    return parts[0] if parts and (LAYER / parts[0]).is_dir() else ""


def room_of(dotted: str) -> str:
    """The room of `rehearsal.world.machines`: world; of `rehearsal.ledger`: ledger; of `drydock.errors`: drydock."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "rehearsal" and len(parts) > 1 else parts[0]


def names_in(tree: ast.AST) -> Iterator[str]:
    """The dotted name of everything that is imported anywhere in a tree, also for type checking only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def imported(path: Path) -> set[str]:
    return set(names_in(ast.parse(path.read_text(encoding="utf-8"))))


def modules_of(package: Path) -> dict[str, set[str]]:
    """The dotted name of every module of a package, with the modules of the package that it imports."""
    paths = {
        ".".join((package.name, *path.relative_to(package).with_suffix("").parts)): path
        for path in package.rglob("*.py")
        if path.stem != "__init__"
    }
    return {
        name: {
            module
            for given in imported(path)
            for module in (given, given.rpartition(".")[0])
            if module in paths and module != name
        }
        for name, path in paths.items()
    }


def find_circle(leans: Mapping[str, Set[str]]) -> list[str]:
    """Modules that import each other in a circle; none when there is no circle."""
    left = {name: set(others) for name, others in leans.items()}
    while free := [name for name, others in left.items() if not others]:
        for name in free:
            del left[name]
        for others in left.values():
            others.difference_update(free)
    if not left:
        return []
    walk = [min(left)]
    while walk[-1] not in walk[:-1]:
        walk.append(min(left[walk[-1]]))
    return walk[walk.index(walk[-1]) :]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_leans_only_on_the_packages_below_its_own(module: str) -> None:
    own = module.split("/")[0] if "/" in module else ""
    leans = {package_of(name) for name in imported(LAYER / module) if name.startswith("drydock.")}
    assert leans - {own, ""} <= LEANS_ON[own]


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith("aws/")])
def test_only_the_aws_package_calls_aws(module: str) -> None:
    assert not {name for name in imported(LAYER / module) if name.split(".")[0] in {"boto3", "botocore"}}


@pytest.mark.parametrize("module", ROOM_MODULES)
def test_a_module_of_the_rehearsal_leans_only_on_the_rooms_below_its_own(module: str) -> None:
    own = module.split("/")[0].removesuffix(".py")
    ours = ("rehearsal.", "drydock.", "drydock_files.", "drydock_cli.", "tests.", "benchmarks.")
    leans = {room_of(name) for name in imported(REHEARSAL / module) if name.startswith(ours)}
    assert leans - {own} <= ROOM_LEANS_ON[own]


@pytest.mark.parametrize("table", [LEANS_ON, ROOM_LEANS_ON], ids=["layer", "rehearsal"])
def test_the_tables_name_packages_that_are_there_the_lowest_first(table: Mapping[str, Set[str]]) -> None:
    names = list(table)
    for number, (name, others) in enumerate(table.items()):
        below = {*names[:number], "drydock", "drydock_files"}
        assert others <= below, f"{name} leans upwards on {others - below}"
    root = LAYER if table is LEANS_ON else REHEARSAL
    assert all((root / name).is_dir() or (root / f"{name}.py").is_file() for name in names)


@pytest.mark.parametrize("package", [LAYER, REHEARSAL, COMMAND], ids=lambda package: package.name)
def test_no_modules_import_each_other_in_a_circle(package: Path) -> None:
    assert find_circle(modules_of(package)) == []


def test_a_circle_of_imports_is_found() -> None:
    leans = {"a": {"b"}, "b": {"c"}, "c": {"d", "b"}, "d": set(), "e": {"a"}}
    assert find_circle(leans) == ["b", "c", "b"]
    assert find_circle({**leans, "c": {"d"}}) == []


@pytest.mark.parametrize("module", COMMAND_MODULES)
def test_the_command_imports_the_rehearsal_only_where_it_rehearses(module: str) -> None:
    """At module level it would need moto, which `pip install .` does not bring. Type checking runs nothing."""
    tree = ast.parse((COMMAND / module).read_text(encoding="utf-8"))
    for node in tree.body:
        is_run = not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if is_run and not for_types:
            assert not {name for name in names_in(node) if name.split(".")[0] in {"rehearsal", "moto"}}
