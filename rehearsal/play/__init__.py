"""A rehearsal: the fleet file, faults, people, and what came of it."""
