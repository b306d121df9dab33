"""`python -m rehearsal`: the command `drydock`."""

from __future__ import annotations

from drydock_cli.main import main

main()
