"""Puts what is deployed beside the rehearsal: an installed command has no checkout to take it from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

DEPLOYED = ("template.yaml", "functions/*/app.py", "statemachines/*.yaml")
"""Without the layer, whose packages are installed as such."""

ROOT = Path(__file__).parent


class BuildWithWhatIsDeployed(build_py):  # type: ignore[misc]
    """Builds the packages, and copies what is deployed into the package `rehearsal`."""

    def run(self) -> None:
        """Build. An editable installation finds all in the checkout."""
        super().run()
        if not self.editable_mode:
            for source, target in self._copies():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_source_files(self) -> list[str]:
        """What a source distribution has to hold."""
        return [*super().get_source_files(), *(source for source, _ in self._copies())]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """What the build makes."""
        return [*super().get_outputs(include_bytecode), *(target for _, target in self._copies())]

    def _copies(self) -> Iterator[tuple[str, str]]:
        for pattern in DEPLOYED:
            for path in sorted(ROOT.glob(pattern)):
                source = path.relative_to(ROOT)
                yield str(source), str(Path(self.build_lib, "rehearsal", "deployed", source))


setup(cmdclass={"build_py": BuildWithWhatIsDeployed})
