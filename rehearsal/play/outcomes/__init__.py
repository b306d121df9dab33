"""What came of each machine, run and group of a rehearsal."""
