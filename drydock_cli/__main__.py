"""`python -m drydock_cli`: the command `drydock`."""

from __future__ import annotations

from drydock_cli.main import main

main()
