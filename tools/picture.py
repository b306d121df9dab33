"""Draw the picture at the top of the README: the report of the default fleet's night, in headless Chromium."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rehearsal.engine.project import PROJECT
from rehearsal.play.fleet_file import DEFAULT_FLEET, load_fleet_file
from rehearsal.play.run import rehearse

PICTURE = PROJECT / "docs" / "report.png"
_WIDTH, _HEIGHT = 1000, 1080
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Write docs/report.png."""
    chromium = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if chromium is None:
        sys.exit("make picture needs a Chromium: chromium, chromium-browser or google-chrome")
    (run,) = rehearse(load_fleet_file(DEFAULT_FLEET)).runs
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(run.page, encoding="utf-8")
        profile = f"--user-data-dir={folder}/profile"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", profile]
        size = f"--window-size={_WIDTH},{_HEIGHT}"
        command = [chromium, *options, size, f"--screenshot={PICTURE}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
