"""What Drydock promises, and the crash matrix that holds it to that."""
