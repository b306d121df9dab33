"""`python -m rehearsal`: the command `drydock`."""

from __future__ import annotations

from rehearsal.cli import main

main()
