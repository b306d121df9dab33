"""What Drydock costs beside the flows that it replaces."""
