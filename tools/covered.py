"""Prints what the tests have covered: lines, and calls that were disturbed at each moment.

`make coverage` leaves both in `.covered`. With the folder of an earlier run, what is not covered any more is named.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from coverage import Coverage

PARTS = {"layer": "layers/drydock/drydock/", "functions": "functions/", "rehearsal": "rehearsal/"}

MOMENTS = {
    "before:FunctionKilled": "dies_before",
    "after:FunctionKilled": "dies_after",
    "delay:50": "hangs",
    "delay:900": "times_out",
    **dict.fromkeys(
        (
            f"before:{code}"
            for code in (
                "RequestLimitExceeded",
                "SlowDown",
                "Throttled",
                "Throttling",
                "ThrottlingException",
                "TooManyRequestsException",
            )
        ),
        "throttled",
    ),
    **dict.fromkeys(
        (
            f"before:{code}"
            for code in ("AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation")
        ),
        "refused",
    ),
    "after:InternalServerError": "answer_lost",
}
"""The same under one name, whatever each service calls it. Other errors are moments of their own."""


def read_lines(folder: Path) -> dict[str, set[tuple[str, int]]]:
    """The covered lines of each part, as file and number."""
    found = Coverage(data_file=str(folder / "lines"))
    found.load()
    data = found.get_data()
    lines: dict[str, set[tuple[str, int]]] = {part: set() for part in PARTS}
    for path in data.measured_files():
        for part, beginning in PARTS.items():
            _, mark, rest = path.partition(f"/{beginning}")
            if mark:
                lines[part] |= {(rest, number) for number in data.lines(path) or ()}
                break
    return lines


def read_pairs(folder: Path) -> set[tuple[str, str, str]]:
    """The covered pairs: who called (or the state), what, and the moment."""
    return {pair for path in (folder / "pairs").iterdir() for pair in _pairs_of(path.read_text())}


def _pairs_of(text: str) -> Iterator[tuple[str, str, str]]:
    for line in text.splitlines():
        _, caller, call, moment = line.split()
        yield caller, call, MOMENTS.get(moment, moment)


def main(folder: Path, earlier: Path | None) -> int:
    """Print the numbers, and each pair that an earlier run had more; 1 if there are any."""
    lines: Mapping[str, set[tuple[str, int]]] = read_lines(folder)
    before = read_lines(earlier) if earlier else {}
    for part, covered in lines.items():
        print(f"{part:<10} {len(covered):>6} lines" + (f", {len(before[part])} before" if before else ""))
    pairs = read_pairs(folder)
    lost = sorted(read_pairs(earlier) - pairs) if earlier else []
    print(f"{len(pairs)} pairs of a call and a moment" + (f", {len(lost)} of before are missing:" if earlier else ""))
    for pair in lost:
        print("  " + " ".join(pair))
    return int(bool(lost))


if __name__ == "__main__":
    folders = [Path(argument) for argument in sys.argv[1:]]
    sys.exit(main(folders[0], folders[1] if len(folders) > 1 else None))
