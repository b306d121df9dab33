"""What Drydock's table holds, and the conditional writes that decide."""
