"""The embedded account's engine: its clock, calls, functions, deployment, events, and the repairs of moto."""
