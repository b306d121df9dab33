"""The first real account: what only it can tell is asked, and written to smoke.json (`make smoke`)."""
